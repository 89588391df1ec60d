"""`bench` and its processes: rows, turns, what fails in one place only, and that no process is left."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

pytest.importorskip("onnxruntime", reason="comes with the extra export")
pytest.importorskip("onnxscript", reason="comes with the extra export")

from tiny_onnx import SIDE, write_tiny

from ferzoo.deploy import bench as module
from ferzoo.deploy import bench_process, bench_runtimes
from ferzoo.deploy.bench import bench, turns
from ferzoo.deploy.bench_files import Subject
from ferzoo.deploy.bench_gpu import matmul_rate, roofline
from ferzoo.deploy.bench_process import Worker
from ferzoo.deploy.bench_runtimes import Job
from ferzoo.deploy.bench_summary import percentiles
from ferzoo.errors import FerzooError, MissingExtraError, UnknownNameError


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("files")
    return [str(write_tiny(folder / "narrow.onnx")), str(write_tiny(folder / "wide.onnx", 32))]


@pytest.fixture
def pids(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the processes that were started."""
    started: list[int] = []

    class Noted(Worker):
        def ask(self, line: str) -> dict[str, Any]:
            if self._process.pid not in started:
                started.append(self._process.pid)
            return super().ask(line)

    monkeypatch.setattr(module, "Worker", Noted)
    return started


def is_there(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def job(file: str, folder: Path, runtime: str = "onnx") -> Job:
    np.save(folder / "batch.npy", np.zeros((1, 3, SIDE, SIDE), np.float32))
    return Job("tiny", runtime, file, str(folder / "batch.npy"), 1)


def test_rows_and_turns(files: list[str], pids: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    narrow, wide = files
    calls: list[tuple[str, int, list[float]]] = []
    real = module.Worker.run

    def run(self: Worker, runs: int) -> list[float]:
        times = real(self, runs)
        calls.append((self.job.model, runs, times))
        return times

    monkeypatch.setattr(module.Worker, "run", run)
    result = bench([narrow], ["onnx"], batch=2, threads=1, rounds=4, runs=3, relative_to=wide)
    assert [call[:2] for call in calls[:2]] == [(narrow, 5), (wide, 5)]
    rounds = [calls[i : i + 2] for i in range(2, len(calls), 2)]
    assert len(rounds) == 4
    for taken in rounds:
        assert {model for model, _, _ in taken} == {narrow, wide} and {runs for _, runs, _ in taken} == {3}
    for row, name in zip(result.rows, (narrow, wide), strict=True):
        times = [time for model, _, found in calls[2:] for time in found if model == name]
        assert (row.model, row.runtime, row.input, row.error) == (name, "onnx", (3, SIDE, SIDE), "")
        assert len(times) == 12 and min(times) > 0
        assert row.p50_ms == pytest.approx(statistics.median(times), abs=1e-3)
        assert row.min_ms == pytest.approx(min(times), abs=1e-3)
        assert row.images_per_s == pytest.approx(2000 / statistics.median(times), rel=1e-3)
        assert row.size_bytes == Path(name).stat().st_size
        assert row.memory_mib is None or row.memory_mib > 5
        assert row.cold_start_s is not None and row.cold_start_s > 0
    assert result.rows[1].ratio == 1
    p50 = [row.p50_ms or 0 for row in result.rows]
    assert result.rows[0].ratio == pytest.approx(p50[0] / p50[1], rel=1e-3)
    said = json.loads(json.dumps(result.to_dict()))
    assert (said["batch"], said["threads"], said["rounds"], said["runs"]) == (2, 1, 4, 3)
    assert said["relative_to"] == wide and said["rows"][0]["p50_ms"] == p50[0]
    assert said["machine"]["versions"]["torch"] and said["machine"]["processor"]
    assert len(pids) == 2 and not any(map(is_there, pids))


def test_turns_are_fair() -> None:
    order = list(turns(3, 300))
    rounds = [order[i : i + 3] for i in range(0, len(order), 3)]
    assert len(rounds) == 300 and all(sorted(each) == [0, 1, 2] for each in rounds)
    follows = Counter((a, b) for each in rounds for a, b in zip(each, each[1:], strict=False))
    assert len(follows) == 6 and min(follows.values()) > 60
    assert order == list(turns(3, 300))


def test_percentiles() -> None:
    times = [float(t) for t in range(1, 102)]
    found = percentiles(times, 4)
    assert found == {"p50_ms": 51.0, "p95_ms": 96.0, "min_ms": 1.0, "images_per_s": round(4000 / 51, 2)}


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_exported_files_run_without_torch(
    runtime: str, files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openvino" if runtime == "openvino" else "onnxruntime")
    (tmp_path / "torch.py").write_text("raise RuntimeError('torch was imported')\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    worker = Worker(job(files[0], tmp_path, runtime))
    try:
        assert len(worker.run(2)) == 2
    finally:
        worker.close()
    with pytest.raises(FerzooError, match="torch was imported"):
        Worker(job(files[0], tmp_path, "eager"))


def test_a_process_that_dies_loses_its_row_alone(
    files: list[str], pids: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, turn = module.Worker.run, Counter[str]()

    def run(self: Worker, runs: int) -> list[float]:
        turn[self.job.model] += 1
        if self.job.model == files[0] and turn[files[0]] == 3:
            os.kill(self.pid, signal.SIGKILL)
        return real(self, runs)

    monkeypatch.setattr(module.Worker, "run", run)
    dead, alive = bench(files, ["onnx"], threads=1, rounds=4, runs=1).rows
    assert "was killed by signal 9" in dead.error and dead.p50_ms is None
    assert alive.error == "" and alive.p50_ms
    assert turn == {files[0]: 3, files[1]: 5}
    assert not any(map(is_there, pids))


def test_an_interrupt_leaves_no_process(files: list[str], pids: list[int]) -> None:
    def stop(what: str, done: int, total: int) -> None:
        if what == "measuring" and done == 3:
            assert len(pids) == 2 and all(map(is_there, pids))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench(files, ["onnx"], threads=1, rounds=9, runs=1, progress=stop)
    assert len(pids) == 2 and not any(map(is_there, pids))


def test_a_process_that_hangs_is_ended(files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_process, "PATIENCE", 0.2)
    worker = Worker.__new__(Worker)
    worker._process = subprocess.Popen(
        [sys.executable, "-c", "input(); import time; time.sleep(600)"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    with pytest.raises(FerzooError, match="gave no answer for 0.2 s, and was ended: take fewer runs"):
        worker.ask("1")
    assert worker._process.wait(30) == -signal.SIGKILL
    worker._process.communicate()


def test_what_one_runtime_does_not_take(files: list[str], tmp_path: Path) -> None:
    (tmp_path / "damaged.onnx").write_bytes(b"no network")
    with pytest.raises(FerzooError, match="damaged"):
        Worker(job(str(tmp_path / "damaged.onnx"), tmp_path))
    rows = bench(files[:1], ["fused", "onnx"], threads=1, rounds=1, runs=1).rows
    assert "runs in ONNX Runtime and OpenVINO alone" in rows[0].error and rows[0].size_bytes is None
    assert rows[1].p50_ms and not rows[1].error


def test_a_network_in_torch(pids: list[int]) -> None:
    [row] = bench(["lanmsff"], ["eager"], threads=1, rounds=1, runs=1, size=32).rows
    assert (row.error, row.input, row.trained) == ("", (1, 32, 32), True)
    assert row.p50_ms and row.flops and row.cold_start_s
    assert len(pids) == 1 and not is_there(pids[0])


def test_wrong_arguments(files: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'onnx'"):
        bench(files, ["onnnx"])
    with pytest.raises(FerzooError, match="No runtime is named"):
        bench(files, [])
    with pytest.raises(FerzooError, match="No network is named"):
        bench([])
    with pytest.raises(FerzooError, match="threads must be at most 1,024, got 100,000"):
        bench(["lanmsff"], ["onnx"], threads=100_000)
    with pytest.raises(FerzooError, match="from 1 up"):
        bench(files, ["onnx"], rounds=0)
    with pytest.raises(UnknownNameError, match="Did you mean 'lanmsff'"):
        bench(["lanmsf"], ["eager"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(FerzooError, match="torch sees no GPU here"):
        bench(files, ["cuda-bf16"])
    real = bench_runtimes.find_spec
    monkeypatch.setattr(bench_runtimes, "find_spec", lambda name: None if name == "openvino" else real(name))
    with pytest.raises(MissingExtraError, match=r"ferzoo\[openvino\]"):
        bench(files, ["openvino"])
    assert bench_runtimes.choose(None) == ["eager", "fused", "compiled", "onnx", "onnx-spin"]


@pytest.mark.parametrize("rate", [4e12, None])
def test_a_gpu_beside_its_roofline(rate: float | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class OnGpu:
        note, cold_start_s, memory_mib = "", 1.0, 100.0

        def __init__(self, job: Job) -> None:
            pass

        def run(self, runs: int) -> list[float]:
            return [8.0] * runs

        def ask(self, line: str) -> dict[str, Any]:
            if rate is None:
                raise FerzooError("out of memory")
            return {"gpu": "a GPU", "bf16_flops_per_s": rate}

        def close(self) -> None:
            pass

    file = tmp_path / "model.safetensors"
    file.write_bytes(b"12345")
    subject = Subject("net", (3, 8, 8), tmp_path / "batch.npy", True, flops=10**9, files={"safetensors": file})
    monkeypatch.setattr(module, "Worker", OnGpu)
    monkeypatch.setattr(module, "prepare", lambda *_: [subject])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    result = bench(["net"], ["cuda-bf16"], batch=8, rounds=2)
    [row] = result.rows
    assert row.images_per_s == 1000 and row.size_bytes == 5
    if rate:
        # A multiply-add is two operations: 4e12 / 2e9.
        assert (row.roofline_images_per_s, row.roofline_fraction) == (2000, 0.5)
    else:
        assert row.roofline_fraction is None and "out of memory" in result.machine["gpu"]


def test_rate_of_a_matrix_product() -> None:
    assert matmul_rate("cpu", 16, 3) > 0
    assert roofline(500_000_000, 1e12) == 1000
