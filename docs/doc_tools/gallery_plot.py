"""Accuracy against latency as an inline SVG whose points tell their figures when pointed at or focused."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from ferzoo.data.canvas import text_size
from ferzoo.train.chart import nice_ticks, place_labels

WIDTH, HEIGHT = 560, 380
LEFT, TOP, RIGHT, BOTTOM = 58, 14, 546, 326
#: Size of the letters on a phone, in the units of the picture; names keep so much room.
LETTERS = 16
#: Colours of Okabe and Ito's palette that stand out from white and from black, and a shape each.
COLOURS = ("#009e73", "#d55e00", "#0072b2", "#cc79a7")
SHAPES = (
    "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0z",
    "M-5.5-5.5h11v11h-11z",
    "M0-7.5l7.5 7.5-7.5 7.5-7.5-7.5z",
    "M0-7l7 12h-14z",
)


@dataclass(frozen=True)
class Point:
    """A checkpoint in the plot.

    Attributes:
        name: Name with tag.
        data: The data set that the accuracy was measured on.
        x: Milliseconds, or millions of multiply-adds.
        accuracy: Percent.
        said: What it says of itself, line by line.
    """

    name: str
    data: str
    x: float
    accuracy: float
    said: tuple[str, ...]


def plot(points: Sequence[Point], unit: str) -> str:
    """Points by what they cost, to the right, and accuracy, upwards; linear axes.

    Args:
        points: The checkpoints.
        unit: What `x` is, with its unit.
    """
    across = nice_ticks(0, 1.05 * max(p.x for p in points))
    accuracies = [p.accuracy for p in points]
    margin = max(0.5, 0.1 * (max(accuracies) - min(accuracies)))
    up = nice_ticks(max(0, min(accuracies) - margin), min(100, max(accuracies) + margin))
    places = [(_along(p.x, across, LEFT, RIGHT), _along(p.accuracy, up, BOTTOM, TOP)) for p in points]
    sizes = [(text_size(p.name, LETTERS)[0], 1.3 * LETTERS) for p in points]
    boxes = place_labels(places, sizes, (LEFT, TOP, RIGHT, BOTTOM))
    kinds = list(dict.fromkeys(p.data for p in points))
    parts = [_axes(across, up, unit)]
    for point, place, box in zip(points, places, boxes, strict=True):
        parts.append(_point(point, place, box, kinds.index(point.data) % len(COLOURS)))
    legend = "".join(
        f'<span><svg width="16" height="16" viewBox="-9 -9 18 18" aria-hidden="true">{_mark(i % len(COLOURS))}</svg>'
        f"{escape(kind)}</span>"
        for i, kind in enumerate(kinds)
    )
    return (
        f'<div class="fz-plot"><svg viewBox="0 0 {WIDTH} {HEIGHT}" role="group" '
        f'aria-label="Accuracy against {escape(unit)}">{"".join(parts)}</svg>'
        f'<div class="fz-legend">{legend}</div></div>'
    )


def _along(value: float, ticks: Sequence[float], start: float, end: float) -> float:
    return round(start + (value - ticks[0]) / (ticks[-1] - ticks[0]) * (end - start), 1)


def _mark(kind: int) -> str:
    return f'<path d="{SHAPES[kind]}" fill="{COLOURS[kind]}"/>'


def _point(point: Point, place: tuple[float, float], box: tuple[float, ...], kind: int) -> str:
    (x, y), (left, top, right, bottom) = place, box
    at, anchor = (left, "start") if left > x else (right, "end") if right < x else (x, "middle")
    said = escape("\n".join((point.name, *point.said))).replace("\n", "&#10;")  # XML's own newline in an attribute
    return (
        f'<g class="fz-point" tabindex="0" role="img" aria-label="{said}">'
        f'<g transform="translate({x} {y})"><title>{said}</title><circle r="14" fill="transparent"/>{_mark(kind)}</g>'
        f'<text x="{at:.1f}" y="{(top + bottom) / 2:.1f}" dy="0.35em" text-anchor="{anchor}">'
        f"{escape(point.name)}</text></g>"
    )


def _axes(across: Sequence[float], up: Sequence[float], unit: str) -> str:
    grid, texts = [], []
    for tick in across:
        x = _along(tick, across, LEFT, RIGHT)
        grid.append(f"M{x} {TOP}V{BOTTOM}")
        texts.append(f'<text x="{x}" y="{BOTTOM + 18}" text-anchor="middle">{tick:g}</text>')
    for tick in up:
        y = _along(tick, up, BOTTOM, TOP)
        grid.append(f"M{LEFT} {y}H{RIGHT}")
        texts.append(f'<text x="{LEFT - 8}" y="{y}" dy="0.35em" text-anchor="end">{tick:g}</text>')
    middle = (TOP + BOTTOM) / 2
    texts.append(f'<text x="{(LEFT + RIGHT) / 2}" y="{HEIGHT - 10}" text-anchor="middle">{escape(unit)}</text>')
    texts.append(f'<text transform="translate(16 {middle}) rotate(-90)" text-anchor="middle">accuracy, %</text>')
    return f'<path class="fz-grid" d="{"".join(grid)}"/><g class="fz-axes">{"".join(texts)}</g>'
