"""One way to a network: folders, names and what is wrong with them."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from ferzoo import create_model
from ferzoo.errors import CheckpointError, UnknownNameError
from ferzoo.registry import load
from ferzoo.registry.load import load_model


@pytest.fixture
def copy(checkpoint, tmp_path) -> Path:
    """A checkpoint folder to damage."""
    return Path(shutil.copytree(checkpoint, tmp_path / "lfnsb"))


def edit(folder: Path, **changes: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def test_a_folder_gives_its_weights_labels_and_flags(checkpoint) -> None:
    model = load_model(checkpoint)
    stored = load_file(checkpoint / "model.safetensors")
    own = model.state_dict()
    assert own.keys() == stored.keys() and all(torch.equal(own[k], stored[k]) for k in own)
    assert model.num_classes == 3 and list(model.pretrained_cfg["label_names"]) == ["calm", "cross", "glad"]
    assert tuple(model.pretrained_cfg["input_size"]) == (3, 32, 32)
    assert model.ferzoo_cfg == {"grayscale": True, "labels": "none"}


def test_a_folder_that_was_moved_needs_nothing_else(copy, monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    cfg = json.loads((copy / "config.json").read_text())["pretrained_cfg"]
    edit(copy, pretrained_cfg={**cfg, "hf_hub_id": "nobody/nothing", "file": "/nowhere", "url": "https://nowhere"})
    assert load_model(str(copy)).num_classes == 3


@pytest.mark.parametrize("network", ["lfn", "lanmsff"])
def test_networks_that_know_their_input(tmp_path, network) -> None:
    from ferzoo.train.checkpoint import write_checkpoint

    fixed = {"img_size": 64} if network == "lfn" else {}
    model = create_model(network, num_classes=7, in_chans=1, **fixed)
    cfg = {k: v for k, v in model.pretrained_cfg.items() if k not in ("file", "hf_hub_id", "url", "tag")}
    write_checkpoint(tmp_path, model, {**cfg, "num_classes": 7, "input_size": (1, 64, 64)}, {})
    x = torch.rand(2, 1, 64, 64)
    with torch.inference_mode():
        assert torch.equal(load_model(tmp_path).eval()(x), model.eval()(x))


def test_names_and_folders_of_one_name(copy, monkeypatch) -> None:
    seen = []
    for how in ("create_model", "create_from_folder"):
        monkeypatch.setattr(load, how, lambda name, how=how, **kwargs: seen.append((how, str(name))))
    monkeypatch.chdir(copy.parent)
    load_model("lfnsb")
    load_model("./lfnsb")
    load_model(Path("lfnsb"))
    os.rename("lfnsb", "mine")
    load_model("mine")
    assert seen == [("create_model", "lfnsb"), *(("create_from_folder", name) for name in ("lfnsb", "lfnsb", "mine"))]


def test_what_is_wrong_is_said(copy) -> None:
    with pytest.raises(CheckpointError, match="no folder"):
        load_model(copy / "nowhere")
    with pytest.raises(UnknownNameError, match="lfnsb.*config.json"):
        load_model(edit(copy, architecture="lfnsbb"))
    with pytest.raises(CheckpointError, match="does not fit|cannot be loaded"):
        load_model(edit(copy, architecture="lanmsff"))
    edit(copy, architecture="lfnsb")
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot be loaded"):
        load_model(copy)
    weights.unlink()
    with pytest.raises(CheckpointError, match="has no model.safetensors"):
        load_model(copy)
    weights.touch()
    for text, word in (("{", "JSON"), ("[]", "architecture"), ('{"architecture": "lfnsb"}', "input_size")):
        (copy / "config.json").write_text(text)
        with pytest.raises(CheckpointError, match=word):
            load_model(copy)
