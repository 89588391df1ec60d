"""Two processes compute what one does at the same global batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ferzoo.errors import RecipeError
from ferzoo.train.processes import Processes

SCRIPT = Path(__file__).with_name("two_processes.py")


def run(out: Path, *launcher: str) -> None:
    out.mkdir()
    command = [sys.executable, *launcher, str(SCRIPT), str(out)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=400, env=env)
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    one, two = (tmp_path_factory.mktemp("processes") / name for name in ("one", "two"))
    run(one)
    run(two, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    return one, two


def test_the_gradients_are_those_of_the_whole_batch(folders: tuple[Path, Path]) -> None:
    """So are centres and a teacher's targets; losses see features of both processes, or variances would be others."""
    one, two = folders
    expected = torch.load(one / "gradients0.pt", weights_only=True)
    for rank in range(2):
        found = torch.load(two / f"gradients{rank}.pt", weights_only=True)
        assert found.keys() == expected.keys() and len(found) == 8 + 3 + 2  # network, centres, loss, targets
        for name, value in expected.items():
            assert value.any()
            assert (found[name] - value).norm() < 1e-5 * value.norm(), f"{name} of process {rank}"


def test_a_run_ends_in_the_same_weights(folders: tuple[Path, Path]) -> None:
    one, two = ({f: torch.load(f / "run" / "state.pt", weights_only=True) for f in folders}[f] for f in folders)
    assert one["model"].keys() == two["model"].keys()
    for part in ("model", "objective"):
        ours, theirs = (s["model"] if part == "model" else s["objective"]["loss"] for s in (one, two))
        for name, value in ours.items():
            torch.testing.assert_close(theirs[name], value, rtol=1e-3, atol=1e-5, msg=name)
    history = [json.loads((folder / "run" / "history.json").read_text()) for folder in folders]
    assert [e["accuracy"] for e in history[0]] == [e["accuracy"] for e in history[1]]
    assert [e["loss"] for e in history[0]] == pytest.approx([e["loss"] for e in history[1]], rel=1e-3)


def test_a_device_that_is_not_there_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RecipeError, match="device must be auto, cpu or cuda, got 'tpu'"):
        Processes("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(RecipeError, match="torch sees no GPU here"):
        Processes("cuda")


def test_processes_that_do_not_find_each_other_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would take itself for the only one."""
    assert Processes("cpu").count == 1
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(RecipeError, match="WORLD_SIZE must be how many processes there are, got 'two'"):
        Processes("cpu")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="WORLD_SIZE is 2, and RANK is not set: start by torchrun"):
        Processes("cpu")
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(RecipeError, match="2 processes were started, and accelerate did not join them"):
        Processes("cpu")
