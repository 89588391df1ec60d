"""Where training computes in bfloat16: on a GPU, and on CPUs that have instructions for it.

Without them PyTorch's convolutions and matrix products of bfloat16 take ten times as long as float32's and more.
"""

from __future__ import annotations

import platform
from typing import Any

import torch
from torch import nn

__all__ = ["autocast", "is_autocast", "is_native", "make_convolutions", "product"]


def is_native(device_type: str = "cpu") -> bool:
    """Whether a kind of device multiplies in bfloat16: a CPU with AVX-512 with bfloat16, AMX, or Arm's; any other."""
    if device_type != "cpu":
        return True
    if platform.machine().lower() in ("x86_64", "amd64"):
        return torch.cpu._is_avx512_bf16_supported()
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(device_type: str, enabled: bool) -> torch.autocast:
    """`torch.autocast` in bfloat16; on a CPU without instructions for it none, so that all is float32.

    Args:
        device_type: Kind of the device, as "cpu".
        enabled: Whether the recipe asks for it.
    """
    return torch.autocast(device_type, torch.bfloat16, enabled=enabled and is_native(device_type))


def is_autocast() -> bool:
    """Whether autocast makes the maps of a CPU bfloat16 here."""
    return torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16


def make_convolutions(model: nn.Module, kind: Any) -> int:
    """Give the convolutions of a network that are a plain `nn.Conv2d` and fit a class this class, in place.

    Args:
        model: The network; names and weights stay.
        kind: A subclass of `nn.Conv2d` with a class method `fits` that looks at a convolution.

    Returns:
        How many there were.
    """
    count = 0
    for module in model.modules():
        if type(module) is nn.Conv2d and kind.fits(module):
            module.__class__ = kind
            count += 1
    return count


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Matrix product of bfloat16 matrices on a CPU, in bfloat16; the sums are float32's everywhere."""
    if is_native():
        return a @ b
    with torch.autocast("cpu", enabled=False):
        return (a.float() @ b.float()).bfloat16()
