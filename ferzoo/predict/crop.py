"""From a box or five landmarks to the square picture of a face."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image

from .faces import Box

__all__ = ["TEMPLATE", "TEMPLATE_SIDE", "align", "similarity", "square_crop"]

TEMPLATE_SIDE = 112
#: Where eyes, nose and mouth corners lie in a picture of 112x112 (ArcFace, Deng et al. 2019, and its release).
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]]
)
#: Most pixels a side of a square crop, far more than any network takes.
LARGEST = 4096


def square_crop(rgb: np.ndarray, box: Box, margin: float) -> Image.Image:
    """Cut a square around a box's centre.

    Args:
        rgb: Image (H, W, 3), uint8.
        box: x1, y1, x2, y2 in pixels.
        margin: Added on each side, as a fraction of the box's longer side.

    Returns:
        A square picture in RGB; what lies off the image repeats its edge, as augmentation does in training. One of more
        than `LARGEST` pixels a side is made smaller by a whole factor: the square of a long strip would be huge.
    """
    x1, y1, x2, y2 = map(float, box)
    side = max(1, round(max(x2 - x1, y2 - y1) * (1 + 2 * margin)))
    if (factor := -(-side // LARGEST)) > 1:
        rgb = np.asarray(Image.fromarray(rgb).reduce(factor))
        x1, y1, x2, y2 = (v / factor for v in (x1, y1, x2, y2))
        side = round(side / factor)
    left, top = round((x1 + x2 - side) / 2), round((y1 + y2 - side) / 2)
    return Image.fromarray(_window(rgb, left, top, left + side, top + side))


def similarity(landmarks: np.ndarray) -> tuple[complex, complex] | None:
    """Rotation, scale and shift that bring landmarks nearest to the template, in least squares.

    With points as complex numbers it is p -> a * p + b, which no reflection can be; the solution is that of
    Umeyama (1991).

    Args:
        landmarks: Points (5, 2) in pixels.

    Returns:
        a and b, or None where the points are one or do not resemble a face.
    """
    points, wanted = landmarks @ np.array([1, 1j]), TEMPLATE @ np.array([1, 1j])
    centred = points - points.mean()
    spread = float((abs(centred) ** 2).sum())
    if spread < 1e-6:
        return None
    a = complex((centred.conj() * (wanted - wanted.mean())).sum()) / spread
    return None if abs(a) < 1e-6 else (a, complex(wanted.mean() - a * points.mean()))


def align(rgb: np.ndarray, landmarks: np.ndarray) -> Image.Image | None:
    """Turn, scale and cut a face so that its landmarks meet the template.

    Args:
        rgb: Image (H, W, 3), uint8.
        landmarks: Points (5, 2) in pixels.

    Returns:
        A picture of 112x112 in RGB, or None where the landmarks are no face's, so that the box has to do.
    """
    solution = similarity(landmarks)
    if solution is None:
        return None
    a, b = solution
    corners = (np.array([0, 1, 1j, 1 + 1j]) * TEMPLATE_SIDE - b) / a
    # One pixel more on each side for the interpolation.
    left, top = math.floor(corners.real.min()) - 1, math.floor(corners.imag.min()) - 1
    right, bottom = math.ceil(corners.real.max()) + 1, math.ceil(corners.imag.max()) + 1
    height, width = rgb.shape[:2]
    if max(right - left, bottom - top) > 4 * max(height, width) + TEMPLATE_SIDE:
        return None
    window = Image.fromarray(_window(rgb, left, top, right, bottom))
    # Interpolation looks at few pixels around a point: take means first where the face shrinks.
    factor = max(1, math.floor(1 / abs(a) + 1e-6))
    if factor > 1:
        window = window.reduce(factor)
    inverse, origin = 1 / a / factor, (-b / a - complex(left, top)) / factor
    # Pillow maps the centre of an output pixel to a continuous place in the input, the corner of which is zero;
    # landmarks count pixel centres as whole numbers.
    half = complex(0.5, 0.5)
    shift = origin - inverse * half + half / factor
    matrix = (inverse.real, -inverse.imag, shift.real, inverse.imag, inverse.real, shift.imag)
    size = (TEMPLATE_SIDE, TEMPLATE_SIDE)
    return window.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)


def _window(rgb: np.ndarray, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Part of an image that may reach beyond it, where the nearest edge pixel is repeated."""
    rows = np.clip(np.arange(top, bottom), 0, rgb.shape[0] - 1)
    columns = np.clip(np.arange(left, right), 0, rgb.shape[1] - 1)
    return rgb[rows[:, None], columns]
