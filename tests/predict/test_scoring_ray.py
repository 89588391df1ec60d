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
from ferzoo.predict.scoring_ray import Cluster, _layout, _placing, connect

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
one, two = Cluster(workers=1), Cluster(workers=2)
try:
    go("ray.csv", Signed("stopped", 1), cluster=one, progress=stop)
except KeyboardInterrupt:
    pass
done = go("ray.csv", Signed("by", 2), cluster=two, resume=True)
try:
    score({folder!r} + "/bad.tar", {folder!r} + "/bad.csv", Signed("bad", 1), detect=False, workers=1, cluster=one)
except FerzooError as error:
    said = type(error).__name__, str(error)
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
    assert said[0] == "DataError" and said[1].startswith(f"{tmp_path / 'bad.tar'} cannot be read after 0 samples")
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()


def node(cores: float, gpus: float = 0, alive: bool = True, name: str = "a") -> dict[str, object]:
    return {"NodeID": name, "Alive": alive, "Resources": {"CPU": cores, **({"GPU": gpus} if gpus else {})}}


def cluster(*nodes: tuple[float, float]) -> list[dict[str, object]]:
    """Nodes a, b, ... with so many cores and GPUs."""
    return [node(cores, gpus, name=chr(97 + i)) for i, (cores, gpus) in enumerate(nodes)]


@pytest.mark.parametrize(
    ("nodes", "a_node", "device", "places", "cores", "loose"),
    [
        # Without GPUs: one a node, or as many as asked for.
        ([(8, 0)], None, None, "a", 8, False),
        ([(1, 0)], 2, None, "aa", 0.5, False),
        ([(8, 0), (8, 0)], 2, None, "aabb", 4, False),
        ([(64, 0), (4, 0)], 2, None, "aabb", 2, True),
        ([(7, 0), (7, 0)], 4, None, "aaaabbbb", 1, True),
        ([(7, 0)], 4, None, "aaaa", 1, False),
        # With: one a GPU, on the nodes that have them.
        ([(32, 4), (32, 4)], None, None, "aaaabbbb", 8, False),
        ([(8, 0), (32, 4)], None, None, "bbbb", 8, False),
        ([(8, 0), (32, 4)], None, "cuda", "bbbb", 8, False),
        ([(64, 8), (32, 4)], None, None, "aaaaaaaabbbb", 8, False),
        ([(4, 0), (64, 8), (32, 4)], 2, None, "bbcc", 16, True),
        ([(32, 8), (32, 4)], None, None, "aaaaaaaabbbb", 4, False),
        # Which are nothing to those that compute on the CPU.
        ([(8, 0), (32, 4)], None, "cpu", "ab", 8, True),
    ],
)
def test_a_fixed_number_of_workers_a_node(
    nodes: list[tuple[float, float]], a_node: int | None, device: str | None, places: str, cores: float, loose: bool
) -> None:
    gpus = float(device != "cpu" and any(gpus for _, gpus in nodes))
    expected = list(places), {"num_cpus": cores, "num_gpus": gpus}, loose
    assert _layout(cluster(*nodes), a_node, device) == expected


def test_nodes_that_cannot_take_the_workers() -> None:
    assert _layout([node(8), node(4, name="b"), node(9, alive=False, name="c")], 2)[0] == list("aabb")
    with pytest.raises(FerzooError, match="A node has 4 GPUs, .* ask for 4 a node, not 5"):
        _layout(cluster((8, 0), (64, 8), (32, 4)), 5)
    with pytest.raises(FerzooError, match="no node with a GPU for the device 'cuda'"):
        _layout(cluster((8, 0), (8, 0)), None, "cuda")
    with pytest.raises(FerzooError, match="no node with proc"):
        _layout([node(8, alive=False)], None)


def test_each_worker_is_brought_to_its_node() -> None:
    data = pytest.importorskip("ray.data", reason="comes with the extra ray")
    a, b = "a" * 56, "b" * 56
    assert _placing(data.Dataset, ()) == {}
    options = _placing(data.Dataset, (a, a, b, b)).get("ray_remote_args_fn")
    if options is None:
        pytest.skip("this version of Ray does not ask for the options of each worker")
    for _ in range(5):  # also where Ray asks once more than there are workers
        options()
        asked = [options()["scheduling_strategy"] for _ in range(4)]
        assert sorted(strategy.node_id for strategy in asked) == [a, a, b, b] and all(s.soft for s in asked)


def test_without_an_address_no_other_cluster_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    ray = pytest.importorskip("ray", reason="comes with the extra ray")
    asked: list[str] = []
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", lambda address, **_: asked.append(address))
    monkeypatch.setattr(ray, "nodes", lambda: [node(8), node(8, 2, name="b"), node(8, 2, name="c")])
    for address in (None, "auto"):
        with connect(Settings("lfnsb"), Cluster(address)) as team:
            # The journal names the device that the workers take.
            assert (team.workers, team.settings.device, team.resources["num_cpus"]) == (4, "cuda", 4)
        with connect(Settings("lfnsb", device="cpu"), Cluster(address)) as team:
            assert (team.workers, team.settings.device, team.resources["num_gpus"]) == (3, "cpu", 0)
    assert asked == ["local", "local", "auto", "auto"]
