"""CBAM, the convolutional block attention module (Woo et al. 2018, arXiv 1807.06521), as MA-Net has it."""

from __future__ import annotations

from typing import Any

import torch
from timm.layers.cbam import ChannelAttn
from timm.models.repvit import ConvNorm
from torch import nn

from ..registry.register import register_block

__all__ = ["CBAM"]


@register_block("cbam", example={"channels": 16, "ratio": 4})
class CBAM(nn.Module):
    """Channel attention by a shared MLP on the average and the largest value, then spatial attention.

    The channel attention is timm's, with a bias in the MLP. For the spatial one, the largest value and the mean over
    the channels, in this order, go through a 7x7 convolution without bias, BatchNorm and a sigmoid.
    Shape: (N, channels, H, W) to the same.

    Args:
        channels: Channels in and out.
        ratio: Reduction of the MLP's hidden layer.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: If nothing is left of the channels after the reduction.
    """

    def __init__(
        self,
        channels: int,
        ratio: int = 16,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        if not 1 <= ratio <= channels:
            raise ValueError(f"CBAM needs a ratio from 1 to its {channels} channels, got {ratio}.")
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.channel = ChannelAttn(channels, rd_channels=channels // ratio, mlp_bias=True, **dd)
        self.spatial = ConvNorm(2, 1, 7, 1, 3, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` times its channel and its spatial attention."""
        x = self.channel(x)
        seen = torch.cat([x.amax(1, keepdim=True), x.mean(1, keepdim=True)], dim=1)
        return x * torch.sigmoid(self.spatial(seen))
