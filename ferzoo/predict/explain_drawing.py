"""The maps of `ferzoo.explain` over the faces, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
from PIL import Image, ImageDraw

from ..errors import ImageError, MissingExtraError
from .drawing import font
from .explain import GRADCAM, Explanation

__all__ = ["draw_explanations", "overlay"]

#: Longer side of a tile, gap, height of a line of text and of the scale bar, in pixels.
TILE, GAP, LINE, BAR = 224, 16, 20, 14
#: Most maps side by side.
COLUMNS = 4
#: Share of the colours over the face.
OPACITY = 0.55


def overlay(explanation: Explanation, side: int = TILE) -> Image.Image:
    """A face in grey with its map in colours over it: viridis, dark blue for 0 and yellow for 1; none for a flat map.

    Args:
        explanation: The map.
        side: Longer side of the picture in pixels.

    Raises:
        MissingExtraError: Without matplotlib, which has the colours.
    """
    face = _tile(explanation, side).convert("L").convert("RGB")
    if not explanation.heat.any():
        return face
    heat = Image.fromarray(explanation.heat).resize(face.size, Image.Resampling.BICUBIC)
    return Image.blend(face, _coloured(np.asarray(heat)), OPACITY)


def draw_explanations(explanations: Sequence[Explanation]) -> Image.Image:
    """Draw each face beside its maps, with what each shows under it, and a scale of the colours.

    Args:
        explanations: What `ferzoo.explain` returned, at least one, all of one method.

    Returns:
        A picture in RGB: a block of rows for each face, with up to four maps side by side.

    Raises:
        ImageError: If there is nothing to draw.
        MissingExtraError: Without matplotlib, which has the colours.
    """
    if not explanations:
        raise ImageError("There is no map to draw: no face was found.")
    faces = [list(group) for _, group in groupby(explanations, key=lambda one: id(one.face))]
    wide = 1 + min(COLUMNS, max(map(len, faces)))
    rows = [(group if i == 0 else None, maps) for group in faces for i, maps in enumerate(_parts(group))]
    high = max(_tile(one).height for one in explanations) + 2 * LINE + GAP
    page = Image.new("RGB", (GAP + wide * (TILE + GAP), GAP + len(rows) * high + BAR + LINE + GAP), "white")
    number = 0
    for i, (group, maps) in enumerate(rows):
        top = GAP + i * high
        if group:
            number += 1
            face = group[0].face
            _place(page, _tile(group[0]), GAP, top, (f"face {number}", f"{face.label} {face.score:.0%}"))
        for j, one in enumerate(maps, start=1):
            _place(page, overlay(one), GAP + j * (TILE + GAP), top, _captions(one))
    _scale(page, GAP + TILE + GAP, GAP + len(rows) * high, explanations[0].method)
    return page


def _parts(maps: list[Explanation]) -> list[list[Explanation]]:
    return [maps[i : i + COLUMNS] for i in range(0, len(maps), COLUMNS)]


def _captions(one: Explanation) -> tuple[str, str]:
    title, flat = f"{one.method} {one.layer}", not one.heat.any()
    if one.method == GRADCAM:
        return title, f"{'nothing ' if flat else ''}for {one.label}, {one.score:.0%}"
    values = f"{one.low:#.3g} everywhere" if flat else f"from {one.low:#.3g} to {one.high:#.3g}"
    return title, f"{one.grid[0]}x{one.grid[1]}, {values}"


def _tile(one: Explanation, side: int = TILE) -> Image.Image:
    """The face in the shape of the network's input."""
    height, width = one.heat.shape
    size = (max(1, round(side * width / max(one.heat.shape))), max(1, round(side * height / max(one.heat.shape))))
    return Image.fromarray(one.picture).resize(size, Image.Resampling.BICUBIC)


def _coloured(values: np.ndarray) -> Image.Image:
    """Values (H, W) in [0, 1] as colours that everyone can order."""
    try:
        import matplotlib
    except ImportError as error:
        raise MissingExtraError("Drawing maps", "explain") from error
    return Image.fromarray(matplotlib.colormaps["viridis"](values, bytes=True)[..., :3])


def _place(page: Image.Image, tile: Image.Image, left: int, top: int, captions: Sequence[str]) -> None:
    """Put a tile on the page with two lines under it."""
    page.paste(tile, (left, top))
    for i, text in enumerate(captions):
        _write(page, left, top + tile.height + 3 + i * LINE, text)


def _write(page: Image.Image, left: int, top: int, text: str, right: bool = False) -> None:
    """A line of text that is cut in its middle where it is wider than a tile; `right` ends it at `left`."""
    pen, letters = ImageDraw.Draw(page), font(14)
    short, kept = text, len(text)
    while pen.textlength(short, font=letters) > TILE and kept > 8:
        kept -= 1
        short = f"{text[: kept // 2]}...{text[-(kept - kept // 2) :]}"
    pen.text((left - pen.textlength(short, font=letters) * right, top), short, fill="black", font=letters)


def _scale(page: Image.Image, left: int, top: int, method: str) -> None:
    """The colours from lowest to highest, over the width of a tile."""
    page.paste(_coloured(np.tile(np.linspace(0, 1, TILE), (BAR, 1))), (left, top))
    ends = ("no evidence", "most evidence") if method == GRADCAM else ("lowest", "highest")
    _write(page, left, top + BAR + 2, ends[0])
    _write(page, left + TILE, top + BAR + 2, ends[1], right=True)
