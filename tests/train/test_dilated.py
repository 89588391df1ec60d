"""Dilated convolutions by rows: the same function, and a gradient in bfloat16 that memory has no part in."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from ferzoo.train.dilated import RowFoldedConv2d, use_folded_rows
from ferzoo.train.network import build_network
from ferzoo.train.recipe import Recipe

CONVS: dict[str, dict[str, Any]] = {
    "usual": {"padding": 2},
    "no padding": {"padding": 0},
    "odd padding": {"padding": 3},
    "wide": {"kernel_size": (5, 3), "dilation": (3, 2), "padding": (6, 2), "bias": False},
    "even": {"kernel_size": 2, "dilation": (2, 1), "padding": (1, 0)},
    "groups": {"groups": 4, "padding": 2},
    "more groups": {"groups": 8, "dilation": 4, "padding": 4},
    "same": {"padding": "same"},
    "valid": {"padding": "valid", "kernel_size": (2, 3)},
}


def convolution(**kwargs: Any) -> Any:
    torch.manual_seed(0)
    # Of 8 to 16 channels oneDNN's gradient is right, whatever the dilation.
    return nn.Conv2d(40, 24, **{"kernel_size": 3, "dilation": 2, **kwargs})


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("size", [(9, 31), (12, 33), (11, 12)], ids=str)
def test_the_function_is_the_same(name: str, size: tuple[int, int]) -> None:
    plain = convolution(**CONVS[name]).double()
    quick = nn.Sequential(copy.deepcopy(plain))
    assert use_folded_rows(quick) == 1 and quick.state_dict().keys() == {f"0.{key}" for key in plain.state_dict()}
    x = torch.randn(3, 40, *size, dtype=torch.float64)
    found, expected = quick[0].folded(x), plain(x)
    assert found.shape == expected.shape and torch.allclose(found, expected, atol=1e-12)
    assert torch.equal(quick(x), expected)  # without autocast nothing is folded


@pytest.mark.parametrize("given", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("own", [torch.channels_last, torch.contiguous_format])
@pytest.mark.parametrize("parts", [1, 2])
def test_the_format_is_the_same(
    given: torch.memory_format, own: torch.memory_format, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fold, calls = RowFoldedConv2d.folded, []
    monkeypatch.setattr(RowFoldedConv2d, "folded", lambda *args: calls.append(args) or fold(*args))
    plain = convolution(padding=2).to(memory_format=own)
    quick = nn.Sequential(copy.deepcopy(plain))
    use_folded_rows(quick)
    x = torch.randn(2, 40 * parts, 33, 35).to(memory_format=given)[:, :40]
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = quick(x), plain(x)
    assert bool(calls) == (torch.channels_last in (given, own))
    assert found.dtype == expected.dtype and found.stride() == expected.stride()


def poison() -> None:
    """Leave NaN in the memory that is given out next."""
    for size in (1_000, 10_000, 100_000, 1_000_000):
        torch.full((size,), torch.nan)


@pytest.mark.parametrize("name", CONVS)
def test_the_gradient_in_bfloat16(name: str) -> None:
    plain = convolution(**CONVS[name])
    quick = nn.Sequential(copy.deepcopy(plain)).to(memory_format=torch.channels_last)
    use_folded_rows(quick)
    x = torch.randn(2, 40, 32, 36).to(memory_format=torch.channels_last)
    weight = torch.randn(plain(x).shape)
    (plain(x) * weight).sum().backward()
    for _ in range(3):
        quick.zero_grad()
        poison()
        with torch.autocast("cpu", torch.bfloat16):
            out = quick(x)
        (out.float() * weight).sum().backward()
        for found, expected in zip(quick.parameters(), plain.parameters(), strict=True):
            assert (found.grad - expected.grad).norm() < 0.02 * expected.grad.norm()


def test_what_it_is_for(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[int, ...]] = []

    def folded(self: RowFoldedConv2d, x: torch.Tensor) -> torch.Tensor:
        calls.append(tuple(x.shape))
        return nn.Conv2d.forward(self, x)

    monkeypatch.setattr(RowFoldedConv2d, "folded", folded)
    others = [convolution(stride=2), convolution(dilation=(1, 2)), convolution(dilation=1)]
    others.append(convolution(padding=2, padding_mode="reflect"))
    others.append(convolution(padding="same", kernel_size=2, dilation=3))
    assert use_folded_rows(nn.ModuleList(others)) == 0 and all(type(conv) is nn.Conv2d for conv in others)
    quick = nn.Sequential(convolution(padding=2))
    use_folded_rows(quick)
    x = torch.randn(1, 40, 32, 40).to(memory_format=torch.channels_last)
    narrow, wide = x[:, :, :, :28].clone(), x[:, :, :6, :29].clone()
    quick(wide)
    with torch.autocast("cpu", torch.bfloat16):
        quick(narrow)
        with torch.no_grad():
            quick(wide)
        assert not calls
        quick(wide)
    assert calls == [(1, 40, 6, 29)]


@pytest.mark.parametrize(("amp", "native"), [(True, True), (False, True), (True, False)])
def test_networks_that_train_in_bfloat16_have_them(amp: bool, native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferzoo.train.network.is_native", lambda: native)
    model = build_network(Recipe(model="lanmsff", amp=amp), 8)
    assert any(isinstance(part, RowFoldedConv2d) for part in model.modules()) == (amp and native)
