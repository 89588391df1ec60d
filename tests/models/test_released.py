"""The authors' released names: written here the other way round, from ours to theirs."""

from __future__ import annotations

import importlib
import re

import pytest
import torch
from torch import nn

import ferzoo
from ferzoo.blocks.two_path import SeparableConv
from ferzoo.errors import CheckpointError

PARTS = ("conv1", "conv2_dw", ("conv_23", "conv_3"), ("conv_34", "conv_4"), ("conv_45", "conv_5"))
#: Inside a bottleneck, ours to theirs.
INNER = {
    "expand.conv": "conv.conv",
    "expand.bn": "conv.bn",
    "expand.act": "conv.prelu",
    "mix.convs": "conv_dw.mixed_depthwise_conv",
    "conv_dw.conv": "conv_dw.conv",
    "conv_dw.bn": "conv_dw.bn",
    "conv_dw.act": "conv_dw.prelu",
    "att.conv1": "CA.conv1",
    "att.bn1": "CA.bn1",
    "att.conv_h": "CA.conv2",
    "att.conv_w": "CA.conv3",
    "project.c": "project.conv",
    "project.bn": "project.bn",
}
#: Outside the stages, ours to theirs; the final convolution is named by the network.
OUTER = {
    "pool.conv.c": "conv_6_dw.conv",
    "pool.conv.bn": "conv_6_dw.bn",
    "pool.fc": "linear",
    "pool.bn": "bn",
    "pool.spatial_bias.reduce.c": "sb.feature_reduction.0",
    "pool.spatial_bias.reduce.bn": "sb.feature_reduction.1",
    "pool.spatial_bias.mix": "sb.sb_conv",
    "head": "fc",
}


def swap_prefix(name: str, table: dict[str, str]) -> str:
    prefix = max((p for p in table if name.startswith(f"{p}.")), key=len)
    return table[prefix] + name[len(prefix) :]


def released_name(name: str, final: str, numbered: bool) -> str:
    """The authors' name of one of our tensors; `numbered` where their backbone is a Sequential, `features`."""
    parts = [p for part in PARTS for p in (part if isinstance(part, tuple) else (part,))] + [final]
    theirs = [f"features.{i}" for i in range(9)] if numbered else parts
    if match := re.match(r"stages\.(\d)\.(\d+)\.(.*)", name):
        stage, block = int(match[1]), int(match[2])
        outer = f"{theirs[3 + 2 * stage]}.model.{block - 1}" if block else theirs[2 + 2 * stage]
        return f"{outer}.{swap_prefix(match[3], INNER)}"
    outer = {"stem.conv": theirs[0], "stem.conv_dw": theirs[1], "final_conv": theirs[8]}
    return swap_prefix(name, {**OUTER, **outer}).replace(".act.", ".prelu.")


def unused_tensors(model: nn.Module, name: str) -> dict[str, torch.Tensor]:
    """What the release holds beside, and its forward never uses."""
    if name == "lfnsb":
        norm = nn.BatchNorm1d(model.num_classes)
        return {f"bn.{key}": value for key, value in norm.state_dict().items()}
    extra: dict[str, torch.Tensor] = {}
    if name == "mfn":
        for ours, module in model.named_modules():
            if hasattr(module, "mix"):
                prefix = released_name(f"{ours}.mix.convs.0.weight", "conv_6_sep", False).partition(".mixed")[0]
                width = sum(module.mix.splits)
                extra |= {f"{prefix}.bn.{k}": v for k, v in nn.BatchNorm2d(width).state_dict().items()}
                extra[f"{prefix}.prelu.weight"] = torch.full((width,), 0.25)
    return extra


FINAL = {"lfn": "conv6_sep", "lfnsb": "conv6_sep", "mfn": "conv_6_sep", "mobilefacenet": "conv_6_sep"}


@pytest.mark.parametrize("prefix", ["", "module."], ids=["plain", "data-parallel"])
@pytest.mark.parametrize("name", FINAL)
def test_released_names_load(name: str, prefix: str) -> None:
    classes = 7 if name == "lfnsb" else 0  # the others' releases are backbones with their embedding
    source, target = (ferzoo.create_model(name, num_classes=classes) for _ in range(2))
    ours = source.state_dict()
    released = {released_name(key, FINAL[name], name == "lfnsb"): value for key, value in ours.items()}
    assert len(released) == len(ours)
    assert not set(released) & set(ours) or name != "lfnsb"
    extra = unused_tensors(target, name)
    assert sum(v.numel() for k, v in extra.items() if k.endswith(("weight", "bias"))) == {
        "lfnsb": 14,
        "mfn": 29_184,
    }.get(name, 0)
    module = importlib.import_module(type(target).__module__)
    state = module.checkpoint_filter_fn({prefix + k: v for k, v in {**released, **extra}.items()}, target)
    target.load_state_dict(state, strict=True)
    assert all(torch.equal(value, ours[key]) for key, value in target.state_dict().items())
    # Once ours, the names pass through as they are.
    assert set(module.checkpoint_filter_fn(ours, target)) == set(ours)


def keras_names(model: nn.Module) -> dict[str, str]:
    """Module names of LANMSFF to those that Keras gives: by kind, numbered in order of creation."""
    order: list[str] = []
    for block, parts in (("stem", "cbcbcb"), ("stages.0.0", ""), ("stages.1.0", "cbcbcb"), ("stages.2.0", "")):
        if parts:
            order += [f"{block}.conv{i}.{kind}" for i in (1, 2, 3) for kind in ("conv", "bn")]
            continue
        for stage in range(3):
            order += [f"{block}.two_path.path_{p}.{stage}.{kind}" for kind in ("conv", "bn") for p in "hl"]
        order += [f"{block}.att.{part}" for part in ("down1", "down2", "fc1", "up1", "fc2", "up2")]
        order += [f"{block}.conv.conv", f"{block}.conv.bn"]
    kinds = {
        nn.Conv2d: "conv2d",
        SeparableConv: "separable_conv2d",
        nn.BatchNorm2d: "batch_normalization",
        nn.Linear: "dense",
        nn.ConvTranspose2d: "conv2d_transpose",
    }
    count = dict.fromkeys(kinds.values(), 0)
    names = {}
    for ours in [*order, "head"]:
        kind = kinds[type(model.get_submodule(ours))]
        names[ours] = f"{kind}_{count[kind]}" if count[kind] else kind
        count[kind] += 1
    return names


def test_keras_names_of_lanmsff_load() -> None:
    source, target = (ferzoo.create_model("lanmsff") for _ in range(2))
    names = keras_names(source)
    released = {}
    for key, value in source.state_dict().items():
        theirs = swap_prefix(key, names)
        released[theirs.replace(".conv_dw.", ".depthwise.").replace(".conv_pw.", ".pointwise.")] = value
    assert {"conv2d_17.bias", "separable_conv2d_5.pointwise.weight", "dense_4.weight"} <= set(released)
    from ferzoo.models.lanmsff import checkpoint_filter_fn

    target.load_state_dict(checkpoint_filter_fn(released, target), strict=True)
    ours = source.state_dict()
    assert all(torch.equal(value, ours[key]) for key, value in target.state_dict().items())


@pytest.mark.parametrize("name", ["mobilefacenet", "lanmsff"])
def test_what_no_release_holds_is_refused(name: str) -> None:
    model = ferzoo.create_model(name)
    module = importlib.import_module(type(model).__module__)
    state = model.state_dict()
    with pytest.raises(CheckpointError, match="unexpected: conv_99.weight"):
        module.checkpoint_filter_fn({**state, "conv_99.weight": torch.zeros(1)}, model)
    first = next(iter(state))
    with pytest.raises(CheckpointError, match=f"missing: {first}"):
        module.checkpoint_filter_fn({key: value for key, value in state.items() if key != first}, model)
