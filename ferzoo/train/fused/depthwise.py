"""Depthwise convolutions of maps (N, H, W, C), face by face: what one reads and writes stays in the caches."""

from __future__ import annotations

import numpy as np
from numba import njit

from .bits import OPTIONS, narrow, widen

__all__ = ["depthwise", "depthwise3", "depthwise3_backward", "depthwise_backward"]


@njit(**OPTIONS)
def _product3(source, y, dilation, weight, out):
    """Write to out (W * C) a 3x3 depthwise product of the lines from y on of source (H, W + 2 * dilation, C).

    The weights (9, tile, C) are repeated over a few columns, so that loops are long and the weights stay in the cache.
    """
    c = dilation * source.shape[2]
    tile = weight.shape[1] * source.shape[2]
    a, b, d = source[y].reshape(-1), source[y + dilation].reshape(-1), source[y + 2 * dilation].reshape(-1)
    w = weight.reshape(9, tile)
    w0, w1, w2, w3, w4, w5, w6, w7, w8 = w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7], w[8]
    for first in range(0, len(out), tile):
        to = out[first : first + tile]
        a0, b0, d0 = a[first:], b[first:], d[first:]
        a1, a2, b1, b2, d1, d2 = a0[c:], a0[2 * c :], b0[c:], b0[2 * c :], d0[c:], d0[2 * c :]
        for t in range(tile):
            v = w0[t] * a0[t] + w1[t] * a1[t] + w2[t] * a2[t]
            v += w3[t] * b0[t] + w4[t] * b1[t] + w5[t] * b2[t]
            to[t] = v + w6[t] * d0[t] + w7[t] * d1[t] + w8[t] * d2[t]


@njit(**OPTIONS)
def _product(source, y, size, weight, out):
    """As `_product3` for any odd size, undilated: source (H, W + size - 1, C), weights (size * size, tile, C)."""
    if size == 3:
        _product3(source, y, 1, weight, out)
        return
    c, tile = source.shape[2], weight.shape[1] * source.shape[2]
    taps = weight.reshape(size * size, tile)
    out[:] = 0
    for first in range(0, len(out), tile):
        to = out[first : first + tile]
        for u in range(size):
            line = source[y + u].reshape(-1)[first:]
            w0 = taps[u * size]
            for t in range(tile):
                to[t] += w0[t] * line[t]
            for v in range(1, size, 2):
                w1, w2, a1, a2 = taps[u * size + v], taps[u * size + v + 1], line[v * c :], line[(v + 1) * c :]
                for t in range(tile):
                    to[t] += w1[t] * a1[t] + w2[t] * a2[t]


@njit(**OPTIONS)
def _correlate(rows, source, size, dilation, out):
    """Add to out (size * size, tile, C) the products of rows (H, W * C) with what each tap of a kernel sees of source.

    The source has a border of dilation * (size // 2) on each side: (H + border, W + border, C).
    """
    height, span = rows.shape
    c, tile = dilation * source.shape[2], out.shape[1] * out.shape[2]
    flat, sums = source.reshape(source.shape[0], -1), out.reshape(size * size, tile)
    for y in range(0, height - height % 4, 4):
        for first in range(0, span, tile):
            r0, r1, r2, r3 = rows[y, first:], rows[y + 1, first:], rows[y + 2, first:], rows[y + 3, first:]
            for u in range(size):
                line = y + u * dilation
                for v in range(size):
                    to, at = sums[size * u + v], first + v * c
                    a0, a1, a2, a3 = flat[line, at:], flat[line + 1, at:], flat[line + 2, at:], flat[line + 3, at:]
                    for t in range(tile):
                        to[t] += r0[t] * a0[t] + r1[t] * a1[t] + r2[t] * a2[t] + r3[t] * a3[t]
    for y in range(height - height % 4, height):
        for first in range(0, span, tile):
            r0 = rows[y, first:]
            for u in range(size):
                for v in range(size):
                    to, a0 = sums[size * u + v], flat[y + u * dilation, first + v * c :]
                    for t in range(tile):
                        to[t] += r0[t] * a0[t]


@njit(**OPTIONS)
def _activate(z, first, scale, shift, slope, stride, pad, out):
    """prelu(scale * z + shift) of a slice of channels into a zero border, columns of one parity (of a stride) together.

    The slice begins at `first` and is as wide as `out`, which holds one face.
    """
    height, width, c = z.shape[0], z.shape[1], out.shape[3]
    one = np.float32(1)
    for y in range(height):
        for x in range(width):
            source, to = z[y, x][first : first + c], out[(x + pad) % stride, y + pad, (x + pad) // stride]
            for k in range(c):
                v = scale[k] * widen(source[k]) + shift[k]
                to[k] = v * (one if v > 0 else slope[k])


@njit(**OPTIONS)
def _buffer(height, width, c, stride, pad):
    return np.zeros((stride, height + 2 * pad, (width + 2 * pad + stride - 1) // stride, c), np.float32)


@njit(**OPTIONS)
def depthwise(z, first, scale, shift, slope, weight, size, stride, out, rows, columns):
    """Depthwise convolution of prelu(scale * z + shift), and the means of its rows and columns, for some channels.

    The weights are (size * size, tile, C), repeated over `tile` columns, which divide the width of the output; theirs
    are the C channels of each array from `first` on.
    """
    n, height, width = z.shape[:3]
    h_out, w_out, tile, c = out.shape[1], out.shape[2], weight.shape[1], weight.shape[2]
    last, pad, long = first + c, size // 2, tile * c
    scales, shifts, slopes = scale[first:last], shift[first:last], slope[first:last]
    a = _buffer(height, width, c, stride, pad)
    acc = np.empty(w_out * c, np.float32)
    taps = weight.reshape(size * size, long)
    w_inv, h_inv = np.float32(1) / np.float32(w_out), np.float32(1) / np.float32(h_out)
    for i in range(n):
        _activate(z[i], first, scales, shifts, slopes, stride, pad, a)
        for x in range(w_out):
            columns[i, x][first:last] = 0
        for y in range(h_out):
            if stride == 1:
                _product(a[0], y, size, weight, acc)
            else:
                acc[:] = 0
                for x in range(0, w_out, tile):
                    part = acc[x * c : x * c + long]
                    for u in range(size):
                        for v in range(size):
                            line = a[v % stride, y * stride + u].reshape(-1)[(v // stride + x) * c :]
                            tap = taps[u * size + v]
                            for t in range(long):
                                part[t] += tap[t] * line[t]
            row = rows[i, y][first:last]
            row[:] = 0
            for x in range(w_out):
                part, to, column = acc[x * c : x * c + c], out[i, y, x][first:last], columns[i, x][first:last]
                for k in range(c):
                    to[k] = narrow(part[k])
                    row[k] += part[k] * w_inv
                    column[k] += part[k] * h_inv


@njit(**OPTIONS)
def _spread(lines, weight, size, stride, a, d, g_weight):
    """Gradients of a strided convolution: of what it read, to `d`, and of its taps; `lines` are that of its output."""
    tile, c = weight.shape[1], weight.shape[2]
    long = tile * c
    taps, g_taps = weight.reshape(size * size, long), g_weight.reshape(size * size, long)
    d[:] = 0
    for y in range(lines.shape[0]):
        for x in range(0, lines.shape[1] // c, tile):
            row = lines[y, x * c :]
            for u in range(size):
                for v in range(size):
                    at, line = (v // stride + x) * c, y * stride + u
                    taken = a[v % stride, line].reshape(-1)[at:]
                    given = d[v % stride, line].reshape(-1)[at:]
                    tap, g_tap = taps[u * size + v], g_taps[u * size + v]
                    for t in range(long):
                        given[t] += row[t] * tap[t]
                    for t in range(long):
                        g_tap[t] += row[t] * taken[t]


@njit(**OPTIONS)
def depthwise_backward(
    z, first, scale, shift, slope, mean, rstd, weight, size, stride, g, g_rows, g_columns, out,
    g_weight, g_slope, sums, products,
):  # fmt: skip
    """Gradients of `depthwise`: `out` is that of the BatchNorm's output, of which sums are taken along."""
    n, height, width = z.shape[:3]
    h_out, w_out, c = g.shape[1], g.shape[2], weight.shape[2]
    last, pad, span = first + c, size // 2, w_out * c
    scales, shifts, slopes = scale[first:last], shift[first:last], slope[first:last]
    means, rstds = mean[first:last], rstd[first:last]
    a, d = _buffer(height, width, c, stride, pad), _buffer(height, width, c, stride, pad)
    lines = np.empty((h_out, span), np.float32)
    border = np.zeros((height + 2 * pad, width + 2 * pad, c), np.float32)
    flipped = weight[::-1].copy()
    one, zero = np.float32(1), np.float32(0)
    w_inv, h_inv = np.float32(1) / np.float32(w_out), np.float32(1) / np.float32(h_out)
    s, q, r = np.empty(c, np.float32), np.empty(c, np.float32), np.empty(c, np.float32)
    for i in range(n):
        _activate(z[i], first, scales, shifts, slopes, stride, pad, a)
        for y in range(h_out):
            row, of_row = lines[y], g_rows[i, y][first:last]
            for x in range(w_out):
                part, source = row[x * c : x * c + c], g[i, y, x][first:last]
                of_column = g_columns[i, x][first:last]
                for k in range(c):
                    part[k] = widen(source[k]) + of_row[k] * w_inv + of_column[k] * h_inv
        if stride == 1:
            _correlate(lines, a[0], size, 1, g_weight)
            for y in range(height):
                border[y + pad].reshape(-1)[pad * c : pad * c + span] = lines[y]
            for y in range(height):
                _product(border, y, size, flipped, d[0, y + pad].reshape(-1)[pad * c : pad * c + span])
        else:
            _spread(lines, weight, size, stride, a, d, g_weight)
        s[:] = 0
        q[:] = 0
        r[:] = 0
        for y in range(height):
            for x in range(width):
                grad = d[(x + pad) % stride, y + pad, (x + pad) // stride]
                source, to = z[i, y, x][first:last], out[i, y, x][first:last]
                for k in range(c):
                    raw = widen(source[k])
                    v = scales[k] * raw + shifts[k]
                    t = grad[k]
                    r[k] += zero if v > 0 else t * v
                    t *= one if v > 0 else slopes[k]
                    s[k] += t
                    q[k] += t * ((raw - means[k]) * rstds[k])
                    to[k] = narrow(t)
        for k in range(c):
            sums[first + k] += s[k]
            products[first + k] += q[k]
            g_slope[first + k] += r[k]


@njit(**OPTIONS)
def _widen_inside(source, border, to):
    """A bfloat16 face (H, W, C) inside a float32 one with a border."""
    height, width, c = source.shape
    for y in range(height):
        for x in range(width):
            read, written = source[y, x], to[y + border, x + border]
            for k in range(c):
                written[k] = widen(read[k])


@njit(**OPTIONS)
def depthwise3(x, weight, dilation, out):
    """3x3 depthwise convolution of bfloat16 maps (N, H, W, C) that keeps their size; weights (9, tile, C)."""
    n, height, width, c = x.shape
    a = np.zeros((height + 2 * dilation, width + 2 * dilation, c), np.float32)
    acc = np.empty(width * c, np.float32)
    for i in range(n):
        _widen_inside(x[i], dilation, a)
        for y in range(height):
            _product3(a, y, dilation, weight, acc)
            to = out[i, y].reshape(-1)
            for t in range(width * c):
                to[t] = narrow(acc[t])


@njit(**OPTIONS)
def depthwise3_backward(x, weight, dilation, g, out, g_weight):
    """Gradients of `depthwise3`."""
    n, height, width, c = x.shape
    a = np.zeros((height + 2 * dilation, width + 2 * dilation, c), np.float32)
    b = np.zeros((height + 2 * dilation, width + 2 * dilation, c), np.float32)
    lines = np.empty((height, width * c), np.float32)
    acc = np.empty(width * c, np.float32)
    flipped = weight[::-1].copy()
    for i in range(n):
        _widen_inside(x[i], dilation, a)
        _widen_inside(g[i], dilation, b)
        for y in range(height):
            lines[y] = b[y + dilation].reshape(-1)[dilation * c : (dilation + width) * c]
        _correlate(lines, a, 3, dilation, g_weight)
        for y in range(height):
            _product3(b, y, dilation, flipped, acc)
            to = out[i, y].reshape(-1)
            for t in range(width * c):
                to[t] = narrow(acc[t])
