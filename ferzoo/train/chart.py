"""Accuracy against latency as a drawing, every network named and no name over another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..data.canvas import Canvas, text_size
from ..errors import DataError

__all__ = ["Mark", "accuracy_latency_chart", "nice_ticks", "place_labels"]

Box = tuple[float, float, float, float]

#: Okabe and Ito's palette, which colour-blind readers can tell apart, without what is faint on white.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
_GREY, _RADIUS, _SIZE = "#444444", 5.0, 13.0


@dataclass(frozen=True)
class Mark:
    """A network in the chart.

    Attributes:
        name: What stands beside it.
        latency: Milliseconds an image.
        accuracy: Percent.
    """

    name: str
    latency: float
    accuracy: float


def nice_ticks(low: float, high: float, count: int = 6) -> list[float]:
    """Round numbers, 1, 2 or 5 times a power of ten apart, that enclose a range.

    Args:
        low: Start of the range.
        high: End of the range.
        count: About how many.
    """
    if high <= low:
        low, high = low - 1, high + 1
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = power * next(f for f in (1, 2, 5, 10) if f * power >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 10) for i in range(first, last + 1)]


def place_labels(points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], frame: Box) -> list[Box]:
    """A box for the name of every point, near it, inside the frame, over no point and no other name.

    Args:
        points: Centres of the points.
        sizes: Width and height of each name.
        frame: Left, top, right and bottom.

    Returns:
        Left, top, right and bottom of each name. Where there is no free place, one that overlaps.
    """
    dots = [(x - _RADIUS - 1, y - _RADIUS - 1, x + _RADIUS + 1, y + _RADIUS + 1) for x, y in points]
    placed: list[Box] = []
    for point, size in zip(points, sizes, strict=True):
        boxes = list(_places(point, size))
        free = (b for b in boxes if _inside(b, frame) and not any(_overlap(b, other) for other in (*dots, *placed)))
        inside = (b for b in boxes if _inside(b, frame))
        placed.append(next(free, next(inside, boxes[0])))
    return placed


def _places(point: tuple[float, float], size: tuple[float, float]) -> Iterator[Box]:
    """Places around a point, nearest first, to the right before the left."""
    (x, y), (width, height) = point, size
    for away in range(12):
        gap = _RADIUS + 4 + away * 9
        sideways, upright = gap if away == 0 else gap * 0.7, gap + height / 2
        for dx, dy in ((1, 0), (-1, 0), (1, -1), (1, 1), (-1, -1), (-1, 1), (0, -1), (0, 1)):
            left = x + dx * sideways - (width if dx < 0 else 0 if dx else width / 2)
            middle = y + dy * upright
            yield left, middle - height / 2, left + width, middle + height / 2


def _inside(box: Box, frame: Box) -> bool:
    return box[0] >= frame[0] and box[1] >= frame[1] and box[2] <= frame[2] and box[3] <= frame[3]


def _overlap(a: Box, b: Box) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def accuracy_latency_chart(
    marks: Sequence[Mark], title: str = "Accuracy against latency", subtitle: str = "", setting: str = "batch of one"
) -> Canvas:
    """Draw networks by latency, to the right, and accuracy, upwards.

    Args:
        marks: The networks.
        title: Line above.
        subtitle: Smaller line below the title.
        setting: How latency was measured, for its axis.

    Returns:
        The drawing; `save` writes it as SVG or PNG.

    Raises:
        DataError: If there is no network to draw.
    """
    if not marks:
        raise DataError("No network has both an accuracy and a latency: there is nothing to draw.")
    width = max(760.0, *(text_size(text, size)[0] + 40 for text, size in ((title, 17), (subtitle, 13))))
    frame = (82.0, 76.0, width - 24, 440.0)
    page = Canvas(width, 500, f"{title}. {subtitle}".rstrip(" ."))
    across = nice_ticks(0, 1.05 * max(mark.latency for mark in marks))
    accuracies = [mark.accuracy for mark in marks]
    margin = max(0.5, 0.1 * (max(accuracies) - min(accuracies)))
    up = nice_ticks(max(0, min(accuracies) - margin), min(100, max(accuracies) + margin))

    page.text((20, 26), title, 17)
    if subtitle:
        page.text((20, 50), subtitle, 13, _GREY)
    _axes(page, frame, across, up, setting)
    points = [
        (_along(mark.latency, across, frame[0], frame[2]), _along(mark.accuracy, up, frame[3], frame[1]))
        for mark in marks
    ]
    boxes = place_labels(points, [text_size(mark.name, _SIZE) for mark in marks], frame)
    for i, ((x, y), box) in enumerate(zip(points, boxes, strict=True)):
        near = min(max(x, box[0]), box[2]), min(max(y, box[1]), box[3])
        if math.hypot(near[0] - x, near[1] - y) > _RADIUS + 5:
            page.line([(x, y), near], "#888888")
        page.circle((x, y), _RADIUS, _COLOURS[i % len(_COLOURS)])
    for mark, (x, _), box in zip(marks, points, boxes, strict=True):
        # Whatever the font of the reader, a name keeps its distance from its point.
        at, anchor = (box[0], "start") if box[0] > x else (box[2], "end") if box[2] < x else (x, "middle")
        page.text((at, (box[1] + box[3]) / 2), mark.name, _SIZE, anchor=anchor)
    return page


def _along(value: float, ticks: Sequence[float], start: float, end: float) -> float:
    return start + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (end - start)


def _number(tick: float, ticks: Sequence[float]) -> str:
    """A tick with as many decimals as any of the axis needs."""
    decimals = max(len(f"{other:g}".partition(".")[2]) for other in ticks)
    return f"{tick:.{decimals}f}"


def _axes(page: Canvas, frame: Box, across: Sequence[float], up: Sequence[float], setting: str) -> None:
    left, top, right, bottom = frame
    for tick in across:
        x = _along(tick, across, left, right)
        page.line([(x, top), (x, bottom)], "#e4e4e4")
        page.text((x, bottom + 16), _number(tick, across), 12, anchor="middle")
    for tick in up:
        y = _along(tick, up, bottom, top)
        page.line([(left, y), (right, y)], "#e4e4e4")
        page.text((left - 8, y), _number(tick, up), 12, anchor="end")
    page.line([(left, top), (left, bottom), (right, bottom)], "#444444")
    page.text(((left + right) / 2, bottom + 42), f"latency of one image, milliseconds ({setting})", anchor="middle")
    page.text((24, (top + bottom) / 2), "accuracy, %", turned=True)
