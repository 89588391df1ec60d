"""PWFS, point-wise feature selection of LANMSFF (Ezati et al. 2024, arXiv 2403.14318, section 3.3)."""

from __future__ import annotations

import torch
from torch import nn

from ..registry.register import register_block

__all__ = ["PWFS"]


@register_block("pwfs", example={"input_size": (2, 9, 6, 5)})
class PWFS(nn.Module):
    """At every position, the mean of the two largest of three channels; it has no parameters.

    The channels are split in three contiguous thirds, and channel i of each third belongs together.
    Shape: (N, C, H, W) to (N, C / 3, H, W), C a multiple of 3.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the filtered map."""
        a, b, c = torch.chunk(x, 3, dim=1)
        low, high = torch.minimum(a, b), torch.maximum(a, b)
        return (torch.maximum(high, c) + torch.maximum(low, torch.minimum(high, c))) / 2
