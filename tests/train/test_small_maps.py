"""Convolutions of small maps as matrix products: as a float64 reference to the rounding of bfloat16, and only there."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

pytest.importorskip("numba", reason="comes with the extra cpu")

from ferzoo.models.resnet18 import ResNet18
from ferzoo.train import bfloat16
from ferzoo.train.fused import use_fused_blocks
from ferzoo.train.fused.dense import MatmulConv2d, _Convolve
from ferzoo.train.network import build_network
from ferzoo.train.recipe import Recipe

#: Channels in and out, further arguments of the convolution, and a map's size.
CONVOLUTIONS: dict[str, tuple[int, int, dict[str, Any], tuple[int, int]]] = {
    "same": (128, 256, {"kernel_size": 3, "padding": 1}, (3, 3)),
    "strided with bias": (256, 256, {"kernel_size": 3, "stride": 2, "padding": 1, "bias": True}, (5, 4)),
    "row": (128, 512, {"kernel_size": (1, 3), "padding": (0, 1)}, (2, 3)),
    "column": (512, 128, {"kernel_size": (3, 1), "stride": (2, 1), "padding": (1, 0)}, (4, 2)),
    "shortcut": (256, 512, {"kernel_size": 1, "stride": 2}, (4, 4)),
    "no padding": (256, 256, {"kernel_size": 3}, (4, 5)),
    "pixels left over": (256, 256, {"kernel_size": 2, "stride": (3, 2)}, (6, 5)),
    "padding wider than the kernel": (256, 256, {"kernel_size": 2, "padding": 1}, (1, 2)),
}


@pytest.fixture
def products(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """Shapes of the maps that went through the matrix product."""
    seen: list[torch.Size] = []
    plain = _Convolve.apply

    def record(x: torch.Tensor, *rest: Any) -> Any:
        seen.append(x.shape)
        return plain(x, *rest)

    monkeypatch.setattr(_Convolve, "apply", record)
    return seen


def through(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        out: torch.Tensor = layer(x)
    return out


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format], ids=str)
def test_output_and_gradients(name: str, memory: torch.memory_format, products: list[torch.Size]) -> None:
    channels, out_channels, kwargs, size = CONVOLUTIONS[name]
    torch.manual_seed(0)
    plain = nn.Conv2d(channels, out_channels, **{"bias": False, **kwargs})
    quick = nn.Sequential(copy.deepcopy(plain)).to(memory_format=memory).train()
    assert use_fused_blocks(quick, True) == 1
    x = torch.randn(6, channels, *size).bfloat16().float()
    found_x = x.clone(memory_format=memory).requires_grad_()
    expected_x = x.double().requires_grad_()
    found, expected = through(quick, found_x), plain.double()(expected_x)
    assert len(products) == 1 and found.dtype == torch.bfloat16 and found.shape == expected.shape
    weight = torch.randn(expected.shape).bfloat16()
    found.backward(weight)
    expected.backward(weight.double())
    pairs = {"out": (found, expected), "x": (found_x.grad, expected_x.grad)}
    pairs |= {key: (p.grad, q.grad) for (key, q), p in zip(plain.named_parameters(), quick.parameters(), strict=True)}
    for key, (value, reference) in pairs.items():
        assert value is not None and reference is not None
        assert (value.double() - reference).norm() < 0.005 * reference.norm(), key


def test_where_it_does_not_pay_or_nothing_trains_it_is_the_convolution(products: list[torch.Size]) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(128, 128, 3, padding=1)
    quick = nn.Sequential(copy.deepcopy(plain))
    assert use_fused_blocks(quick, True) == 1 and type(quick[0]) is MatmulConv2d
    small, large = torch.randn(2, 128, 2, 2), torch.randn(2, 128, 6, 6)
    assert torch.equal(through(quick.train(), large), through(plain, large))
    assert torch.equal(quick(small), plain(small))
    assert torch.equal(through(quick.eval(), small), through(plain, small))
    assert not products
    through(quick.train(), small)
    assert products == [(2, 2, 2, 128)]


@pytest.mark.parametrize(
    "other",
    [
        nn.Conv2d(128, 128, 3, padding="same"), nn.Conv2d(128, 128, 3, padding=1, padding_mode="reflect"),
        nn.Conv2d(128, 128, 3, dilation=2), nn.Conv2d(128, 128, 3, groups=2), nn.Conv2d(32, 32, 3),
        nn.ConvTranspose2d(128, 128, 3),
    ],
    ids=["same", "reflect", "dilated", "grouped", "narrow", "transposed"],
)  # fmt: skip
def test_others_stay(other: nn.Module) -> None:
    kind = type(other)
    assert use_fused_blocks(nn.Sequential(other), True) == 0 and type(other) is kind


def test_what_follows_may_work_in_place_and_weights_may_be_frozen(products: list[torch.Size]) -> None:
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(128, 128, 3, padding=1, bias=False), nn.ReLU(inplace=True)).train()
    plain = copy.deepcopy(layers)
    assert use_fused_blocks(layers, True) == 1
    for frozen in (False, True):
        layers[0].weight.requires_grad_(not frozen)
        x = torch.randn(3, 128, 2, 2)
        found, expected = x.clone().requires_grad_(), x.clone().requires_grad_()
        through(layers, found).float().sum().backward()
        through(plain, expected).float().sum().backward()
        assert found.grad is not None and expected.grad is not None
        assert (found.grad - expected.grad).norm() < 0.02 * expected.grad.norm()
        assert (layers[0].weight.grad is None) == frozen
        layers[0].weight.grad = None
    assert len(products) == 2


def test_unbatched_maps_and_float16_are_pytorchs(products: list[torch.Size]) -> None:
    quick = nn.Sequential(nn.Conv2d(128, 128, 3, padding=1)).train()
    use_fused_blocks(quick, True)
    assert through(quick, torch.randn(128, 2, 2)).shape == (128, 2, 2)
    with torch.autocast("cpu", torch.float16):
        quick(torch.randn(2, 128, 2, 2)).float().sum().backward()
    assert not products


def test_a_map_smaller_than_the_kernel_is_pytorchs_error() -> None:
    quick = nn.Sequential(nn.Conv2d(128, 128, 3)).train()
    use_fused_blocks(quick, True)
    with pytest.raises(RuntimeError, match="[Kk]ernel size"):
        through(quick, torch.randn(2, 128, 2, 2))


@pytest.mark.parametrize("name", ["scn", "dan", "dacl", "ma_net", "ran"])
def test_the_gradient_of_a_network(name: str, products: list[torch.Size], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bfloat16, "is_native", lambda: True)  # sums as those of PyTorch's that it is compared with
    monkeypatch.setattr(ResNet18, "widths", (16, 32, 128, 128))  # the last two stages have maps that are small
    torch.manual_seed(0)
    plain: Any = build_network(Recipe(model=name, model_kwargs={"img_size": 48}), 8).train()
    quick = copy.deepcopy(plain)
    assert use_fused_blocks(quick, True) > 5
    images, labels = torch.randn(8, 3, 48, 48), torch.arange(8)
    gradients = []
    for network in (plain, quick):
        torch.manual_seed(1)
        nn.functional.cross_entropy(through(network, images).float(), labels).backward()
        gradients.append(torch.cat([p.grad.flatten().double() for p in network.parameters() if p.grad is not None]))
    reference, found = gradients
    assert products and nn.functional.cosine_similarity(reference, found, dim=0) > 0.99
    assert found.norm() == pytest.approx(reference.norm().item(), rel=0.02)
