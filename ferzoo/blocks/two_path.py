"""Two-path block of LANMSFF (Ezati et al. 2024, arXiv 2403.14318, section 3.1)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..registry.register import register_block

__all__ = ["ConvBnReLU", "SeparableConv", "TwoPath"]


class SeparableConv(nn.Sequential):
    """Depthwise 3x3 without bias, then 1x1 with bias (Keras' SeparableConv2D).

    Shape: (N, in_chs, H, W) to (N, out_chs, H, W).
    """

    def __init__(self, in_chs: int, out_chs: int, dilation: int = 1, **dd: Any) -> None:
        """Take the widths, the depthwise dilation, and `device` and `dtype`."""
        super().__init__()
        self.conv_dw = nn.Conv2d(
            in_chs, in_chs, 3, padding=dilation, dilation=dilation, groups=in_chs, bias=False, **dd
        )
        self.conv_pw = nn.Conv2d(in_chs, out_chs, 1, **dd)


class ConvBnReLU(nn.Sequential):
    """A convolution with bias, BatchNorm with Keras' constants, and ReLU unless `act` is false.

    Shape: (N, in_chs, H, W) to (N, out_chs, H, W).
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        kernel_size: int = 3,
        dilation: int = 1,
        separable: bool = False,
        act: bool = True,
        **dd: Any,
    ) -> None:
        """Take the widths, kernel size, dilation, whether separable, and `device` and `dtype`."""
        super().__init__()
        padding = dilation * (kernel_size // 2)
        self.conv: nn.Module = (
            SeparableConv(in_chs, out_chs, dilation, **dd)
            if separable
            else nn.Conv2d(in_chs, out_chs, kernel_size, padding=padding, dilation=dilation, **dd)
        )
        self.bn = nn.BatchNorm2d(out_chs, eps=1e-3, momentum=0.01, **dd)
        if act:
            self.act = nn.ReLU()


@register_block("two_path", example={"in_chs": 6, "out_chs": 8})
class TwoPath(nn.Module):
    """Two paths of three convolutions, dilations 1 and 2, that exchange their maps after each.

    A channel shuffle with two groups deals the input to both paths; after each stage the halves are
    concatenated and feed both. Shape: (N, in_chs, H, W) to (N, out_chs, H, W), both widths even.

    Args:
        in_chs: Input channels.
        out_chs: Output channels, half from each path.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: If a width is odd.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        if in_chs % 2 or out_chs % 2:
            raise ValueError(f"TwoPath halves its channels: both widths must be even, got {in_chs} and {out_chs}.")
        dd: dict[str, Any] = {"device": device, "dtype": dtype}

        def path(dilation: int) -> nn.ModuleList:
            half = out_chs // 2
            return nn.ModuleList(
                [
                    ConvBnReLU(in_chs // 2, half, dilation=dilation, **dd),
                    ConvBnReLU(out_chs, half, dilation=dilation, separable=True, **dd),
                    ConvBnReLU(out_chs, half, dilation=dilation, **dd),
                ]
            )

        self.path_h = path(1)
        self.path_l = path(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return both paths' last maps, concatenated."""
        high, low = torch.chunk(F.channel_shuffle(x, 2), 2, dim=1)
        for i, (conv_h, conv_l) in enumerate(zip(self.path_h, self.path_l)):
            if i > 0:
                x = torch.cat([high, low], dim=1)
                high, low = x, x
            high, low = conv_h(high), conv_l(low)
        return torch.cat([high, low], dim=1)
