"""Weights that an argument of `create_model` names, in the place of those that the name means."""

from __future__ import annotations

from pathlib import Path

import pytest
from random_weights import Save, Tensors, assert_loaded

import ferzoo
from ferzoo.errors import CheckpointError


@pytest.mark.parametrize("name", ["lanmsff", "test_resnet"])
@pytest.mark.parametrize("how", ["checkpoint_path", "pretrained_cfg_overlay", "pretrained_cfg"])
@pytest.mark.parametrize(("wrong", "message"), [(b"", "it is damaged"), (None, "there is no such file")])
def test_a_file_that_cannot_be_read(wrong: bytes | None, message: str, how: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    if wrong is not None:
        path.write_bytes(wrong)
    with pytest.raises(CheckpointError, match=f"x.safetensors cannot be loaded: {message}"):
        ferzoo.create_model(name, pretrained=True, **{how: path if how == "checkpoint_path" else {"file": str(path)}})


def test_a_file_that_is_not_read_may_be_missing(tensors: dict[str, Tensors]) -> None:
    gone = {"file": "/gone.safetensors"}
    ferzoo.create_model("lanmsff", pretrained_cfg_overlay=gone)
    given = {**gone, "state_dict": dict(tensors["lanmsff"])}
    assert_loaded(ferzoo.create_model("lanmsff", pretrained=True, pretrained_cfg_overlay=given), tensors["lanmsff"])


def test_the_source_in_the_overlay_goes_before_the_users_own(tensors: dict[str, Tensors], save: Save) -> None:
    save("lanmsff.mine", {key: tensor + 1 for key, tensor in tensors["lanmsff"].items()})
    given = {"state_dict": dict(tensors["lanmsff"])}
    assert_loaded(
        ferzoo.create_model("lanmsff.mine", pretrained=True, pretrained_cfg_overlay=given), tensors["lanmsff"]
    )
    with pytest.raises(CheckpointError, match="x.pth is not loaded"):
        ferzoo.create_model("lanmsff.mine", pretrained=True, pretrained_cfg_overlay={"url": "http://127.0.0.1:9/x.pth"})


@pytest.mark.parametrize("name", ["lanmsff", "lanmsff.ferplus", "lanmsff.mine"])
def test_weights_in_the_overlay_are_told_by_its_facts_alone(name: str, tensors: dict[str, Tensors], save: Save) -> None:
    if name == "lanmsff.mine":
        facts = {"license": "mit", "description": "mine", "label_names": list("abcdefgh")}
        save(name, tensors["lanmsff"], facts, ferzoo={"metrics": {"accuracy": 99}})
    own = ferzoo.create_model(name, pretrained=True)
    assert all(own.pretrained_cfg.get(key) for key in ("license", "description", "label_names"))
    given = {"state_dict": dict(tensors["lanmsff"]), "license": "apache-2.0"}
    model = ferzoo.create_model(name, pretrained=True, pretrained_cfg_overlay=given)
    assert [model.pretrained_cfg.get(key) for key in ("license", "description", "label_names")] == [
        given["license"],
        None,
        own.pretrained_cfg["label_names"],
    ]
    assert model.ferzoo_cfg == {} and model.pretrained_cfg["input_size"] == own.pretrained_cfg["input_size"]
    named = {**given, "label_names": tuple("hgfedcba")}
    model = ferzoo.create_model(name, pretrained=True, pretrained_cfg_overlay=named)
    assert model.pretrained_cfg["label_names"] == named["label_names"]
