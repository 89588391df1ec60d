"""Dense convolutions of small maps as matrix products: oneDNN's backward pass makes poor use of a CPU there."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd.function import once_differentiable

from ..bfloat16 import product
from .maps import applies_in_bfloat16

__all__ = ["MatmulConv2d"]

#: Pixels of the output up to which the product is quicker, 4x4.
MOST_PIXELS = 16
#: Weights a tap and pixel of the output from which it is: 91 channels each way at 2x2, 182 at 4x4.
LEAST_WEIGHTS = 2048

Pair = tuple[int, int]


class _Convolve(torch.autograd.Function):
    """Convolution of bfloat16 maps (N, H, W, C) by a weight (O, C, kernel height, kernel width)."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair
    ) -> torch.Tensor:
        """Return bfloat16 (N, H', W', O)."""
        taps = weight.permute(0, 2, 3, 1).bfloat16()
        windows = _windows(x, taps.shape[1:3], stride, padding)
        ctx.save_for_backward(x, taps)
        ctx.stride, ctx.padding = stride, padding
        return product(windows.flatten(3), taps.flatten(1).t())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """Gradients of the maps and the weight."""
        x, taps = ctx.saved_tensors
        windows = _windows(x, taps.shape[1:3], ctx.stride, ctx.padding)
        g = g.flatten(0, 2)
        g_x = g_weight = None
        if ctx.needs_input_grad[0]:
            g_windows = product(g, taps.flatten(1)).view(windows.shape)
            g_x = _overlap(g_windows, x.shape, ctx.stride, ctx.padding).to(x.dtype)
        if ctx.needs_input_grad[1]:
            g_taps = product(g.t(), windows.flatten(0, 2).flatten(1))
            g_weight = g_taps.view(taps.shape).permute(0, 3, 1, 2).float()
        return g_x, g_weight, None, None


def _windows(x: torch.Tensor, kernel: Any, stride: Pair, padding: Pair) -> torch.Tensor:
    """What each pixel of the output sees of a map (N, H, W, C): (N, H', W', kernel height, kernel width, C)."""
    (height, width), (top, left) = kernel, padding
    sees = F.pad(x, (0, 0, left, left, top, top)).unfold(1, height, stride[0]).unfold(2, width, stride[1])
    return sees.permute(0, 1, 2, 4, 5, 3)


def _overlap(windows: torch.Tensor, shape: torch.Size, stride: Pair, padding: Pair) -> torch.Tensor:
    """Sum of what windows hold of each pixel of a map (N, H, W, C), float32: the transpose of `_windows`."""
    (n, height, width, channels), (top, left) = shape, padding
    padded = torch.zeros(n, height + 2 * top, width + 2 * left, channels)
    down, right = (step * (count - 1) + 1 for step, count in zip(stride, windows.shape[1:3], strict=True))
    for row in range(windows.shape[3]):
        for column in range(windows.shape[4]):
            seen = padded[:, row : row + down : stride[0], column : column + right : stride[1]]
            seen += windows[:, :, :, row, column]
    return padded[:, top : top + height, left : left + width]


class MatmulConv2d(nn.Conv2d):
    """A dense convolution, of small maps a matrix product in bfloat16."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (PyTorch's name)
        """Return (N, out_channels, H', W') of (N, in_channels, H, W)."""
        padding: Any = self.padding  # a string is left to PyTorch, see `fits`
        if not (input.dim() == 4 and applies_in_bfloat16(self, input) and self._pays(input, padding)):
            return super().forward(input)
        maps = input.permute(0, 2, 3, 1).bfloat16()
        out: torch.Tensor = _Convolve.apply(maps, self.weight, self.stride, padding)
        if self.bias is not None:
            out = out + self.bias.bfloat16()
        return out.permute(0, 3, 1, 2)

    def _pays(self, x: torch.Tensor, padding: Pair) -> bool:
        """Whether the output has few pixels for its channels, and any at all."""
        parts = zip(x.shape[2:], padding, self.kernel_size, self.stride, strict=True)
        height, width = (max(0, (size + 2 * pad - kernel) // stride + 1) for size, pad, kernel, stride in parts)
        return 0 < height * width <= min(MOST_PIXELS, self.in_channels * self.out_channels / LEAST_WEIGHTS)

    @classmethod
    def fits(cls, conv: nn.Conv2d) -> bool:
        """Whether a convolution is one of these."""
        plain = conv.groups == 1 and conv.dilation == (1, 1) and conv.padding_mode == "zeros"
        wide = conv.in_channels * conv.out_channels >= LEAST_WEIGHTS
        return plain and wide and not isinstance(conv.padding, str)
