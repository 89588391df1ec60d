"""The decorators refuse what would damage the registry, in modules made on the spot."""

from __future__ import annotations

import re
from typing import Any

import pytest
import timm

import ferzoo
from ferzoo.errors import PluginConflictError, RegistrationError
from ferzoo.registry.register import registered

# What timm says to a reload; every test makes its modules anew.
pytestmark = pytest.mark.filterwarnings("ignore:Overwriting:UserWarning")

MODEL = """
import ferzoo
from timm.models import generate_default_cfgs
from torch import nn

{all}
{cfgs}

@ferzoo.register_model{how}
def {name}({signature}):
    net = nn.Identity()
    net.made_by = __name__
    return net
"""


def model(name: str, **changes: str) -> str:
    parts = {
        "all": "__all__ = []",
        "cfgs": f"default_cfgs = generate_default_cfgs({{{name!r}: {{'num_classes': 8}}}})",
        "how": "",
        "signature": "pretrained=False, **kwargs",
    }
    return MODEL.format(name=name, **(parts | changes))


@pytest.mark.parametrize("how", ["", "()", '("reg_good")'])
@pytest.mark.parametrize("declared", ["__all__ = []", "__all__ = ['reg_good']", ""])
def test_a_sound_model_is_timms_as_well(make_module: Any, how: str, declared: str) -> None:
    module = make_module("reg_sound", model("reg_good", how=how, all=declared))
    assert timm.create_model("reg_good").made_by == "reg_sound"
    assert timm.list_models("reg_g*") == ["reg_good"]
    assert timm.models.get_pretrained_cfg("reg_good").num_classes == 8
    assert set(module.__all__) == {"reg_good"}  # older timm names it twice


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"cfgs": ""}, "must define default_cfgs = .*'reg_bad'.* above the decorator"),
        ({"cfgs": "default_cfgs = {'reg_other': None}"}, "must define default_cfgs"),
        ({"all": "__all__ = ()"}, "__all__ of reg_wrong must be a list"),
        ({"signature": "**kwargs"}, r"reg_bad\(pretrained=False, \*\*kwargs\)"),
        ({"signature": "pretrained=False"}, r"reg_bad\(pretrained=False, \*\*kwargs\)"),
        ({"signature": "pretrained=False, *args"}, r"reg_bad\(pretrained=False, \*\*kwargs\)"),
        ({"how": '("reg_other")'}, "rename reg_bad"),
        ({"how": "(3)"}, "takes a name or nothing, got 3"),
    ],
)
def test_a_model_that_timm_would_take_wrongly_is_refused(
    make_module: Any, changes: dict[str, str], message: str
) -> None:
    with pytest.raises(RegistrationError, match=message):
        make_module("reg_wrong", model("reg_bad", **changes))
    assert not timm.is_model("reg_bad")


@pytest.mark.parametrize("module", ["repvit", "reg_package.repvit", "reg_package.vision_transformer"])
def test_a_file_named_as_one_of_timms_is_refused(make_module: Any, module: str) -> None:
    short = module.rpartition(".")[2]
    before = timm.list_models(module=short)
    with pytest.raises(RegistrationError, match=f"timm has a module '{short}'.*rename {re.escape(module)}"):
        make_module(module, model("reg_bad"))
    assert timm.list_models(module=short) == before


def test_a_name_of_timms_is_refused(make_module: Any) -> None:
    with pytest.raises(PluginConflictError, match="'resnet18' of reg_thief is already registered by timm"):
        make_module("reg_thief", model("resnet18"))
    assert timm.models.model_entrypoint("resnet18").__module__ == "timm.models.resnet"


def test_a_model_of_another_module_is_refused(make_module: Any) -> None:
    make_module("reg_first", model("reg_taken"))
    with pytest.raises(PluginConflictError, match="'reg_taken' of reg_second is already registered by reg_first"):
        make_module("reg_second", model("reg_taken"))
    assert timm.create_model("reg_taken").made_by == "reg_first"


def test_a_model_may_be_reloaded(make_module: Any) -> None:
    make_module("reg_again", model("reg_reloaded"))
    first = timm.models.model_entrypoint("reg_reloaded")
    make_module("reg_again", model("reg_reloaded"))
    assert timm.models.model_entrypoint("reg_reloaded") is not first


def test_two_plugins_may_name_their_files_alike(make_module: Any) -> None:
    make_module("reg_left.net", model("reg_left"))
    make_module("reg_right.net", model("reg_right"))
    assert timm.create_model("reg_left").made_by == "reg_left.net"
    assert timm.create_model("reg_right").made_by == "reg_right.net"


PART = """
import ferzoo
from torch import nn

@ferzoo.register_{kind}{how}
class {cls}(nn.Identity):
    pass

@ferzoo.register_{kind}
def {kind}_by_function(size=1):
    return {cls}()
"""
KINDS = ["block", "loss"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("cls", "how", "name"),
    [
        ("RegThing", "", "reg_thing"),
        ("RegThing", "()", "reg_thing"),
        ("RegThing", '("other_name")', "other_name"),
        ("RegThing", '("other_name", example={"size": 2})', "other_name"),
        ("RegThing", '(example={"size": 2})', "reg_thing"),
        ("RegBNThing2d", "", "reg_bn_thing2d"),
    ],
)
def test_a_part_is_known_by_its_name(make_module: Any, kind: str, cls: str, how: str, name: str) -> None:
    module = make_module("reg_parts", PART.format(kind=kind, cls=cls, how=how))
    item = registered(kind)[name]
    assert item.make is getattr(module, cls) and isinstance(item.make, type)
    assert item.module == "reg_parts"
    assert item.example == ({"size": 2} if "example" in how else {})
    assert registered(kind)[f"{kind}_by_function"].make is getattr(module, f"{kind}_by_function")


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_of_another_module_or_definition_is_refused(make_module: Any, kind: str) -> None:
    make_module("reg_first", PART.format(kind=kind, cls="RegThing", how=""))
    with pytest.raises(PluginConflictError, match="'reg_thing' of reg_second is already registered by reg_first"):
        make_module("reg_second", PART.format(kind=kind, cls="RegThing", how=""))
    with pytest.raises(PluginConflictError, match="'reg_thing' of reg_first"):
        make_module("reg_first", PART.format(kind=kind, cls="Another", how='("reg_thing")'))
    assert registered(kind)["reg_thing"].module == "reg_first"


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_may_be_reloaded_and_the_new_one_counts(make_module: Any, kind: str) -> None:
    first = make_module("reg_again", PART.format(kind=kind, cls="RegThing", how="")).RegThing
    second = make_module("reg_again", PART.format(kind=kind, cls="RegThing", how="")).RegThing
    assert registered(kind)["reg_thing"].make is second is not first


@pytest.mark.parametrize("kind", KINDS)
def test_one_name_may_be_a_block_and_a_loss(make_module: Any, kind: str) -> None:
    for each in KINDS:
        make_module(f"reg_{each}", PART.format(kind=each, cls="RegThing", how=""))
    assert registered(kind)["reg_thing"].module == f"reg_{kind}"


@pytest.mark.parametrize("kind", KINDS)
def test_a_part_is_registered_under_a_string_alone(kind: str) -> None:
    with pytest.raises(RegistrationError, match=f"register_{kind} takes a name or nothing, got 3"):
        getattr(ferzoo, f"register_{kind}")(3)
