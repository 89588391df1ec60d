"""A cross-attention head of DAN (Wen et al. 2023, "Distract Your Attention", section 3.2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..registry.register import register_block

__all__ = ["CrossAttentionHead"]


def _conv_bn(in_chs: int, out_chs: int, kernel_size: tuple[int, int], dd: dict[str, Any]) -> nn.Sequential:
    """Convolution with bias that keeps the size, and BatchNorm."""
    padding = (kernel_size[0] // 2, kernel_size[1] // 2)
    return nn.Sequential(nn.Conv2d(in_chs, out_chs, kernel_size, padding=padding, **dd), nn.BatchNorm2d(out_chs, **dd))


@register_block("cross_attention_head", example={"channels": 16, "ratio": 4})
class CrossAttentionHead(nn.Module):
    """Spatial attention by square, flat and upright convolutions, then channel attention on the pooled vector.

    1x1 convolution to half of the channels; the sum of a 3x3, a 1x3 and a 3x1 convolution back, each with BN; ReLU;
    the sum over channels is the map's attention. The weighted map is averaged to a vector, which is multiplied with a
    gate of its own: Linear, BN, ReLU, Linear, sigmoid.
    Shape: (N, channels, H, W) to (N, channels).

    Args:
        channels: Channels of the map.
        ratio: Reduction of the channel attention's hidden layer.
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
        if not 2 <= channels or not 1 <= ratio <= channels:
            raise ValueError(
                f"CrossAttentionHead needs 2 channels or more and a ratio of 1 up to them, got {channels} and {ratio}."
            )
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        half, hidden = channels // 2, channels // ratio
        self.reduce = _conv_bn(channels, half, (1, 1), dd)
        self.square = _conv_bn(half, channels, (3, 3), dd)
        self.flat = _conv_bn(half, channels, (1, 3), dd)
        self.upright = _conv_bn(half, channels, (3, 1), dd)
        self.act = nn.ReLU()
        self.gate = nn.Sequential(
            nn.Linear(channels, hidden, **dd),
            nn.BatchNorm1d(hidden, **dd),
            nn.ReLU(),
            nn.Linear(hidden, channels, **dd),
            nn.Sigmoid(),
        )

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        """The spatial attention (N, 1, H, W) of a map, 0 or more."""
        y = self.reduce(x)
        return self.act(self.square(y) + self.flat(y) + self.upright(y)).sum(1, keepdim=True)

    def vector(self, x: torch.Tensor, attention: torch.Tensor) -> torch.Tensor:
        """The gated vector (N, channels) of a map under its spatial attention."""
        pooled = (x * attention).mean((2, 3))
        return pooled * self.gate(pooled)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the head's vector."""
        return self.vector(x, self.attention(x))
