"""Spatial Bias (Go & Ryu 2024), the cheap global context that gives LFNSB its name."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from timm.models.repvit import ConvNorm
from torch import nn

from ..registry.register import register_block

__all__ = ["SpatialBias"]


@register_block("spatial_bias", example={"channels": 12, "maps": 6, "size": 2})
class SpatialBias(nn.Module):
    """A small grid of context maps, made by a 1-D convolution across channels.

    1x1 Conv2d_BN and ReLU to `maps + 2` channels, adaptive average pool to `size x size`; each grid
    position is then a row of length `maps + 2`, and a Conv1d with kernel 3 and one channel a position
    mixes every position with every other along the channel axis, giving `maps` channels.
    Shape: (N, channels, H, W) to (N, maps, size, size).

    Args:
        channels: Input channels.
        maps: Output maps, S in the paper.
        size: Side of the output grid, r in the paper.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        channels: int,
        maps: int = 64,
        size: int = 2,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        self.maps, self.size = maps, size
        self.reduce = ConvNorm(channels, maps + 2, device=device, dtype=dtype)
        self.act = nn.ReLU()
        self.mix = nn.Conv1d(size * size, size * size, 3, device=device, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the context maps of `x`."""
        grid = F.adaptive_avg_pool2d(self.act(self.reduce(x)), (self.size, self.size))
        rows = self.mix(grid.flatten(2).transpose(1, 2))
        return rows.transpose(1, 2).reshape(x.shape[0], self.maps, self.size, self.size)
