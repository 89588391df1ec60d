"""The confusion matrix as a picture, as Figure 6 of the LFNSB and LANMSFF papers shows it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .canvas import Canvas, text_size

__all__ = ["confusion_picture", "shade"]

#: ColorBrewer's sequential Blues, in equal steps from 0 to 100 %.
_BLUES = ("#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b")
_GREY = "#555555"


def shade(fraction: float) -> str:
    """Colour `#rrggbb` of a fraction in [0, 1] of a class."""
    place = min(max(fraction, 0.0), 1.0) * (len(_BLUES) - 1)
    low = min(int(place), len(_BLUES) - 2)
    first, second = (np.array(_rgb(colour)) for colour in _BLUES[low : low + 2])
    red, green, blue = np.rint(first + (place - low) * (second - first)).astype(int)
    return f"#{red:02x}{green:02x}{blue:02x}"


def _rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


def _ink(background: str) -> str:
    """Black or white, whichever has the higher contrast (WCAG 2.1's relative luminance)."""
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in (c / 255 for c in _rgb(background))]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    return "#ffffff" if 1.05 / (luminance + 0.05) > (luminance + 0.05) / 0.05 else "#000000"


def confusion_picture(
    confusion: Sequence[Sequence[int]] | np.ndarray, names: Sequence[str], title: str, subtitle: str = ""
) -> Canvas:
    """Draw a confusion matrix: the true class down, the predicted across, each row in percent of its class.

    Args:
        confusion: Counts (C, C), row the true class.
        names: The C classes.
        title: Line above.
        subtitle: Smaller line below the title.

    Returns:
        The drawing; `save` writes it as SVG or PNG.
    """
    counts = np.asarray(confusion)
    totals = counts.sum(1)
    count = len(names)
    width = max(66.0, *(text_size(name, 13)[0] + 12 for name in names))
    height = 58.0
    left = 48 + max(text_size(text, 13)[0] for text in (*names, *(f"{total:,} rows" for total in totals)))
    top = 114.0 if subtitle else 90.0
    right, bottom = left + count * width, top + count * height
    page_width = max(right + 96, *(text_size(t, s)[0] + 40 for t, s in ((title, 17), (subtitle, 13))))
    page = Canvas(page_width, bottom + 22, f"{title}. {subtitle}".rstrip(" ."))
    page.text((20, 26), title, 17)
    if subtitle:
        page.text((20, 50), subtitle, 13, _GREY)
    page.text(((left + right) / 2, top - 34), "predicted class", 13, _GREY, "middle")
    page.text((20, (top + bottom) / 2), "true class", 13, _GREY, turned=True)
    for i, name in enumerate(names):
        middle = top + (i + 0.5) * height
        page.text((left + (i + 0.5) * width, top - 13), name, anchor="middle")
        page.text((left - 10, middle - 8), name, anchor="end")
        page.text((left - 10, middle + 9), f"{totals[i]:,} rows", 11, _GREY, "end")
        for j in range(count):
            box = (left + j * width, top + i * height, left + (j + 1) * width, top + (i + 1) * height)
            fraction = float(counts[i, j] / totals[i]) if totals[i] else 0.0
            colour = shade(fraction) if totals[i] else "#eeeeee"
            page.rectangle(box, colour)
            written = f"{100 * fraction:.1f}" if totals[i] else "-"
            page.text((left + (j + 0.5) * width, middle), written, 14, _ink(colour), "middle")
    _frame(page, (left, top, right, bottom), count)
    _scale(page, right + 24, top, bottom - top)
    return page


def _frame(page: Canvas, box: tuple[float, float, float, float], count: int) -> None:
    """White lines between the cells, and a border around them."""
    left, top, right, bottom = box
    for i in range(1, count):
        x, y = left + i * (right - left) / count, top + i * (bottom - top) / count
        page.line([(x, top), (x, bottom)], "#ffffff")
        page.line([(left, y), (right, y)], "#ffffff")
    page.line([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)], "#888888")


def _scale(page: Canvas, left: float, top: float, side: float) -> None:
    """The colours beside their percentages, 100 above."""
    steps = 100
    for step in range(steps):
        bottom = top + side * (1 - step / steps)
        # Each reaches under the next, so that no seam is seen.
        page.rectangle((left, max(top, bottom - side / steps - 1), left + 16, bottom), shade((step + 0.5) / steps))
    page.line([(left, top), (left + 16, top), (left + 16, top + side), (left, top + side), (left, top)], "#888888")
    for percent in range(0, 101, 20):
        y = top + side * (1 - percent / 100)
        page.line([(left + 16, y), (left + 20, y)], "#888888")
        page.text((left + 24, y), f"{percent} %", 12)
