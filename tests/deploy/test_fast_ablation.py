"""The variants of LFNSB-fast that are timed: each undoes one choice and is else the same network."""

from __future__ import annotations

import copy
from collections import Counter

import pytest
import torch
from torch import nn

import ferzoo
from ferzoo.blocks.coord_att import CoordAtt
from ferzoo.blocks.fused_bottleneck import FusedBottleneck, RepBottleneck
from ferzoo.deploy.fast_ablation import VARIANTS

KINDS = (CoordAtt, FusedBottleneck, RepBottleneck, nn.PReLU)


def counts(network: nn.Module) -> dict[str, int]:
    found = Counter(type(module) for module in network.modules())
    return {kind.__name__: found[kind] for kind in KINDS}


@pytest.mark.parametrize(
    ("name", "others"),
    [
        ("as_it_is", {}),
        ("attention", {"CoordAtt": 3}),
        ("prelu", {"PReLU": 13}),
        ("depthwise", {"FusedBottleneck": 3, "RepBottleneck": 9}),
    ],
)
def test_each_undoes_one_choice(name: str, others: dict[str, int]) -> None:
    network = ferzoo.create_model("lfnsb_fast", num_classes=5).eval()
    changed = VARIANTS[name][1](copy.deepcopy(network)).eval()
    assert counts(changed) == {**counts(network), **others}
    with torch.no_grad():
        assert changed(torch.randn(2, 3, 48, 48)).shape == (2, 5)


def test_all_are_timed() -> None:
    assert list(VARIANTS) == ["as_it_is", "attention", "prelu", "depthwise"]
