"""The same job on a local Ray cluster of two workers: the same rows."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from ferzoo.errors import FerzooError
from ferzoo.predict.scoring_ray import _layout

#: Runs in a process of its own, that ends with whatever Ray has started.
CODE = """
import json, os, sys
sys.path.insert(0, {tests!r})
import conftest
import ray
from ferzoo.errors import FerzooError
from ferzoo.predict.scoring import score
from ferzoo.predict.scoring_ray import Cluster


class Signed(conftest.MeanColour):
    def forward(self, x):
        open({folder!r} + "/by-" + str(os.getpid()), "w").close()
        return super().forward(x)


def stop(what, done, total):
    raise KeyboardInterrupt


def go(out, **options):
    source, options["keep"] = {folder!r} + "/t.parquet", ["label"]
    return score(source, {folder!r} + "/" + out, Signed(), detect=False, batch_size=6, workers=1, **options)


ray.cloudpickle.register_pickle_by_value(conftest)
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
two = Cluster(workers=2)
try:
    go("ray.csv", cluster=two, progress=stop)
except KeyboardInterrupt:
    pass
done = go("ray.csv", cluster=two, resume=True)
try:
    score({folder!r} + "/bad.tar", {folder!r} + "/bad.csv", Signed(), detect=False, workers=1, cluster=two)
except FerzooError as error:
    said = str(error)
by = sum(name.startswith("by-") for name in os.listdir({folder!r}))
alive = ray.is_initialized()
ray.shutdown()
go("here.csv")
print("\\n" + json.dumps([done.to_dict(), by, alive, said]))
"""


def test_two_workers_give_the_same_rows(tmp_path: Path) -> None:
    pytest.importorskip("ray", reason="comes with the extra ray")
    pyarrow = pytest.importorskip("pyarrow", reason="comes with the extra train")
    parquet = pytest.importorskip("pyarrow.parquet")
    images = []
    for i in range(40):
        data = io.BytesIO()
        Image.new("RGB", (8, 8), (6 * i, 255 - 5 * i, i)).save(data, "png")
        images.append({"bytes": data.getvalue() if i != 20 else b"damaged", "path": None})
    parquet.write_table(pyarrow.table({"image": images, "label": range(40)}), tmp_path / "t.parquet", row_group_size=25)
    (tmp_path / "bad.tar").write_bytes(b"no archive")
    code = CODE.format(tests=str(Path(__file__).parent), folder=str(tmp_path))
    # Ray gives its workers a low priority, which on a busy machine is none.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0", "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=400, env=env)
    assert done.returncode == 0, done.stderr
    summary, by, alive, said = json.loads(done.stdout.splitlines()[-1])
    assert (summary["images"], summary["errors"], summary["resumed"]) == (40, 1, 6)
    # Two workers of each run; a cluster that was there before is left to its owner.
    assert 2 <= by <= 4 and alive
    assert "bad.tar cannot be read after 0 samples" in said
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


def node(cores: float, gpus: float = 0, alive: bool = True) -> dict[str, object]:
    return {"Alive": alive, "Resources": {"CPU": cores, "GPU": gpus}}


def test_a_fixed_number_of_workers_a_node() -> None:
    assert _layout([node(8)], None) == (1, {"num_cpus": 8, "num_gpus": 0.0})
    assert _layout([node(8), node(4), node(9, alive=False)], 2) == (4, {"num_cpus": 2, "num_gpus": 0.0})
    assert _layout([node(32, 4), node(32, 4)], None) == (8, {"num_cpus": 8, "num_gpus": 1.0})
    assert _layout([node(1)], 2) == (2, {"num_cpus": 0.5, "num_gpus": 0.0})
    with pytest.raises(FerzooError, match="4 GPUs"):
        _layout([node(32, 4)], 5)
    with pytest.raises(FerzooError, match="no node"):
        _layout([node(8, alive=False)], None)
