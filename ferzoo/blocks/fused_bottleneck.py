"""Bottlenecks of few large operations: fused (Tan & Le 2021, arXiv 2104.00298) and with RepVGGDW."""

from __future__ import annotations

from typing import Any

import torch
from timm.models.repvit import ConvNorm, RepVggDw
from torch import nn

from ..registry.register import register_block

__all__ = ["FusedBottleneck", "RepBottleneck"]


@register_block("fused_bottleneck", example={"in_chs": 8, "out_chs": 8, "hidden": 16, "stride": 1})
class FusedBottleneck(nn.Module):
    """3x3 Conv2d_BN to the hidden width, ReLU, linear 1x1 Conv2d_BN; adds its input where shapes allow.

    A dense 3x3 convolution does in one operation what a 1x1 and a depthwise one do in two, at more arithmetic.
    Which is quicker depends on width, map and runtime.
    Shape: (N, in_chs, H, W) to (N, out_chs, ceil(H / stride), ceil(W / stride)).

    Args:
        in_chs: Input channels.
        out_chs: Output channels.
        hidden: Channels between the two convolutions.
        stride: Stride of the first.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        hidden: int,
        stride: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.residual = stride == 1 and in_chs == out_chs
        self.expand = ConvNorm(in_chs, hidden, 3, stride, 1, **dd)
        self.act = nn.ReLU()
        self.project = ConvNorm(hidden, out_chs, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve, project, add the input where the block is residual."""
        y = self.project(self.act(self.expand(x)))
        return x + y if self.residual else y


@register_block("rep_bottleneck", example={"channels": 8, "hidden": 16})
class RepBottleneck(nn.Module):
    """1x1 Conv2d_BN and ReLU to the hidden width, RepVGGDW and ReLU, linear 1x1 Conv2d_BN, plus the input.

    The bottleneck of LFN with RepVGGDW for MixConv, ReLU for PReLU and no attention. Shape: (N, channels, H, W)
    to the same.

    Args:
        channels: Channels in and out.
        hidden: Channels between.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        channels: int,
        hidden: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.expand = ConvNorm(channels, hidden, **dd)
        self.mix = RepVggDw(hidden, 3, **dd)
        self.act = nn.ReLU()
        self.project = ConvNorm(hidden, channels, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Expand, convolve each channel, project, add the input."""
        return x + self.project(self.act(self.mix(self.act(self.expand(x)))))
