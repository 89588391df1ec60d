"""Contrast-aware channel attention of IMDN (Hui et al. 2019, arXiv 1909.11856, section 3.4)."""

from __future__ import annotations

import torch
from torch import nn

from ferzoo import register_block

__all__ = ["ContrastGate"]


@register_block("example_contrast_gate", example={"channels": 16, "input_size": (2, 16, 7, 5)})
class ContrastGate(nn.Module):
    """A gate a channel, made of the channel's mean plus its standard deviation over space.

    Shape: (N, channels, H, W) to the same.

    Args:
        channels: Channels in and out.
        reduction: The hidden layer has channels // reduction, and 4 or more.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 4,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        hidden = max(4, channels // reduction)
        self.fc1 = nn.Conv2d(channels, hidden, 1, device=device, dtype=dtype)
        self.fc2 = nn.Conv2d(hidden, channels, 1, device=device, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` times its gates."""
        mean = x.mean((2, 3), keepdim=True)
        # The square root has no slope at 0, which a flat channel would reach.
        contrast = mean + ((x - mean).square().mean((2, 3), keepdim=True) + 1e-6).sqrt()
        return x * self.fc2(self.fc1(contrast).relu()).sigmoid()
