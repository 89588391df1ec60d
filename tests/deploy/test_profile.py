"""Counts against hand-made references, and the figures that the papers print."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

import ferzoo
from ferzoo.deploy.profile import profile
from ferzoo.errors import FerzooError, InputSizeError


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


def test_frozen_norms_stay_frozen() -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8)).train()
    model[1].eval()
    profile(model, (3, 32, 32), runs=1)
    assert [part.training for part in model.modules()] == [True, True, False]


class Merged(nn.Conv2d):
    """Does more than to set the flag, as layers do that merge a low-rank part."""

    merged = False

    def train(self, mode: bool = True) -> Merged:
        self.merged = not mode
        return super().train(mode)


def test_what_train_does_is_done() -> None:
    model = nn.Sequential(Merged(3, 4, 1), nn.BatchNorm2d(4).eval()).train()
    model[1].eval()
    profile(model, (3, 8, 8), runs=1)
    assert (model[0].training, model[0].merged, model[1].training) == (True, False, False)


def test_channels_that_timm_does_not_note() -> None:
    result = profile(timm.create_model("test_resnet", in_chans=1), latency=False)
    assert result.input_size[0] == 1 and isinstance(result.input_size, tuple)
    assert profile(nn.Conv2d(3, 4, 1), [3, np.int64(8), 9], latency=False).input_size == (3, 8, 9)


@pytest.mark.parametrize(
    "held",
    [
        torch.compile,
        nn.DataParallel,
        lambda model: nn.DataParallel(torch.compile(model)),
        lambda model: model.to("meta"),
    ],
    ids=["compiled", "parallel", "both", "meta"],
)
def test_what_holds_a_network_changes_no_count(held: Callable[[nn.Module], nn.Module]) -> None:
    wanted = profile(ferzoo.create_model("lanmsff"), latency=False)
    assert profile(held(ferzoo.create_model("lanmsff")), latency=False) == wanted


def compiled_within(model: nn.Module) -> nn.Module:
    model[0].compile()
    return model


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (compiled_within, "Conv2d is compiled and cannot be counted: profile the network before"),
        (lambda model: nn.Sequential(torch.compile(model)), "is compiled"),
        (torch.jit.script, "is TorchScript and cannot be counted"),
        (lambda model: torch.jit.trace(model, torch.zeros(1, 3, 8, 8)), "is TorchScript"),
        (lambda model: model.to("meta"), "no weights to compute with: latency=False"),
    ],
)
def test_what_cannot_be_traced_or_timed_says_so(made: Callable[[nn.Module], nn.Module], message: str) -> None:
    with pytest.raises(FerzooError, match=message):
        profile(made(nn.Sequential(nn.Conv2d(3, 4, 1))), (3, 8, 8), runs=1)


def test_a_batch_that_does_not_fit_is_named_while_it_is_traced() -> None:
    with pytest.raises(InputSizeError, match=r"the batch \(1, 3, 48, 48\) has 3"):
        profile(ferzoo.create_model("lanmsff"), (3, 48, 48), latency=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"input_size": 32}, r"channels, height and width, such as \(3, 64, 64\); got 32"),
        ({"input_size": (32, 32)}, r"got \(32, 32\)"),
        ({"runs": 0}, "runs must be 1 or more, got 0; latency=False"),
    ],
)
def test_wrong_arguments_are_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(FerzooError, match=message):
        profile(nn.Conv2d(3, 4, 1), **arguments)
