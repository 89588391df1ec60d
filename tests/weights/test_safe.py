"""Nothing that could run code from a file is ever loaded."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import ferzoo
from ferzoo.errors import CheckpointError
from ferzoo.weights.repository import fetch


class Payload:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = str(folder)

    def __reduce__(self) -> tuple:
        return os.mkdir, (self.folder,)


@pytest.mark.parametrize("how", ["checkpoint_path", "pretrained_cfg_overlay", "pretrained_cfg"])
@pytest.mark.parametrize("suffix", [".pth", ".bin", ".safetensors.pt"])
def test_pickles_are_refused_unread(how: str, suffix: str, tmp_path: Path) -> None:
    file, made = tmp_path / f"evil{suffix}", tmp_path / "made"
    torch.save({"w": Payload(made)}, file)
    given = {"checkpoint_path": {"checkpoint_path": str(file)}}.get(how) or {
        how: {"file": str(file)},
        "pretrained": True,
    }
    with pytest.raises(CheckpointError, match="ferzoo convert"):
        ferzoo.create_model("lanmsff", **given)
    assert not made.exists()


def test_plain_timm_is_guarded_where_ferzoo_builds(tmp_path: Path) -> None:
    import timm

    ferzoo.load_plugins()
    made = tmp_path / "made"
    torch.save({"w": Payload(made)}, tmp_path / "evil.pth")
    with pytest.raises(CheckpointError, match="ferzoo convert"):
        timm.create_model("lanmsff", pretrained=True, pretrained_cfg_overlay={"file": str(tmp_path / "evil.pth")})
    assert not made.exists()


def test_a_repository_that_is_out_of_reach_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=r"nobody/nothing is not in the cache.*HF_HUB_OFFLINE"):
        fetch("nobody/nothing", tmp_path)
