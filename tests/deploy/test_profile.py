"""Counts against hand-made references, and the figures that the papers print."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import ferzoo
from ferzoo.deploy.profile import profile


def conv_flops(model: nn.Module, size: tuple[int, int, int]) -> int:
    """Multiply-adds of all convolutions, counted by hooks."""
    total = 0

    def hook(module: nn.Module, _: tuple, out: torch.Tensor) -> None:
        nonlocal total
        per_output = module.weight[0].numel() if isinstance(module, nn.Conv1d | nn.Conv2d) else None
        if per_output is None:  # a transposed convolution spreads each input value
            return
        total += out.numel() * per_output

    for module in model.modules():
        if isinstance(module, nn.Conv1d | nn.Conv2d):
            module.register_forward_hook(hook)
    model.eval()(torch.zeros(1, *size))
    return total


@pytest.mark.parametrize("name", ["lfnsb", "lfn", "mobilefacenet"])
def test_convolutions_counted(name: str) -> None:
    model = ferzoo.create_model(name, num_classes=7)
    result = profile(model, (3, 112, 112), latency=False)
    assert result.flops_by_operator["conv"] == conv_flops(model, (3, 112, 112))
    assert result.parameters == sum(p.numel() for p in model.parameters())
    assert result.size_bytes >= 4 * result.parameters
    assert result.latency_ms is None


def test_lfnsb_is_within_a_percent_of_the_paper() -> None:
    result = ferzoo.profile(ferzoo.create_model("lfnsb", num_classes=7), (3, 112, 112), latency=False)
    assert result.flops_by_operator["conv"] == pytest.approx(387.24e6, abs=5e3)
    assert result.flops == pytest.approx(397.35e6, rel=0.01)


def test_mode_is_kept_and_latency_measured() -> None:
    model = ferzoo.create_model("lanmsff").train()
    result = profile(model, runs=2)
    assert model.training
    assert result.input_size == tuple(model.pretrained_cfg["input_size"])
    assert result.latency_ms > 0
