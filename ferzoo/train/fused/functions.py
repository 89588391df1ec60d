"""The two halves of a MixConv bottleneck, and LFN's stem, with their gradients, by numba's loops.

Per face, the depthwise convolution reads what BatchNorm and PReLU have just left in the cache, and its gradients take
along what BatchNorm's backward needs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn
from torch.autograd.function import once_differentiable

from ..bfloat16 import product
from .maps import bits, compiled, normalization, rows_of, tile

__all__ = ["AttendProject", "ExpandMix", "NormMix", "Normalize"]


def _mix_normalized(
    z: torch.Tensor,
    gain: torch.Tensor,
    bias: torch.Tensor,
    slope: torch.Tensor,
    taps: Sequence[torch.Tensor],
    norm: nn.BatchNorm2d,
    stride: int,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...]]:
    """Depthwise convolutions of a normalised and activated map, the means of rows and columns, and what is saved."""
    n, height, width, channels = z.shape
    mean, rstd, scale, shift = normalization(z, gain, bias, norm)
    h_out, w_out = -(-height // stride), -(-width // stride)
    tiled = [tile(part.detach(), w_out) for part in taps]
    out = torch.empty(n, h_out, w_out, channels, dtype=torch.bfloat16)
    rows, columns = torch.empty(n, h_out, channels), torch.empty(n, w_out, channels)
    read = [t.detach().numpy() for t in (scale, shift, slope)]
    written = (bits(out), rows.numpy(), columns.numpy())
    for first, size, part in _slices(tiled):
        compiled().depthwise(bits(z), first, *read, part.numpy(), size, stride, *written)
    return out, rows, columns, (mean, rstd, gain, scale, shift, slope, *tiled)


def _slices(tiled: Sequence[torch.Tensor]) -> Iterator[tuple[int, int, torch.Tensor]]:
    """First channel, kernel size and taps (size * size, tile, C) of each slice of the channels."""
    first = 0
    for part in tiled:
        yield first, round(part.shape[0] ** 0.5), part
        first += part.shape[2]


def _mix_normalized_backward(
    saved: tuple[torch.Tensor, ...], stride: int, g: torch.Tensor, g_rows: torch.Tensor, g_columns: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """Gradients of the map, gain, bias, slope and of each slice's taps."""
    z, mean, rstd, gain, scale, shift, slope, *tiled = saved
    channels = z.shape[-1]
    g_z, g_tiled = torch.empty_like(z), [torch.zeros_like(part) for part in tiled]
    g_slope, sums, products = torch.zeros(channels), torch.zeros(channels), torch.zeros(channels)
    read = [t.detach().numpy() for t in (scale, shift, slope, mean, rstd)]
    given = (bits(g.contiguous()), g_rows.contiguous().numpy(), g_columns.contiguous().numpy(), bits(g_z))
    written = [t.numpy() for t in (g_slope, sums, products)]
    for (first, size, part), g_part in zip(_slices(tiled), g_tiled, strict=True):
        of_taps = (part.numpy(), size, stride)
        compiled().depthwise_backward(bits(z), first, *read, *of_taps, *given, g_part.numpy(), *written)
    of_norm = (t.detach().numpy() for t in (mean, rstd, gain, sums, products))
    compiled().affine_backward(bits(rows_of(g_z)), bits(rows_of(z)), *of_norm)
    return g_z, products, sums, g_slope, *(part.sum(1) for part in g_tiled)


def _normalize(
    z: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor, norm: nn.BatchNorm2d, residual: torch.Tensor | None
) -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
    """BatchNorm of a bfloat16 map, to float32, and the residual where there is one; and what is saved."""
    mean, rstd, scale, shift = normalization(z, gain, bias, norm)
    out = torch.empty(z.shape) if residual is None else residual.detach().clone()
    compiled().normalize(bits(rows_of(z)), scale.numpy(), shift.numpy(), residual is not None, rows_of(out).numpy())
    return out, (z, mean, rstd, gain)


def _normalize_backward(
    g: torch.Tensor, z: torch.Tensor, mean: torch.Tensor, rstd: torch.Tensor, gain: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of a BatchNorm's bfloat16 input, of its bias and of its gain."""
    g, g_z = g.contiguous(), torch.empty_like(z)
    sums, products = torch.zeros(z.shape[-1]), torch.zeros(z.shape[-1])
    of_norm = (t.detach().numpy() for t in (mean, rstd, gain, sums, products))
    compiled().normalize_backward(rows_of(g).numpy(), bits(rows_of(z)), *of_norm, bits(rows_of(g_z)))
    return g_z, sums, products


class ExpandMix(torch.autograd.Function):
    """1x1 convolution, BatchNorm, PReLU and depthwise convolutions, with the means of their rows and columns."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: torch.Tensor,
        expand: torch.Tensor,
        gain: torch.Tensor,
        bias: torch.Tensor,
        slope: torch.Tensor,
        norm: nn.BatchNorm2d,
        stride: int,
        *taps: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Take x (N, H, W, C), the weights, and the taps (size * size, c) of each slice of the hidden channels."""
        n, height, width, channels = x.shape
        hidden = expand.shape[0]
        pixels, matrix = x.reshape(-1, channels).bfloat16(), expand.flatten(1).bfloat16()
        z = product(pixels, matrix.t()).view(n, height, width, hidden)
        out, rows, columns, saved = _mix_normalized(z, gain, bias, slope, taps, norm, stride)
        ctx.save_for_backward(pixels, matrix, z, *saved)
        ctx.stride = stride
        return out, rows, columns

    @staticmethod
    @once_differentiable
    def backward(  # type: ignore[override]
        ctx: Any, g: torch.Tensor, g_rows: torch.Tensor, g_columns: torch.Tensor
    ) -> tuple[torch.Tensor | None, ...]:
        """Gradients of the map and the weights."""
        pixels, matrix, z, *saved = ctx.saved_tensors  # once: a checkpoint gives them but once
        found = _mix_normalized_backward((z, *saved), ctx.stride, g, g_rows, g_columns)
        g_z, g_gain, g_bias, g_slope, *g_taps = found
        flat = g_z.view(-1, z.shape[-1])
        g_x = product(flat, matrix).float().view(*z.shape[:3], -1)
        g_expand = product(flat.t(), pixels).float()[..., None, None]
        return g_x, g_expand, g_gain, g_bias, g_slope, None, None, *g_taps


class NormMix(torch.autograd.Function):
    """BatchNorm, without activation, and depthwise convolution of a map (N, H, W, C) that is narrowed to bfloat16."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, x: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor, taps: torch.Tensor, norm: nn.BatchNorm2d
    ) -> torch.Tensor:
        """Take the taps (size * size, C)."""
        z, slope = x.bfloat16(), torch.ones_like(gain)
        out, _, _, saved = _mix_normalized(z, gain, bias, slope, [taps], norm, 1)
        ctx.save_for_backward(z, *saved)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """Gradients of the map and the weights."""
        n, height, width, channels = g.shape
        means = torch.zeros(n, height, channels), torch.zeros(n, width, channels)
        g_z, g_gain, g_bias, _, g_taps = _mix_normalized_backward(ctx.saved_tensors, 1, g, *means)
        return g_z.float(), g_gain, g_bias, g_taps, None


class Normalize(torch.autograd.Function):
    """BatchNorm of a bfloat16 map (N, H, W, C), to float32."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any, z: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor, norm: nn.BatchNorm2d
    ) -> torch.Tensor:
        """Return the normalised map."""
        out, saved = _normalize(z, gain, bias, norm, None)
        ctx.save_for_backward(*saved)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """Gradients of the map and the weights."""
        g_z, sums, products = _normalize_backward(g, *ctx.saved_tensors)
        return g_z, products, sums, None


class AttendProject(torch.autograd.Function):
    """A map times its gates, 1x1 convolution, BatchNorm and, where there is one, the residual."""

    @staticmethod
    def forward(  # type: ignore[override]
        ctx: Any,
        x: torch.Tensor,
        row_gates: torch.Tensor,
        column_gates: torch.Tensor,
        project: torch.Tensor,
        gain: torch.Tensor,
        bias: torch.Tensor,
        residual: torch.Tensor | None,
        norm: nn.BatchNorm2d,
    ) -> torch.Tensor:
        """Take x (N, H, W, C) in bfloat16 and the gates (N, H, C) and (N, W, C)."""
        n, height, width, hidden = x.shape
        attended, matrix = torch.empty_like(x), project.flatten(1).bfloat16()
        compiled().attend(bits(x), row_gates.detach().numpy(), column_gates.detach().numpy(), bits(attended))
        z = product(attended.view(-1, hidden), matrix.t()).view(n, height, width, -1)
        out, saved = _normalize(z, gain, bias, norm, residual)
        ctx.save_for_backward(x, row_gates, column_gates, attended, matrix, *saved)
        ctx.has_residual = residual is not None
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor | None, ...]:  # type: ignore[override]
        """Gradients of the map, the gates, the weights and the residual."""
        x, row_gates, column_gates, attended, matrix, *of_norm = ctx.saved_tensors
        hidden = x.shape[-1]
        g_z, sums, products = _normalize_backward(g, *of_norm)
        flat = g_z.view(-1, g_z.shape[-1])
        g_attended, g_x = product(flat, matrix).view(x.shape), torch.empty_like(x)
        g_project = product(flat.t(), attended.view(-1, hidden)).float()[..., None, None]
        g_rows, g_columns = torch.empty_like(row_gates), torch.empty_like(column_gates)
        gates = (row_gates.detach().numpy(), column_gates.detach().numpy())
        compiled().attend_backward(bits(g_attended), bits(x), *gates, bits(g_x), g_rows.numpy(), g_columns.numpy())
        return g_x, g_rows, g_columns, g_project, products, sums, g if ctx.has_residual else None, None
