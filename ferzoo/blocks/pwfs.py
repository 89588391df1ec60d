"""PWFS, point-wise feature selection of LANMSFF (Ezati et al. 2024, arXiv 2403.14318, section 3.3)."""

from __future__ import annotations

import torch
import torch.fx
from torch import nn

from ..errors import InputSizeError
from ..registry.register import register_block

__all__ = ["PWFS"]


def check_thirds(x: torch.Tensor) -> torch.Tensor:
    """Return `x` where its channels make three equal parts.

    Raises:
        InputSizeError: If they do not.
    """
    if x.shape[1] % 3:
        raise InputSizeError(f"PWFS takes a multiple of 3 channels, got {x.shape[1]}.")
    return x


# A leaf for symbolic tracing, which knows no sizes.
torch.fx.wrap("check_thirds")


@register_block("pwfs", example={"input_size": (2, 9, 6, 5)})
class PWFS(nn.Module):
    """At every position, the mean of the two largest of three channels; it has no parameters.

    The channels are split in three contiguous thirds, and channel i of each third belongs together.
    Shape: (N, C, H, W) to (N, C / 3, H, W), C a multiple of 3.

    Raises:
        InputSizeError: In the forward pass, for another number of channels.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the filtered map."""
        if not torch.jit.is_scripting():
            x = check_thirds(x)
        a, b, c = torch.chunk(x, 3, dim=1)
        low, high = torch.minimum(a, b), torch.maximum(a, b)
        return (torch.maximum(high, c) + torch.maximum(low, torch.minimum(high, c))) / 2
