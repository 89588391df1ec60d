"""Conv2d_BN of RepViT (Wang et al. 2024, arXiv 2307.09283), and the same followed by PReLU."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from timm.models.repvit import ConvNorm
from torch import nn

from ..registry.register import register_block

__all__ = ["ConvBnPReLU", "conv2d_bn", "conv_bn_prelu"]


class ConvBnPReLU(nn.Sequential):
    """Convolution without bias, BatchNorm, PReLU with a slope a channel (MobileFaceNet's unit).

    Shape: (N, in_chs, H, W) to (N, out_chs, ceil(H / stride), ceil(W / stride)).

    Args:
        in_chs: Input channels.
        out_chs: Output channels.
        kernel_size: Odd kernel size; the padding keeps the size at stride 1.
        stride: Stride of the convolution.
        groups: Groups of the convolution, `in_chs` for a depthwise one.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        kernel_size: int = 1,
        stride: int = 1,
        groups: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(
            OrderedDict(
                conv=nn.Conv2d(in_chs, out_chs, kernel_size, stride, kernel_size // 2, groups=groups, bias=False, **dd),
                bn=nn.BatchNorm2d(out_chs, **dd),
                act=nn.PReLU(out_chs, **dd),
            )
        )


@register_block(example={"in_chs": 8, "out_chs": 12, "kernel_size": 3, "stride": 2})
def conv2d_bn(
    in_chs: int,
    out_chs: int,
    kernel_size: int = 1,
    stride: int = 1,
    groups: int = 1,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> ConvNorm:
    """RepViT's Conv2d_BN, timm's layer: convolution without bias and BatchNorm, no activation.

    Shape: (N, in_chs, H, W) to (N, out_chs, ceil(H / stride), ceil(W / stride)).

    Args:
        in_chs: Input channels.
        out_chs: Output channels.
        kernel_size: Odd kernel size; the padding is `kernel_size // 2`.
        stride: Stride of the convolution.
        groups: Groups of the convolution, `in_chs` for a depthwise one.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """
    return ConvNorm(in_chs, out_chs, kernel_size, stride, kernel_size // 2, groups=groups, device=device, dtype=dtype)


@register_block(example={"in_chs": 8, "out_chs": 12, "kernel_size": 3, "stride": 2})
def conv_bn_prelu(in_chs: int, out_chs: int, **kwargs: Any) -> ConvBnPReLU:
    """Convolution, BatchNorm and PReLU, as the class `ConvBnPReLU`.

    Args:
        in_chs: Channels in.
        out_chs: Channels out.
        **kwargs: Further arguments of `ConvBnPReLU`.
    """
    return ConvBnPReLU(in_chs, out_chs, **kwargs)
