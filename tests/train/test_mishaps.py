"""What goes wrong in a real run of the command ends in one clear line, and nothing that was saved is lost."""

from __future__ import annotations

import errno
import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from ferzoo.cli.main import main
from ferzoo.train.checkpoint import alone
from ferzoo.train.loop import Run


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of noise in the layout of an image folder."""
    folder, rng = tmp_path_factory.mktemp("faces"), np.random.default_rng(0)
    for split in ("train", "validation"):
        for name in ("happy", "sad"):
            (folder / split / name).mkdir(parents=True)
            for i in range(4):
                pixels = rng.integers(0, 256, (48, 48), dtype=np.uint8)
                Image.fromarray(pixels).save(folder / split / name / f"{i}.png")
    return folder


def command(data: Path, out: Path, *more: str) -> list[str]:
    settings = [
        "model=test_resnet", "dataset=folder", f"data={data}", f"out={out}", "epochs=4", "batch_size=4",
        "sizes={0: 32}", "threads=1", "device=cpu",
    ]  # fmt: skip
    return [sys.executable, "-m", "ferzoo.cli.main", "train", *more, *settings]


def run_here(data: Path, out: Path, *more: str) -> int:
    """Run the command in this process, which has torch already; its exit code."""
    threads = torch.get_num_threads()
    try:
        return main(command(data, out, *more)[3:])
    finally:
        torch.set_num_threads(threads)


def train_here(data: Path, out: Path, *more: str) -> None:
    assert run_here(data, out, *more) == 0


def refused_here(capsys: pytest.CaptureFixture[str], data: Path, out: Path, *more: str) -> str:
    """The message of a run in this process."""
    code = run_here(data, out, *more)
    return last_line(subprocess.CompletedProcess((), code, stderr=capsys.readouterr().err))


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    """The message; there is no traceback above it."""
    assert done.returncode == 2 and "Traceback" not in done.stderr
    return done.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize(("size", "file"), [(1_000_000, "model.safetensors"), (3_000_000, "state.pt")])
def test_a_full_disk_in_the_first_epoch(
    data: Path, tmp_path: Path, size: int, file: str, largest_file: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    with largest_file(size):
        message = refused_here(capsys, data, out)
    assert f"{out / file}: File too large" in message and "start again" in message
    assert not (out / "state.pt").exists()
    assert not [path.name for path in out.iterdir() if path.name.startswith(".")]


def test_a_run_that_begins_while_another_one_does_is_turned_away(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, build = tmp_path / "run", Run.__init__

    def begins_meanwhile(run: Run, *args: Any) -> None:
        build(run, *args)
        monkeypatch.setattr(Run, "__init__", build)
        train_here(data, out)
        kept.update({path: path.read_bytes() for path in out.iterdir() if path.is_file()})
        capsys.readouterr()

    kept: dict[Path, bytes] = {}
    monkeypatch.setattr(Run, "__init__", begins_meanwhile)
    assert "continue it with --resume" in refused_here(capsys, data, out)
    assert kept and {path: path.read_bytes() for path in kept} == kept


def test_a_full_disk_later_loses_no_finished_epoch(
    data: Path, tmp_path: Path, largest_file: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    whole, out, save = tmp_path / "whole", tmp_path / "run", Run._save

    def save_and_stop(run: Run) -> None:
        save(run)
        raise KeyboardInterrupt

    train_here(data, whole)
    with monkeypatch.context() as once:
        once.setattr(Run, "_save", save_and_stop)
        assert run_here(data, out) == 130
    capsys.readouterr()
    kept = (out / "state.pt").read_bytes()
    with largest_file(3_000_000):
        message = refused_here(capsys, data, out, "--resume")
    assert f"{out / 'state.pt'}: File too large" in message and "continue with --resume" in message
    assert (out / "state.pt").read_bytes() == kept
    train_here(data, out, "--resume")
    expected, found = (load_file(folder / "model.safetensors") for folder in (whole, out))
    assert all(torch.equal(expected[key], found[key]) for key in expected)


def test_a_run_whose_messages_nobody_reads_goes_on(data: Path, tmp_path: Path) -> None:
    begun = subprocess.Popen(command(data, tmp_path / "run"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    begun.stdout.close()  # as `2>&1 | head -0` does
    assert begun.wait(timeout=300) == 0
    assert (tmp_path / "run" / "README.md").exists()
    assert len(json.loads((tmp_path / "run" / "history.json").read_text())) == 4


def test_a_loss_that_is_no_number_in_the_first_epoch(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    message = refused_here(capsys, data, tmp_path / "run", "lr=1e30", "clip_grad=0", "warmup=0", "sched=none")
    assert "in epoch 1, step" in message and "No epoch was finished; lower lr" in message


def test_other_rows_are_refused(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    train_here(data, out)
    sad = data / "train" / "sad"
    pictures = [(sad / f"{i}.png").read_bytes() for i in range(4)]
    more, order, other = [*pictures, pictures[3]], [*pictures[1:], pictures[0]], [*pictures[:3], pictures[0]]
    try:
        for changed in (more, order, other):
            for i, picture in enumerate(changed):
                (sad / f"{i}.png").write_bytes(picture)
            for in_memory in ("true", "false"):
                message = refused_here(capsys, data, out, "--resume", f"in_memory={in_memory}")
                assert "other training rows" in message and "choose another out=" in message
            (sad / "4.png").unlink(missing_ok=True)
    finally:
        for i, picture in enumerate(pictures):
            (sad / f"{i}.png").write_bytes(picture)
    train_here(data, out, "--resume", "in_memory=false")  # these are the same rows


@pytest.mark.skipif(importlib.util.find_spec("fcntl") is None, reason="this system has no such locks")
@pytest.mark.parametrize("workers", [0, 1])
def test_a_second_process_is_turned_away(
    workers: int, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out, step, said = tmp_path / "run", Run.step_epoch, []

    def meanwhile(run: Run) -> dict[str, Any]:
        entry = step(run)
        monkeypatch.setattr(Run, "step_epoch", step)
        capsys.readouterr()
        before = {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()}
        said.append(refused_here(capsys, data, out, "--resume"))
        assert {path: path.read_bytes() for path in out.rglob("*.*") if path.is_file()} == before
        return entry

    monkeypatch.setattr(Run, "step_epoch", meanwhile)
    train_here(data, out, f"workers={workers}")
    assert said == [f"ferzoo train: Another run is training into {out}: wait until it ends, or choose another out=."]
    assert refused_here(capsys, data, tmp_path / "none", "--resume") and not (tmp_path / "none").exists()


needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")


@needs_fork
def test_a_child_closes_nothing_twice(tmp_path: Path) -> None:
    """Nor does a child of its own, where the number is that of another file."""
    with alone(tmp_path / "run"):
        child = os.fork()
        if not child:
            code = 1
            try:
                with (tmp_path / "mine").open("w") as file:
                    grandchild = os.fork()
                    if not grandchild:
                        os.fstat(file.fileno())
                        os._exit(0)
                    code = os.waitpid(grandchild, 0)[1]
            finally:
                os._exit(bool(code))
        assert os.waitpid(child, 0)[1] == 0


@needs_fork
def test_a_block_that_a_child_leaves_is_left_in_peace(tmp_path: Path) -> None:
    parent = os.getpid()
    code = 1
    try:
        with alone(tmp_path):
            child = os.fork()
        code = 0
    finally:
        if os.getpid() != parent:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


def test_a_folder_that_cannot_be_held_is_trained_into_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    for name in ("os.open", "fcntl.flock"):
        with monkeypatch.context() as patch:
            if name == "os.open" or importlib.util.find_spec("fcntl"):
                patch.setattr(name, refuse)
            with alone(tmp_path):
                pass


@needs_fork
def test_a_child_lets_a_run_s_folder_go(tmp_path: Path) -> None:
    """A child that outlives a killed run, as those that load images do for seconds, is no reason to turn it away."""
    here, there = socket.socketpair()
    here.settimeout(60)
    there.settimeout(60)
    with here, there:
        with alone(tmp_path):
            child = os.fork()
            if not child:
                try:
                    there.send(b"!")
                    there.recv(1)  # until told
                finally:
                    os._exit(0)
            here.recv(1)
        try:
            with alone(tmp_path):
                pass
        finally:
            here.send(b"!")
            os.waitpid(child, 0)


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_damaged_image_is_named(data: Path, tmp_path: Path, split: str, capsys: pytest.CaptureFixture[str]) -> None:
    broken = data / split / "sad" / "2.png"
    content = broken.read_bytes()
    broken.write_bytes(content[: len(content) // 2])
    try:
        message = refused_here(capsys, data, tmp_path / "run")
    finally:
        broken.write_bytes(content)
    assert str(broken) in message
