"""A trained checkpoint fits a network with other channels, classes, pool or size, and its cfg says what was built."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch
from timm.models import generate_default_cfgs
from torch import nn

import ferzoo
from ferzoo.errors import CheckpointError, InputSizeError, OptionError
from ferzoo.labels import FERPLUS
from ferzoo.models.build import build_model

NAMES = ferzoo.list_models()
FIXED_SIZE = ("dacl", "ddamfn", "lfn", "lfnsb_concat", "mfn", "mobilefacenet")
ANY_SIZE = ("lfnsb", "lfnsb_fast", "lanmsff")

pytestmark = pytest.mark.usefixtures("shrunk")


def small(name: str, **kwargs: Any) -> Any:
    return ferzoo.create_model(name, **({"img_size": 32} if name in FIXED_SIZE else {}), **kwargs).eval()


def fitted(source: Any, target: Any) -> dict[str, torch.Tensor]:
    return sys.modules[type(target).__module__].checkpoint_filter_fn(dict(source.state_dict()), target)


@pytest.mark.parametrize("name", NAMES)
def test_a_backbone_takes_a_whole_networks_weights(name: str) -> None:
    whole, backbone = small(name), small(name, num_classes=0, global_pool="")
    backbone.load_state_dict(fitted(whole, backbone), strict=True)
    x = torch.randn(2, whole.in_chans, 32, 32)
    with torch.no_grad():
        assert torch.equal(backbone(x), whole.forward_features(x))


@pytest.mark.parametrize("name", NAMES)
def test_what_is_missing_is_never_random(name: str) -> None:
    whole = small(name)
    state = dict(whole.state_dict())
    lost = next(key for key in state if key.startswith("stages.") and key.endswith("weight"))
    del state[lost]
    with pytest.raises(CheckpointError, match=lost):
        sys.modules[type(whole).__module__].checkpoint_filter_fn(state, small(name, num_classes=3))


@pytest.mark.parametrize("name", NAMES)
def test_the_cfg_says_what_was_built(name: str) -> None:
    model = small(name, in_chans=5, num_classes=3)
    cfg = model.pretrained_cfg
    assert cfg["input_size"][0] == len(cfg["mean"]) == len(cfg["std"]) == 5
    assert cfg["num_classes"] == 3
    assert "label_names" not in cfg
    if name in FIXED_SIZE:
        assert tuple(cfg["input_size"]) == (5, 32, 32)
    assert ferzoo.profile(model, latency=False).parameters == sum(p.numel() for p in model.parameters())
    assert tuple(small(name).pretrained_cfg["label_names"]) == FERPLUS


@pytest.mark.parametrize("name", ANY_SIZE)
def test_any_size_networks_take_img_size_and_stay_free(name: str) -> None:
    model = ferzoo.create_model(name, img_size=48).eval()
    with torch.no_grad():
        assert model(torch.randn(1, model.in_chans, 40, 56)).shape == (1, 8)
    with pytest.raises(InputSizeError, match="32 px"):
        ferzoo.create_model(name, img_size=16)


@pytest.mark.parametrize("kind", ["list", "dict", "getter", "hook", "fx"])
def test_maps_come_in_every_way_that_fits(kind: str) -> None:
    if kind in ("list", "dict"):
        with pytest.raises(OptionError, match=f"feature_cls='{kind}' does not fit lanmsff"):
            small("lanmsff", features_only=True, feature_cls=kind)
        return
    x = torch.randn(1, 1, 32, 32)
    expected, got = (small("lanmsff", pretrained=True, features_only=True, **k) for k in ({}, {"feature_cls": kind}))
    with torch.no_grad():
        assert all(torch.equal(a, b) for a, b in zip(expected(x), got(x), strict=True))


class InTurn(nn.Module):
    """A network of another package, whose layers run in turn."""

    map_reduction = 4

    def __init__(self, num_classes: int = 8, in_chans: int = 3, **_: Any) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(in_chans, 4, 3, 2, 1), nn.Conv2d(4, 8, 3, 2, 1)
        self.num_classes, self.head = num_classes, nn.Linear(8, num_classes)
        self.feature_info = [
            {"num_chs": 4, "reduction": 2, "module": "first"},
            {"num_chs": 8, "reduction": 4, "module": "second"},
        ]


default_cfgs = generate_default_cfgs({"in_turn": {"input_size": (3, 64, 64), "mean": (0.5,) * 3, "std": (0.5,) * 3}})


def test_networks_of_others_keep_their_ways() -> None:
    def build(**kwargs: Any) -> Any:
        cfg = default_cfgs["in_turn"].default
        return build_model(InTurn, "in_turn", False, lambda state, _: state, 2, pretrained_cfg=cfg, **kwargs)

    assert build().pretrained_cfg["pool_size"] == (16, 16)
    first, second = build(features_only=True, feature_cls="list")(torch.zeros(1, 3, 64, 64))
    assert (first.shape, second.shape) == ((1, 4, 32, 32), (1, 8, 16, 16))
