"""Files are there whole or not at all, and an error says which file and why."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from ferzoo.predict.drawing import save
from ferzoo.weights.files import new_file, write_atomically, write_tensors

FULL = OSError(errno.ENOSPC, "No space left on device")


def wrapped(_: Path) -> None:
    """Fail as torch.save does: with an error of its own while the system's is handled."""
    try:
        raise FULL
    finally:
        raise RuntimeError("unexpected pos 64 vs 0")


def half(path: Path) -> None:
    path.write_bytes(b"half")
    raise FULL


@pytest.mark.parametrize("write", [half, wrapped])
def test_a_full_disk_names_the_file_and_leaves_the_old_one(tmp_path: Path, write: Any) -> None:
    target = tmp_path / "state.pt"
    target.write_bytes(b"old")
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(target, write)
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(target))
    assert [path.name for path in tmp_path.iterdir()] == ["state.pt"] and target.read_bytes() == b"old"


def test_other_errors_stay_what_they_are(tmp_path: Path) -> None:
    def write(_: Path) -> None:
        raise ValueError("no such format")

    with pytest.raises(ValueError, match="no such format"):
        write_atomically(tmp_path / "file", write)
    assert not list(tmp_path.iterdir())


def test_tensors_come_back_bit_for_bit(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(3, 4), "b": torch.tensor([1, 2]), "c": torch.randn(2).half()}
    path = tmp_path / "new" / "model.safetensors"
    write_tensors(path, tensors, {"architecture": "lfnsb"})
    back = load_file(path)
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[k], tensors[k]) and back[k].dtype == tensors[k].dtype for k in tensors)
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt", "architecture": "lfnsb"}


@pytest.mark.skipif(os.name == "nt", reason="files have no such rights here")
@pytest.mark.parametrize(("umask", "rights"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_the_umask_says_who_may_read_a_file(umask: int, rights: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "rows.json", lambda path: path.write_text("{}"))
        save(Image.new("RGB", (2, 2)), tmp_path / "face.png")
        new_file(tmp_path, "part-", ".avi")
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {rights}


def test_a_new_file_has_an_absolute_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with a colon is a protocol to FFmpeg where it comes first, and a program may go elsewhere meanwhile."""
    monkeypatch.chdir(tmp_path)
    Path("here").mkdir()
    found = new_file(Path("here"), ".x-", ".mp4")
    assert found.is_absolute() and found.parent == tmp_path / "here" and found.stat().st_size == 0


def test_a_name_that_is_taken_is_not_taken_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["00", "00", "01"])
    monkeypatch.setattr("secrets.token_hex", lambda _: next(names))
    first = new_file(tmp_path, "x")
    first.write_text("another's")
    assert new_file(tmp_path, "x").name == "x01" and first.read_text() == "another's"
