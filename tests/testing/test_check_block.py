"""check_block sees what is broken, says so, and takes what is sound."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from ferzoo.registry.register import register_block
from ferzoo.testing import ConformanceError, check_block
from ferzoo.testing.blocks import BLOCK_CHECKS


class Gate(nn.Module):
    """A sound block that was registered with no example."""

    def __init__(self, in_chs: int, out_chs: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_chs, out_chs, 1, device=device, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.sigmoid(self.conv(x))


class InPlace(Gate):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.relu_())


class Mixing(Gate):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x - x.mean(0))


class Lazy(Gate):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x.detach())


class Idle(Gate):
    def __init__(self, in_chs: int, out_chs: int, **dd: Any) -> None:
        super().__init__(in_chs, out_chs, **dd)
        self.idle = nn.Linear(2, 2, **dd)


class Closed(Gate):
    """Of no use to training: each of two factors that start at zero waits for the other."""

    def __init__(self, in_chs: int, out_chs: int, **dd: Any) -> None:
        super().__init__(in_chs, out_chs, **dd)
        self.gain = nn.Parameter(torch.zeros(1, out_chs, 1, 1, **dd))
        nn.init.zeros_(self.conv.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.gain * (self.conv(x) - self.conv.bias[:, None, None])


class Blocked(Gate):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(x * 0)


class ReZero(Gate):
    """A sound block: the branch starts at zero (Bachlechner et al. 2020, arXiv 2003.04887)."""

    def __init__(self, in_chs: int, out_chs: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__(in_chs, out_chs, device, dtype)
        self.gain = nn.Parameter(torch.zeros(1, device=device, dtype=dtype))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.gain * self.conv(x)


class ZeroNorm(Gate):
    """A sound block: the last BatchNorm of the branch starts at zero, and there is no shortcut."""

    def __init__(self, in_chs: int, out_chs: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__(in_chs, out_chs, device, dtype)
        self.bn = nn.BatchNorm2d(out_chs, device=device, dtype=dtype)
        nn.init.zeros_(self.bn.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.bn(self.conv(x))


class Unplaced(Gate):
    def __init__(self, in_chs: int, out_chs: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__(in_chs, out_chs)


class Hidden(Gate):
    def __init__(self, in_chs: int, out_chs: int, device: Any = None, dtype: Any = None) -> None:
        super().__init__(in_chs, out_chs, device, dtype)
        self.scale = torch.rand(1) + 0.1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * float(self.scale)


BLOCK_NAMES = [check.name for check in BLOCK_CHECKS]


@pytest.mark.parametrize("cls", [Gate, ReZero, ZeroNorm])
def test_a_sound_block_passes_with_widths_of_16(cls: type[nn.Module]) -> None:
    assert check_block(cls) == BLOCK_NAMES


@pytest.mark.parametrize(
    ("cls", "check", "message"),
    [
        (InPlace, "forward", "it changes its input in place"),
        (Mixing, "forward", "input 0 alone differs"),
        (Lazy, "gradients", "no gradient reaches the input"),
        (Blocked, "gradients", "the gradient of the input is all zero at 4 initialisations"),
        (Idle, "gradients", "idle.weight gets no gradient"),
        (Closed, "gradients", "the gradient of conv.weight is all zero at 4 initialisations, and after up to 3 steps"),
        (Unplaced, "types", "device='meta' leaves conv.weight on cpu"),
        (Hidden, "copies", "the output after a safetensors round trip differs"),
    ],
)
def test_a_broken_block_is_told(cls: type[nn.Module], check: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_block(cls, skip=[name for name in BLOCK_NAMES if name != check])


def test_an_example_of_a_registration_is_used() -> None:
    @register_block("a_gate_of_the_tests", example={"in_chs": 3, "out_chs": 2, "input_size": (2, 3, 4, 4)})
    class ExampleGate(Gate):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[1:] == (3, 4, 4)
            return super().forward(x)

    check_block(ExampleGate, skip=["script", "fx"])


def test_a_block_that_cannot_be_built_says_what_it_needs() -> None:
    class Steps(Gate):
        def __init__(self, channels: int, steps: int) -> None:
            super().__init__(channels, channels)

    with pytest.raises(ValueError, match="needs 'steps': pass it to check_block"):
        check_block(Steps)
    with pytest.raises(TypeError, match="a class or function that builds a block"):
        check_block(Gate(3, 3))  # type: ignore[arg-type]
