"""MixConv (Tan & Le 2019, arXiv 1907.09595) and the bottleneck that MFN and LFN build from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from timm.models.repvit import ConvNorm
from torch import nn

from ..registry.register import register_block
from .conv_bn import ConvBnPReLU
from .coord_att import CoordAtt

__all__ = ["MixConv", "MixConvBottleneck"]


@register_block("mixconv", example={"splits": (6, 4), "kernel_sizes": (3, 5), "stride": 2})
class MixConv(nn.Module):
    """Depthwise convolutions of several kernel sizes, each on its own slice of the channels.

    No bias, no normalisation, no activation. Shape: (N, sum(splits), H, W) to
    (N, sum(splits), ceil(H / stride), ceil(W / stride)).

    Args:
        splits: Channels of each slice, in order; they need not be equal.
        kernel_sizes: Odd kernel size of each slice; padding is `kernel_size // 2`.
        stride: Stride of every convolution.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: If there are not as many splits as kernel sizes, or a kernel size is even.
    """

    def __init__(
        self,
        splits: Sequence[int],
        kernel_sizes: Sequence[int],
        stride: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        if len(splits) != len(kernel_sizes):
            raise ValueError(f"MixConv needs one split a kernel size, got {len(splits)} and {len(kernel_sizes)}.")
        if even := [k for k in kernel_sizes if k % 2 == 0]:
            raise ValueError(f"MixConv keeps the size by odd kernels alone, got {even}.")
        self.splits = list(splits)
        self.convs = nn.ModuleList(
            nn.Conv2d(c, c, k, stride, k // 2, groups=c, bias=False, device=device, dtype=dtype)
            for c, k in zip(splits, kernel_sizes, strict=True)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Convolve each slice and put the slices back together."""
        parts = torch.split(x, self.splits, dim=1)
        return torch.cat([conv(parts[i]) for i, conv in enumerate(self.convs)], dim=1)


@register_block(
    "mixconv_bottleneck",
    example={"in_chs": 8, "out_chs": 8, "splits": (8, 4), "kernel_sizes": (3, 5), "residual": True},
)
class MixConvBottleneck(nn.Module):
    """1x1 conv + BN + PReLU to the hidden width, MixConv, CoordAtt, linear 1x1 Conv2d_BN.

    Shape: (N, in_chs, H, W) to (N, out_chs, ceil(H / stride), ceil(W / stride)).

    Args:
        in_chs: Input channels.
        out_chs: Output channels.
        splits: Channel slices of MixConv; their sum is the hidden width.
        kernel_sizes: Kernel size of each slice.
        stride: Stride of MixConv.
        residual: Add the input to the output.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: If a residual is asked where input and output differ in shape.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        splits: Sequence[int],
        kernel_sizes: Sequence[int],
        stride: int = 1,
        residual: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        if residual and (stride != 1 or in_chs != out_chs):
            raise ValueError(f"A residual needs stride 1 and equal widths, got {stride}, {in_chs} and {out_chs}.")
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        hidden = sum(splits)
        self.residual = residual
        self.expand = ConvBnPReLU(in_chs, hidden, **dd)
        self.mix = MixConv(splits, kernel_sizes, stride, **dd)
        self.att = CoordAtt(hidden, **dd)
        self.project = ConvNorm(hidden, out_chs, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Expand, mix, attend, project; add the input where the block is residual."""
        y = self.project(self.att(self.mix(self.expand(x))))
        return x + y if self.residual else y
