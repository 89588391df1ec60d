"""Loops over maps (N, H, W, C) or (N, P, C), compiled by numba: bfloat16 in memory, float32 in registers."""

from __future__ import annotations

import numpy as np
from numba import njit

from .bits import OPTIONS, narrow, widen
from .depthwise import depthwise, depthwise3, depthwise3_backward, depthwise_backward

__all__ = [
    "activate",
    "activate_backward",
    "affine_backward",
    "attend",
    "attend_backward",
    "depthwise",
    "depthwise3",
    "depthwise3_backward",
    "depthwise_backward",
    "moments",
    "normalize",
    "normalize_backward",
    "two_largest",
    "two_largest_backward",
]


@njit(**OPTIONS)
def moments(z, mean, var):
    """Mean and biased variance (C,) of z (N, P, C)."""
    n, p, c = z.shape
    total, square = np.zeros(c), np.zeros(c)
    for i in range(n):
        for j in range(p):
            source = z[i, j]
            for k in range(c):
                v = np.float64(widen(source[k]))
                total[k] += v
                square[k] += v * v
    for k in range(c):
        mu = total[k] / (n * p)
        mean[k] = mu
        var[k] = max(square[k] / (n * p) - mu * mu, 0.0)


@njit(**OPTIONS)
def _norm_coefficients(mean, rstd, gain, sums, products, count):
    """The gradient of a BatchNorm's input z is a * g + b * z + d, where g is that of its output; a, b and d, each (C,).

    It is gain * rstd * (g - sums / count - zhat * products / count), where `sums` are those of g, and `products` those
    of g times zhat.
    """
    c, count = len(gain), np.float32(count)
    a, b, d = np.empty(c, np.float32), np.empty(c, np.float32), np.empty(c, np.float32)
    for k in range(c):
        a[k] = gain[k] * rstd[k]
        b[k] = -a[k] * rstd[k] * products[k] / count
        d[k] = -a[k] * sums[k] / count - b[k] * mean[k]
    return a, b, d


@njit(**OPTIONS)
def affine_backward(g, z, mean, rstd, gain, sums, products):
    """From the gradient g of a BatchNorm's output that of its input, in place: both bfloat16 (N, P, C)."""
    n, p, c = z.shape
    a, b, d = _norm_coefficients(mean, rstd, gain, sums, products, n * p)
    for i in range(n):
        for j in range(p):
            for k in range(c):
                g[i, j, k] = narrow(a[k] * widen(g[i, j, k]) + b[k] * widen(z[i, j, k]) + d[k])


@njit(**OPTIONS)
def attend(x, rows, columns, out):
    """Multiply x (N, H, W, C) with its gates (N, H, C) and (N, W, C)."""
    n, height, width, c = x.shape
    for i in range(n):
        for y in range(height):
            for w in range(width):
                for k in range(c):
                    out[i, y, w, k] = narrow(widen(x[i, y, w, k]) * rows[i, y, k] * columns[i, w, k])


@njit(**OPTIONS)
def attend_backward(g, x, rows, columns, out, g_rows, g_columns):
    """Gradients of `attend`."""
    n, height, width, c = x.shape
    row = np.empty(c, np.float32)
    column = np.empty((width, c), np.float32)
    for i in range(n):
        column[:] = 0
        for y in range(height):
            row[:] = 0
            gate = rows[i, y]
            for w in range(width):
                grad, source, to, other, acc = g[i, y, w], x[i, y, w], out[i, y, w], columns[i, w], column[w]
                for k in range(c):
                    t = widen(grad[k])
                    v = t * widen(source[k])
                    to[k] = narrow(t * gate[k] * other[k])
                    row[k] += v * other[k]
                    acc[k] += v * gate[k]
            for k in range(c):
                g_rows[i, y, k] = row[k]
        for w in range(width):
            for k in range(c):
                g_columns[i, w, k] = column[w, k]


@njit(**OPTIONS)
def normalize(z, scale, shift, add, out):
    """Write scale * z + shift in float32, or add it to what `out` holds where `add` says so; z (N, P, C)."""
    n, p, c = z.shape
    for i in range(n):
        for j in range(p):
            source, to = z[i, j], out[i, j]
            if add:
                for k in range(c):
                    to[k] += scale[k] * widen(source[k]) + shift[k]
            else:
                for k in range(c):
                    to[k] = scale[k] * widen(source[k]) + shift[k]


@njit(**OPTIONS)
def normalize_backward(g, z, mean, rstd, gain, sums, products, out):
    """Gradient of a BatchNorm's input of a float32 gradient, with the sums that its parameters take."""
    n, p, c = z.shape
    s, q = np.empty(c, np.float32), np.empty(c, np.float32)
    for i in range(n):
        s[:] = 0
        q[:] = 0
        for j in range(p):
            for k in range(c):
                t = g[i, j, k]
                s[k] += t
                q[k] += t * ((widen(z[i, j, k]) - mean[k]) * rstd[k])
        for k in range(c):
            sums[k] += s[k]
            products[k] += q[k]
    a, b, d = _norm_coefficients(mean, rstd, gain, sums, products, n * p)
    for i in range(n):
        for j in range(p):
            for k in range(c):
                out[i, j, k] = narrow(a[k] * g[i, j, k] + b[k] * widen(z[i, j, k]) + d[k])


@njit(**OPTIONS)
def activate(z, scale, shift, slope, out):
    """Write scale * z + shift, times the slope where it is negative; bfloat16 (N, P, C)."""
    n, p, c = z.shape
    one = np.float32(1)
    for i in range(n):
        for j in range(p):
            source, to = z[i, j], out[i, j]
            for k in range(c):
                v = scale[k] * widen(source[k]) + shift[k]
                to[k] = narrow(v * (one if v > 0 else slope[k]))


@njit(**OPTIONS)
def activate_backward(g, z, scale, shift, slope, mean, rstd, gain, g_slope, sums, products, out):
    """Gradient of the input of a BatchNorm that `activate` follows; all bfloat16 (N, P, C)."""
    n, p, c = z.shape
    one, zero = np.float32(1), np.float32(0)
    s, q, r = np.empty(c, np.float32), np.empty(c, np.float32), np.empty(c, np.float32)
    for i in range(n):
        s[:] = 0
        q[:] = 0
        r[:] = 0
        for j in range(p):
            grad, source = g[i, j], z[i, j]
            for k in range(c):
                raw, t = widen(source[k]), widen(grad[k])
                v = scale[k] * raw + shift[k]
                r[k] += zero if v > 0 else t * v
                t *= one if v > 0 else slope[k]
                s[k] += t
                q[k] += t * ((raw - mean[k]) * rstd[k])
        for k in range(c):
            sums[k] += s[k]
            products[k] += q[k]
            g_slope[k] += r[k]
    a, b, d = _norm_coefficients(mean, rstd, gain, sums, products, n * p)
    for i in range(n):
        for j in range(p):
            grad, source, to = g[i, j], z[i, j], out[i, j]
            for k in range(c):
                raw, t = widen(source[k]), widen(grad[k])
                t *= one if scale[k] * raw + shift[k] > 0 else slope[k]
                to[k] = narrow(a[k] * t + b[k] * raw + d[k])


@njit(**OPTIONS)
def two_largest(x, out):
    """Mean of the two largest of three channels: bfloat16 (N, P, 3 * C) to (N, P, C)."""
    n, p, c = out.shape
    half = np.float32(0.5)
    for i in range(n):
        for j in range(p):
            first, second, third, to = x[i, j, :c], x[i, j, c : 2 * c], x[i, j, 2 * c :], out[i, j]
            for k in range(c):
                u, v, w = widen(first[k]), widen(second[k]), widen(third[k])
                least = min(u, min(v, w))
                to[k] = narrow((u + v + w - least) * half)


@njit(**OPTIONS)
def two_largest_backward(g, x, out):
    """Gradient of `two_largest`; of equal ones the last is taken for the least."""
    n, p, c = g.shape
    half, zero = np.float32(0.5), np.float32(0)
    for i in range(n):
        for j in range(p):
            first, second, third, grad = x[i, j, :c], x[i, j, c : 2 * c], x[i, j, 2 * c :], g[i, j]
            of_first, of_second, of_third = out[i, j, :c], out[i, j, c : 2 * c], out[i, j, 2 * c :]
            for k in range(c):
                u, v, w = widen(first[k]), widen(second[k]), widen(third[k])
                t = widen(grad[k]) * half
                last = w <= u and w <= v
                middle = not last and v <= u
                of_first[k] = narrow(zero if not last and not middle else t)
                of_second[k] = narrow(zero if middle else t)
                of_third[k] = narrow(zero if last else t)
