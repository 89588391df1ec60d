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
from ferzoo.predict.scoring_job import Settings
from ferzoo.predict.scoring_ray import Cluster, _layout, connect

#: Runs in a process of its own, that ends with whatever Ray has started.
CODE = """
import json, os, sys, time
sys.path.insert(0, {tests!r})
import mean_colour
import ray
from ferzoo.errors import FerzooError
from ferzoo.predict.scoring import score
from ferzoo.predict.scoring_ray import Cluster


# Each process that predicts signs in a folder of the run, and waits there until all have.
class Signed(mean_colour.MeanColour):
    def __init__(self, run, workers):
        super().__init__()
        self.run, self.workers = {folder!r} + "/" + run, workers

    def forward(self, x):
        os.makedirs(self.run, exist_ok=True)
        open(self.run + "/" + str(os.getpid()), "w").close()
        end = time.monotonic() + 200
        while len(os.listdir(self.run)) < self.workers and time.monotonic() < end:
            time.sleep(0.01)
        return super().forward(x)


def stop(what, done, total):
    raise KeyboardInterrupt


def go(out, network, **options):
    source, options["keep"] = {folder!r} + "/t.parquet", ["label"]
    return score(source, {folder!r} + "/" + out, network, detect=False, batch_size=6, workers=1, **options)


ray.cloudpickle.register_pickle_by_value(mean_colour)
ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
two = Cluster(workers=2)
try:
    go("ray.csv", Signed("stopped", 1), cluster=two, progress=stop)
except KeyboardInterrupt:
    pass
done = go("ray.csv", Signed("by", 2), cluster=two, resume=True)
try:
    score({folder!r} + "/bad.tar", {folder!r} + "/bad.csv", Signed("bad", 1), detect=False, workers=1, cluster=two)
except FerzooError as error:
    said = str(error)
by = [int(name) for name in os.listdir({folder!r} + "/by")]
alive = ray.is_initialized()
ray.shutdown()
go("here.csv", Signed("here", 1))
print("\\n" + json.dumps([done.to_dict(), by, os.getpid(), alive, said]))
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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600, env=env)
    assert done.returncode == 0, done.stderr
    summary, by, driver, alive, said = json.loads(done.stdout.splitlines()[-1])
    assert (summary["images"], summary["errors"], summary["resumed"]) == (40, 1, 6)
    # Two processes, none of them the one that writes; a cluster that was there before is left to its owner.
    assert len(by) == 2 and driver not in by and alive
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


def test_without_an_address_no_other_cluster_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="comes with the extra ray")
    asked: list[str] = []
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda address, **_: asked.append(address))
    monkeypatch.setattr(ray, "nodes", lambda: [node(8, 2), node(8, 2)])
    for address in (None, "auto"):
        with connect(Settings("lfnsb"), Cluster(address)) as team:
            # The journal names the device that the workers take.
            assert (team.workers, team.settings.device, team.resources["num_cpus"]) == (4, "cuda", 4)
        with connect(Settings("lfnsb", device="cpu"), Cluster(address)) as team:
            assert team.settings.device == "cpu"
    assert asked == ["local", "local", "auto", "auto"]
