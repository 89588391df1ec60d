"""Weights that an argument of `create_model` names, in the place of those that the name means."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import timm
from random_weights import Save, Tensors, assert_loaded
from timm.models import _registry
from torch import nn

import ferzoo
from ferzoo.errors import CheckpointError, CheckpointWarning
from ferzoo.hub.facts import Facts
from ferzoo.hub.folder import write_folder
from ferzoo.registry.load import wants_grey


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
        save(name, tensors["lanmsff"], facts, ferzoo={"metrics": {"accuracy": 99}, "grayscale": True})
    own = ferzoo.create_model(name, pretrained=True)
    assert all(own.pretrained_cfg.get(key) for key in ("license", "description", "label_names"))
    given = {"state_dict": dict(tensors["lanmsff"]), "license": "apache-2.0"}
    model = ferzoo.create_model(name, pretrained=True, pretrained_cfg_overlay=given)
    assert [model.pretrained_cfg.get(key) for key in ("license", "description", "label_names")] == [
        given["license"],
        None,
        own.pretrained_cfg["label_names"],
    ]
    assert model.pretrained_cfg.get("tag") is None and model.ferzoo_cfg == {"grayscale": True}
    assert model.pretrained_cfg["input_size"] == own.pretrained_cfg["input_size"]
    named = {**given, "label_names": tuple("hgfedcba")}
    model = ferzoo.create_model(name, pretrained=True, pretrained_cfg_overlay=named)
    assert model.pretrained_cfg["label_names"] == named["label_names"]


@pytest.mark.parametrize("where", ["shipped", "mine", "folder", "timm's way to a folder"])
def test_faces_are_prepared_for_weights_in_the_overlay_as_for_the_others(
    where: str, save: Save, tmp_path: Path
) -> None:
    name, create = (
        {"shipped": "lanmsff", "mine": "lanmsff.mine"}.get(where, f"local-dir:{tmp_path}"),
        ferzoo.create_model,
    )
    if where == "mine":
        save(name, create("lanmsff").state_dict(), ferzoo={"grayscale": True, "metrics": {"accuracy": 99}})
    elif where != "shipped":
        write_folder(create("lanmsff"), Facts("lanmsff", grayscale=True), tmp_path, "me/x")
        create = timm.create_model if "timm" in where else create
    overlay = {"state_dict": ferzoo.create_model("lanmsff").state_dict()}
    assert wants_grey(create(name, True)) and create(name, True, pretrained_cfg_overlay=overlay).ferzoo_cfg == {
        "grayscale": True
    }
    assert create(name, False, pretrained_cfg_overlay=overlay).pretrained_cfg["input_size"]


def test_a_folder_of_timms_network_takes_an_overlay_with_another_classifier(tmp_path: Path) -> None:
    timms = timm.create_model("test_resnet", num_classes=8)
    write_folder(timms, Facts("test_resnet"), tmp_path, "me/x")
    other = {key: tensor + 1 for key, tensor in timms.state_dict().items()}
    with pytest.warns(CheckpointWarning, match="8 classes"):
        model = ferzoo.create_model(
            f"local-dir:{tmp_path}", True, num_classes=3, pretrained_cfg_overlay={"state_dict": dict(other)}
        )
    assert_loaded(model, other, but=("fc.",))
    assert model.ferzoo_cfg == {"grayscale": False} and model.num_classes == 3


def test_names_of_classes_go_with_the_classifier_they_are_of(tmp_path: Path) -> None:
    timms = timm.create_model("test_resnet", num_classes=4)
    timms.pretrained_cfg["label_names"] = ("a", "b", "c", "d")
    write_folder(timms, Facts("test_resnet"), tmp_path, "me/x")
    name, other = f"local-dir:{tmp_path}", timm.create_model("test_resnet", num_classes=3).state_dict()
    assert len(ferzoo.create_model(name, True).pretrained_cfg["label_names"]) == 4
    with pytest.warns(CheckpointWarning, match="4 classes"):
        assert not ferzoo.create_model(name, True, num_classes=3).pretrained_cfg["label_names"]
    overlay = {"state_dict": dict(other), "num_classes": 3}
    model = ferzoo.create_model(name, True, pretrained_cfg_overlay=overlay)
    assert_loaded(model, other)
    assert model.pretrained_cfg["label_names"] is None
    with pytest.raises(CheckpointError, match=r"pretrained_cfg_overlay names cannot be loaded.*say its num_classes"):
        ferzoo.create_model(name, True, pretrained_cfg_overlay={"state_dict": dict(other)})
    with pytest.raises(CheckpointError, match=r"cannot be loaded into test_resnet: .*'nonsense'$"):
        ferzoo.create_model(name, True, nonsense=3, pretrained_cfg_overlay=overlay)


def test_a_network_in_a_folder_need_not_have_a_cfg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def bare(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        return nn.Sequential(nn.Linear(2, 2))

    monkeypatch.setitem(_registry._model_entrypoints, "bare_of_the_tests", bare)
    cfg = {"input_size": [1, 2, 2], "num_classes": 2}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "bare_of_the_tests", "pretrained_cfg": cfg}))
    assert isinstance(ferzoo.create_model(f"local-dir:{tmp_path}"), nn.Sequential)
