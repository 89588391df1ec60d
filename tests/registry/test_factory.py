"""create_* and list_*: what is registered, what passes through to timm, and what unknown names are told."""

from __future__ import annotations

import ast
import fnmatch
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

import ferzoo
from ferzoo.errors import CheckpointError, UnknownNameError
from ferzoo.registry import entry_points as ep
from ferzoo.registry.factory import find_registered
from ferzoo.weights.configs import checkpoints

LISTS: dict[str, Callable[..., list[str]]] = {
    "model": ferzoo.list_models,
    "block": ferzoo.list_blocks,
    "loss": ferzoo.list_losses,
}
OWN = [
    (kind, name) for kind in LISTS for name, claims in ep.entries(kind).items() if claims[0].distribution == "ferzoo"
]


@pytest.mark.parametrize(("kind", "name"), OWN)
def test_every_name_leads_to_what_it_says(kind: str, name: str) -> None:
    if kind == "model":
        assert isinstance(ferzoo.create_model(name), nn.Module)
        assert name in timm.list_models()
    else:
        item = find_registered(kind, name)
        assert (item.kind, item.name) == (kind, name)
        assert callable(item.make)


def _registrations(kind: str) -> set[str]:
    """Names in the decorators of the source, read without importing it."""
    found = set()
    for path in Path(ferzoo.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.FunctionDef | ast.ClassDef):
                continue
            for decorator in node.decorator_list:
                call = decorator if isinstance(decorator, ast.Call) else None
                if getattr(call.func if call else decorator, "id", "") == f"register_{kind}":
                    named = call.args[0].value if call and call.args else None
                    found.add(named or node.name)
    return found


@pytest.mark.parametrize("kind", LISTS)
def test_every_registration_in_the_source_has_its_entry_point(kind: str) -> None:
    assert _registrations(kind) == {name for k, name in OWN if k == kind}


@pytest.mark.parametrize("kind", LISTS)
@pytest.mark.parametrize("pattern", ["lfn*", "*conv*", "*", "lfnsb", "?fn", "no_such*", "[lm]*"])
def test_a_filter_is_a_wildcard(kind: str, pattern: str) -> None:
    everything = LISTS[kind]()
    assert everything == sorted(set(everything))
    assert LISTS[kind](pattern) == [name for name in everything if fnmatch.fnmatchcase(name, pattern)]


def test_pretrained_lists_the_checkpoints_by_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FERZOO_WEIGHTS", raising=False)
    assert ferzoo.list_models(pretrained=True) == sorted(checkpoints())
    assert all(name.partition(".")[0] in ferzoo.list_models() for name in checkpoints())


def test_pretrained_lists_the_users_own_checkpoints_of_known_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lfnsb.mine.safetensors", "lfnsb.mine.json", "lfn.no_facts.safetensors"):
        (tmp_path / name).touch()
    for name in ("stranger.mine.safetensors", "stranger.mine.json", "untagged.safetensors"):
        (tmp_path / name).touch()
    monkeypatch.setenv("FERZOO_WEIGHTS", str(tmp_path))
    assert ferzoo.list_models(pretrained=True) == sorted({*checkpoints(), "lfnsb.mine"})
    assert ferzoo.list_models("*.mine", pretrained=True) == ["lfnsb.mine"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("lfnbs", "lfnsb"),
        ("LFNSB", "lfnsb"),
        ("lanmsf", "lanmsff"),
        ("test_resnett", "test_resnet"),
        ("lfnbs.x", "lfnsb"),
    ],
)
def test_an_unknown_model_is_answered_with_the_nearest(name: str, near: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"Unknown model '{name}'.*'{near}'.*`ferzoo list`") as caught:
        ferzoo.create_model(name)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("name", ["coord_at", "CoordAtt", "coordatt"])
def test_an_unknown_block_is_answered_with_the_nearest(name: str) -> None:
    with pytest.raises(UnknownNameError, match=rf"Unknown block '{name}'.*'coord_att'.*`ferzoo list --blocks`"):
        ferzoo.create_block(name)


def test_an_unknown_loss_is_told_where_to_look() -> None:
    with pytest.raises(UnknownNameError, match="Unknown loss 'no_such_thing'.*`ferzoo list --losses`"):
        ferzoo.create_loss("no_such_thing")


@pytest.mark.parametrize("make", [ferzoo.create_model, ferzoo.create_block])
@pytest.mark.parametrize("name", [None, 5, Path("lfnsb")])
def test_what_is_no_name_is_unknown(make: Callable[..., nn.Module], name: Any) -> None:
    with pytest.raises(UnknownNameError, match=r"Unknown (model|block) (None|5|\w+Path\('lfnsb'\))\. .*`ferzoo list"):
        make(name)


def test_a_name_of_one_kind_is_unknown_to_another() -> None:
    with pytest.raises(UnknownNameError):
        ferzoo.create_block("lfnsb")
    with pytest.raises(UnknownNameError):
        ferzoo.create_model("coord_att")


def test_a_block_takes_its_own_arguments_by_place_and_by_name() -> None:
    x = torch.randn(2, 16, 6, 5)
    for block in (ferzoo.create_block("coord_att", 16), ferzoo.create_block("coord_att", channels=16)):
        assert block(x).shape == x.shape
    with pytest.raises(TypeError):
        ferzoo.create_block("coord_att", no_such_argument=1)


@pytest.mark.parametrize("name", ["test_resnet", "test_resnet.r160_in1k"])
def test_timms_models_pass_through(name: str) -> None:
    model = ferzoo.create_model(name, num_classes=7, in_chans=1)
    assert type(model) is type(timm.create_model("test_resnet"))
    assert model.pretrained_cfg["tag"] == "r160_in1k"
    assert model(torch.randn(2, 1, 32, 32)).shape == (2, 7)


def test_arguments_of_timms_reach_the_network() -> None:
    model = ferzoo.create_model("lanmsff", num_classes=3, in_chans=4, drop_rate=0.25, features_only=False)
    assert (model.num_classes, model.drop_rate) == (3, 0.25)
    assert model(torch.randn(2, 4, 32, 48)).shape == (2, 3)


def test_a_cfg_given_as_an_argument_goes_before_the_tag() -> None:
    cfg = {"architecture": "lanmsff", "num_classes": 4, "input_size": (2, 64, 64)}
    model = ferzoo.create_model("lanmsff.any_tag", pretrained_cfg=cfg)
    assert (model.num_classes, model.in_chans) == (4, 2)


@pytest.mark.parametrize("pretrained", [False, True])
def test_a_tag_that_nobody_has_is_an_error_that_says_what_was_tried(pretrained: bool) -> None:
    with pytest.raises(CheckpointError, match=r"No weights for 'lfnsb.no_such_tag'. Tried: the package: no .*the Hub"):
        ferzoo.create_model("lfnsb.no_such_tag", pretrained=pretrained)
