"""An output that cannot be written is told before any work; a model's file may be named in another way."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from mean_colour import MeanColour
from PIL import Image

from ferzoo.errors import FerzooError
from ferzoo.predict import scoring_journal
from ferzoo.predict.scoring import score
from ferzoo.predict.scoring_job import Settings, difference
from ferzoo.predict.scoring_journal import Output
from ferzoo.weights.files import write_atomically

FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "crops"
    folder.mkdir()
    for i in range(6):
        Image.new("RGB", (8, 8), (40 * i, 20, 10)).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def no_work(monkeypatch: pytest.MonkeyPatch) -> None:
    """Loading the model is the first work."""

    def predictor(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr(Settings, "predictor", predictor)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("resume", [False, True])
def test_where_no_file_can_be_made(folder: Path, tmp_path: Path, resume: bool) -> None:
    if not Path("/proc/self").is_dir():
        pytest.skip("needs Linux")
    for name in ("x.csv", "x.parquet"):
        if name == "x.parquet":
            pytest.importorskip("pyarrow", reason="comes with the extra train")
        with pytest.raises(FerzooError, match=f"^/proc/{name} cannot be written: No such file or directory. Choose"):
            score(folder, f"/proc/{name}", MeanColour(), detect=False, resume=resume)


@pytest.mark.usefixtures("no_work")
def test_a_folder_that_may_not_be_written(folder: Path, tmp_path: Path) -> None:
    locked = tmp_path / "locked"
    locked.mkdir()
    locked.chmod(0o555)
    if os.access(locked, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(FerzooError, match="locked/r.csv cannot be written: Permission denied"):
        score(folder, locked / "r.csv", MeanColour(), detect=False)
    assert names(locked) == []


@pytest.mark.usefixtures("no_work")
@pytest.mark.parametrize("resume", [False, True])
@pytest.mark.parametrize("taken", ["r.parquet", "r.parquet.rows", "r.parquet.progress"])
def test_a_folder_in_the_place_of_a_file(folder: Path, tmp_path: Path, taken: str, resume: bool) -> None:
    pytest.importorskip("pyarrow", reason="comes with the extra train")
    (tmp_path / taken).mkdir()
    with pytest.raises(FerzooError, match=f"{taken} is a folder: move it away, or choose another name"):
        score(folder, tmp_path / "r.parquet", MeanColour(), detect=False, resume=resume)
    assert names(tmp_path) == ["crops", taken]


@pytest.mark.parametrize("step", ["journal", "rows", "header"])
def test_a_job_that_cannot_begin_leaves_nothing(tmp_path: Path, monkeypatch: Any, step: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise FULL

    out, real = tmp_path / "r.csv", Path.open
    if step == "journal":
        monkeypatch.setattr(scoring_journal, "write_atomically", fail)
    elif step == "rows":
        monkeypatch.setattr(
            Path, "open", lambda path, *args, **how: fail() if path == out else real(path, *args, **how)
        )
    else:
        monkeypatch.setattr(Output, "_append", fail)
    with pytest.raises(FerzooError, match="r.csv cannot be written: No space left on device"):
        Output(out, {}, b"head\n", False, out)
    assert names(tmp_path) == []
    monkeypatch.undo()
    Output(out, {}, b"head\n", False, out).close()
    assert out.read_bytes() == b"head\n"


def test_a_journal_that_cannot_be_replaced_is_told_at_once(tmp_path: Path, monkeypatch: Any) -> None:
    out = tmp_path / "r.csv"
    first = Output(out, {}, b"head\n", False, out)
    first.write(b"row\n", images=1)
    first.commit()
    first.close()
    with monkeypatch.context() as context:
        context.setattr(Output, "_write_journal", lambda _: (_ for _ in ()).throw(PermissionError(13, "Denied")))
        with pytest.raises(FerzooError, match="r.csv cannot be written: Denied. Nothing is lost"):
            Output(out, {}, b"head\n", True, out)
    assert out.read_bytes() == b"head\nrow\n"
    assert Output(out, {}, b"head\n", True, out).state.images == 1


def test_an_error_before_the_temporary_file_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for target in (tmp_path / "file" / "x.csv", tmp_path / ("x" * 250)):
        with pytest.raises(OSError) as caught:
            write_atomically(target, lambda path: path.write_bytes(b"x"))
        assert caught.value.filename == str(target)
    assert names(tmp_path) == ["file"]


def test_it_goes_on_with_the_same_model_by_another_path(folder: Path, tmp_path: Path, checkpoint: Path) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    out, copy = tmp_path / "r.csv", tmp_path / "copy"
    shutil.copytree(checkpoint, copy)
    with pytest.raises(KeyboardInterrupt):
        score(folder, out, str(checkpoint), detect=False, batch_size=2, progress=stop)
    for model in (f"{checkpoint.parent}/./{checkpoint.name}", copy):
        done = score(folder, out, model, detect=False, batch_size=2, resume=True)
    assert (done.images, done.resumed) == (6, 6)
    score(folder, tmp_path / "whole.csv", checkpoint, detect=False, batch_size=2)
    assert out.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_the_name_of_the_model_counts_with_its_weights_alone() -> None:
    old = {"model": "l.onnx", "weights": "12", "dtype": None}
    assert difference(old, {**old, "model": "./l.onnx"}) == ""
    said = difference(old, {**old, "model": "m.onnx", "weights": "34"})
    assert said == 'model was "l.onnx" and is "m.onnx"; the model has other weights, or is another network'
    assert difference(old, {**old, "model": "./l.onnx", "dtype": "float16"}) == 'dtype was null and is "float16"'


def test_another_network_with_the_same_weights_does_not_go_on(folder: Path, tmp_path: Path) -> None:
    class Darker(MeanColour):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x / 2)

    out = tmp_path / "r.csv"
    score(folder, out, MeanColour(), detect=False)
    with pytest.raises(FerzooError, match="or is another network"):
        score(folder, out, Darker(), detect=False, resume=True)
