"""`fuse` on single blocks, on layers that look like others, and on networks of timm."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from timm.layers import BatchNormAct2d, StdConv2d
from timm.models.repvit import ConvNorm, RepVggDw
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.utils import parametrizations

import ferzoo
from ferzoo.blocks.mixconv import MixConvBottleneck
from ferzoo.errors import FerzooError


def moved(model: nn.Module) -> nn.Module:
    """In eval mode, with BatchNorms that do something."""
    torch.manual_seed(0)
    for norm in (m for m in model.modules() if isinstance(m, _BatchNorm)):
        nn.init.normal_(norm.running_mean, 0, 0.2)
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias, 0, 0.2)
    return model.eval()


def norms(model: nn.Module) -> int:
    return sum(isinstance(m, _BatchNorm) for m in model.modules())


@torch.no_grad()
def check(model: nn.Module, x: torch.Tensor) -> nn.Module:
    """The fused network, whose outputs are those of the network, and stay so where it is fused again."""
    fused = ferzoo.fuse(moved(model))
    torch.testing.assert_close(fused(x), model(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ferzoo.fuse(fused)(x), fused(x))
    return fused


class Pair(nn.Module):
    """A convolution and its norm, called by names."""

    def __init__(self, *layers: nn.Module, named: bool = False, read: bool = False) -> None:
        super().__init__()
        self.layer, self.norm = layers or (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8))
        self.named, self.read = named, read

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm(input=self.layer(x)) if self.named else self.norm(self.layer(x))
        return y + self.layer.weight.mean() if self.read else y


class DependsOnData(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x if x.sum() > 1e9 else 2 * x


@pytest.mark.parametrize("name", ["conv2d_bn", "rep_vgg_dw"])
@pytest.mark.parametrize("channels", [(8, 8), (3, 8)])
def test_a_block_by_itself_becomes_a_convolution(name: str, channels: tuple[int, int]) -> None:
    args = (*channels, 3, 1, 1) if name == "conv2d_bn" else (channels[0], 3)
    assert type(check(ferzoo.create_block(name, *args), torch.randn(2, channels[0], 6, 5))) is nn.Conv2d


def test_a_bottleneck_by_itself() -> None:
    block = ferzoo.create_block("mixconv_bottleneck", 3, 8, (3, 2), (3, 5))
    assert norms(check(block, torch.randn(2, 3, 16, 15))) == 0


@pytest.mark.parametrize("last", [nn.Identity, DependsOnData])
def test_activations_of_timms_norms_stay(last: Callable[[], nn.Module]) -> None:
    model = nn.Sequential(nn.Conv2d(3, 8, 3), BatchNormAct2d(8), last())
    fused = check(model, torch.randn(2, 3, 9, 9))
    assert norms(fused) == 0 and any(isinstance(m, nn.ReLU) for m in fused.modules())


def doubled(layer: nn.Module) -> nn.Module:
    layer.register_forward_hook(lambda module, args, output: 2 * output)
    return layer


@pytest.mark.parametrize(
    "model",
    [
        lambda: Pair(doubled(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8)),
        lambda: Pair(nn.Conv2d(3, 8, 3), doubled(nn.BatchNorm2d(8))),
        lambda: Pair(parametrizations.weight_norm(nn.Conv2d(3, 8, 3)), nn.BatchNorm2d(8)),
        lambda: Pair(read=True),
        lambda: nn.Sequential(StdConv2d(3, 8, 3), nn.BatchNorm2d(8), DependsOnData()),
        lambda: nn.Sequential(nn.Flatten(2), nn.Linear(81, 5), nn.BatchNorm1d(3)),
    ],
    ids=["hook on layer", "hook on norm", "parametrised", "weight is read", "subclass", "sequence"],
)
def test_what_cannot_be_folded_is_left(model: Callable[[], nn.Module]) -> None:
    assert norms(check(model(), torch.randn(2, 3, 9, 9))) == 1


class Doubling(RepVggDw):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


def hooked(block: nn.Module, part: str) -> nn.Module:
    doubled(block.get_submodule(part))
    return block


@pytest.mark.parametrize(
    ("model", "left"),
    [
        (lambda: hooked(RepVggDw(8, 3), ""), RepVggDw),
        (lambda: hooked(RepVggDw(8, 3), "conv.c"), RepVggDw),
        (lambda: hooked(ConvNorm(8, 8), ""), ConvNorm),
        (lambda: Doubling(8, 3), Doubling),
        (lambda: hooked(ferzoo.create_block("mixconv_bottleneck", 8, 8, (3, 2), (3, 5)), "project"), MixConvBottleneck),
    ],
    ids=["hook on block", "hook within", "hook on pair", "subclass", "hook in bottleneck"],
)
def test_blocks_that_cannot_be_folded_are_left(model: Callable[[], nn.Module], left: type[nn.Module]) -> None:
    assert type(check(model(), torch.randn(2, 8, 9, 9))) is left


def test_arguments_by_name() -> None:
    assert norms(check(Pair(named=True), torch.randn(2, 3, 9, 9))) == 0


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "resnet18"])
def test_networks_of_timm(name: str) -> None:
    assert norms(check(timm.create_model(name, num_classes=5), torch.randn(2, 3, 64, 64))) == 0
    model: Any = timm.create_model(name, features_only=True)
    fused, x = ferzoo.fuse(moved(model)), torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        for a, b in zip(model(x), fused(x), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4)


def test_one_warning_for_all_that_stays(caplog: pytest.LogCaptureFixture) -> None:
    model = timm.create_model("densenet121", num_classes=4, memory_efficient=True)
    fused = check(model, torch.randn(1, 3, 64, 64))
    assert "norm0" in dict(model.features.named_children()) and type(fused.features.norm0) is nn.ReLU
    (said,) = {record.getMessage() for record in caplog.records}
    assert "116 of DenseLayer" in said and len(said) < 300


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning", "ignore:.*torch.jit.*:FutureWarning")
def test_torchscript_is_refused() -> None:
    with pytest.raises(FerzooError, match="fuse the network before it is scripted"):
        ferzoo.fuse(torch.jit.script(ConvNorm(3, 8)))
