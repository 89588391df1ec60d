"""bfloat16 on CPUs without instructions for it: the maps stay so, what multiplies computes in float32.

oneDNN has no convolutions and matrix products in bfloat16 for CPUs with AVX2 alone; PyTorch's own take ten times as
long as float32 and more. A product of bfloat16 matrices is summed in float32 everywhere, so that the detour ends in the
same numbers, up to the order of the sums; layers multiply by their weights in float32, not rounded to bfloat16 before.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import nn

__all__ = ["Float32Conv2d", "is_native", "product", "use_float32_products"]


@functools.cache
def is_native() -> bool:
    """Whether this CPU multiplies in bfloat16 at the speed of float32 or faster."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Matrix product of bfloat16 matrices on a CPU, in bfloat16."""
    if is_native():
        return a @ b
    with torch.autocast("cpu", enabled=False):
        return (a.float() @ b.float()).bfloat16()


class _Float32(nn.Module):
    """A layer that under autocast on a CPU slow at bfloat16 computes in float32 and returns bfloat16."""

    def forward(self, input: torch.Tensor, *args: Any, **kwargs: Any) -> Any:  # noqa: A002 (PyTorch's name)
        """Return what the layer does."""
        in_bfloat16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
        if is_native() or not in_bfloat16 or input.device.type != "cpu":
            return super().forward(input, *args, **kwargs)
        with torch.autocast("cpu", enabled=False):
            return super().forward(input.float(), *args, **kwargs).bfloat16()


class Float32Conv2d(_Float32, nn.Conv2d):
    """A convolution that under autocast on a CPU slow at bfloat16 computes in float32 and returns bfloat16."""


#: What replaces which.
_KINDS: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: Float32Conv2d,
    **{
        kind: type(f"Float32{kind.__name__}", (_Float32, kind), {"__doc__": Float32Conv2d.__doc__})
        for kind in (nn.Conv1d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d, nn.Linear)
    },
}


def use_float32_products(model: nn.Module) -> int:
    """Let convolutions and linear layers of a network compute in float32 under autocast, in place; names stay.

    On a GPU, without autocast and where `is_native`, they stay what they were.

    Args:
        model: A network in training; subclasses of PyTorch's layers are left alone.

    Returns:
        How many there were.
    """
    layers = [module for module in model.modules() if type(module) in _KINDS]
    for layer in layers:
        layer.__class__ = _KINDS[type(layer)]
    return len(layers)
