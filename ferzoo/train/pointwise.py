"""1x1 convolutions as matrix products in bfloat16, all else in float32: what a CPU with AMX trains fastest.

Autocast takes the depthwise convolutions along, which oneDNN computes many times slower in bfloat16.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from .bfloat16 import make_convolutions

__all__ = ["PointwiseConv2d", "use_bf16_pointwise"]

#: Channels under which a product is too small to gain by bfloat16, such as in the bottleneck of an attention.
LEAST_CHANNELS = 32
#: The ways to write that a 1x1 convolution has no padding.
_NONE = ((0, 0), "valid", "same")


class PointwiseConv2d(nn.Conv2d):
    """A 1x1 convolution that in training is a matrix product over the channels, in bfloat16 where it is wide.

    In evaluation it is the convolution that it was. Weights, gradients and output keep their type.

    Shape: (N, in_channels, H, W) to (N, out_channels, H, W); best in channels_last, where no element moves.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map."""
        if not self.training:
            return super().forward(x)
        pixels, weight = x.permute(0, 2, 3, 1), self.weight.flatten(1)
        if min(self.in_channels, self.out_channels) < LEAST_CHANNELS:
            return F.linear(pixels, weight, self.bias).permute(0, 3, 1, 2)
        out = F.linear(pixels.bfloat16(), weight.bfloat16()).to(x.dtype)
        if self.bias is not None:
            out = out + self.bias
        return out.permute(0, 3, 1, 2)

    @classmethod
    def fits(cls, conv: nn.Conv2d) -> bool:
        """Whether a convolution may be one of these."""
        return conv.kernel_size == conv.stride == (1, 1) and conv.groups == 1 and conv.padding in _NONE


def use_bf16_pointwise(model: nn.Module) -> int:
    """Make every plain 1x1 convolution of a network a `PointwiseConv2d`, in place; names and weights stay.

    Args:
        model: A network in training; subclasses of `nn.Conv2d` are left alone.

    Returns:
        How many there were.
    """
    return make_convolutions(model, PointwiseConv2d)
