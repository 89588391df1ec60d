"""Layers in training by numba's loops where autocast has made the maps bfloat16, which PyTorch is slow at on a CPU.

Each is the layer that it was in evaluation and without autocast.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from ...blocks.conv_bn import ConvBnPReLU
from ...blocks.pwfs import PWFS, check_thirds
from ...blocks.two_path import ConvBnReLU
from .maps import applies_in_bfloat16, bits, compiled, is_depthwise, normalization, rows_of, tile

__all__ = ["NumbaConvBnPReLU", "NumbaConvBnReLU", "NumbaDepthwise3x3", "NumbaPWFS"]


class _Depthwise(torch.autograd.Function):
    """3x3 depthwise convolution of bfloat16 maps (N, H, W, C) that keeps their size, or halves it with stride 2."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: torch.Tensor, taps: torch.Tensor, stride: int, dilation: int
    ) -> torch.Tensor:
        """Take the taps (9, C)."""
        n, height, width, channels = x.shape
        h_out, w_out = -(-height // stride), -(-width // stride)
        tiled = tile(taps, w_out)
        out = torch.empty(n, h_out, w_out, channels, dtype=x.dtype)
        if stride == 1:
            compiled().depthwise3(bits(x), tiled.numpy(), dilation, bits(out))
        else:
            means = (torch.empty(n, h_out, channels).numpy(), torch.empty(n, w_out, channels).numpy())
            compiled().depthwise(bits(x), 0, *_identity(channels), tiled.numpy(), 3, stride, bits(out), *means)
        ctx.save_for_backward(x, tiled)
        ctx.stride, ctx.dilation = stride, dilation
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """Gradients of the maps and the taps."""
        x, tiled = ctx.saved_tensors
        channels = x.shape[-1]
        g, g_x, g_tiled = g.contiguous(), torch.empty_like(x), torch.zeros_like(tiled)
        if ctx.stride == 1:
            compiled().depthwise3_backward(bits(x), tiled.numpy(), ctx.dilation, bits(g), bits(g_x), g_tiled.numpy())
        else:
            one, zero, _ = _identity(channels)
            means = (torch.zeros(*g.shape[:2], channels).numpy(), torch.zeros(len(g), g.shape[2], channels).numpy())
            unused = (torch.zeros(channels).numpy() for _ in range(3))
            read = (bits(x), 0, one, zero, one, zero, one, tiled.numpy(), 3, ctx.stride, bits(g), *means)
            compiled().depthwise_backward(*read, bits(g_x), g_tiled.numpy(), *unused)
        return g_x, g_tiled.sum(1), None, None


def _identity(channels: int) -> tuple[Any, Any, Any]:
    """Scale, shift and slope that change nothing."""
    return torch.ones(channels).numpy(), torch.zeros(channels).numpy(), torch.ones(channels).numpy()


class _NormActivate(torch.autograd.Function):
    """BatchNorm and PReLU of bfloat16 maps (N, H, W, C); slopes of 0 are ReLU, of 1 no activation."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, z: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor, slope: torch.Tensor, norm: nn.BatchNorm2d
    ) -> torch.Tensor:
        """Return bfloat16."""
        mean, rstd, scale, shift = normalization(z, gain, bias, norm)
        affine = (scale, shift, slope.detach())
        out = torch.empty_like(z)
        compiled().activate(bits(rows_of(z)), *(t.numpy() for t in affine), bits(rows_of(out)))
        ctx.save_for_backward(z, *affine, mean, rstd, gain)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """Gradients of the maps and the weights."""
        z, *of_norm = ctx.saved_tensors
        g_z = torch.empty_like(z)
        g_slope, sums, products = (torch.zeros(z.shape[-1]) for _ in range(3))
        arrays = (t.detach().numpy() for t in (*of_norm, g_slope, sums, products))
        compiled().activate_backward(bits(rows_of(g.contiguous())), bits(rows_of(z)), *arrays, bits(rows_of(g_z)))
        return g_z, products, sums, g_slope, None


class _TwoLargest(torch.autograd.Function):
    """PWFS of bfloat16 maps (N, H, W, C)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Return (N, H, W, C / 3)."""
        out = torch.empty(*x.shape[:3], x.shape[3] // 3, dtype=x.dtype)
        compiled().two_largest(bits(rows_of(x)), bits(rows_of(out)))
        ctx.save_for_backward(x)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        """Gradient of the maps."""
        (x,) = ctx.saved_tensors
        g_x = torch.empty_like(x)
        compiled().two_largest_backward(bits(rows_of(g.contiguous())), bits(rows_of(x)), bits(rows_of(g_x)))
        return g_x


def _maps(x: torch.Tensor) -> torch.Tensor:
    """(N, C, H, W) as bfloat16 (N, H, W, C)."""
    return x.permute(0, 2, 3, 1).bfloat16().contiguous()


def _normalized(x: torch.Tensor, norm: nn.BatchNorm2d, slope: torch.Tensor | float) -> torch.Tensor:
    if not isinstance(slope, torch.Tensor):
        slope = torch.full_like(norm.weight.detach(), slope)
    out: torch.Tensor = _NormActivate.apply(_maps(x), norm.weight, norm.bias, slope, norm)
    return out.permute(0, 3, 1, 2)


class NumbaConvBnReLU(ConvBnReLU):
    """A convolution, BatchNorm and, where it has one, ReLU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, out_chs, H, W) of (N, in_chs, H, W)."""
        if not applies_in_bfloat16(self, x, self.bn):
            return super().forward(x)
        return _normalized(self.conv(x), self.bn, 0.0 if hasattr(self, "act") else 1.0)


class NumbaConvBnPReLU(ConvBnPReLU):
    """A convolution, BatchNorm and PReLU."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, out_chs, H', W') of (N, in_chs, H, W)."""
        parts: Any = self  # PyTorch types what a module holds as a tensor or a module
        if not applies_in_bfloat16(self, x, parts.bn):
            return super().forward(x)
        return _normalized(parts.conv(x), parts.bn, parts.act.weight)


class NumbaDepthwise3x3(nn.Conv2d):
    """A depthwise 3x3 convolution without bias that keeps the size, or halves it with stride 2."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (PyTorch's name)
        """Return (N, C, H', W') of (N, C, H, W)."""
        if not applies_in_bfloat16(self, input):
            return super().forward(input)
        taps = self.weight.flatten(1).t().contiguous()
        out: torch.Tensor = _Depthwise.apply(_maps(input), taps, self.stride[0], self.dilation[0])
        return out.permute(0, 3, 1, 2)

    @classmethod
    def fits(cls, conv: nn.Conv2d) -> bool:
        """Whether a convolution is one of these."""
        strides = ((1, 1), (2, 2)) if conv.dilation == (1, 1) else ((1, 1),)
        return is_depthwise(conv) and conv.kernel_size == (3, 3) and conv.stride in strides and conv.groups > 1


class NumbaPWFS(PWFS):
    """PWFS; of equal channels it takes one for the least."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, C / 3, H, W) of (N, C, H, W)."""
        if not applies_in_bfloat16(self, x):
            return super().forward(x)
        out: torch.Tensor = _TwoLargest.apply(_maps(check_thirds(x)))
        return out.permute(0, 3, 1, 2)
