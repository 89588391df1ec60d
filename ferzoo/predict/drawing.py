"""Boxes and labels on a picture, and saving it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import ImageError
from ..weights.files import new_file
from .faces import Face

__all__ = ["SUFFIXES", "draw", "font", "save"]

#: Suffixes of files that `save` writes, and Pillow's names of the formats.
SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".png": "PNG",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
}
#: Okabe and Ito's palette, which colour-blind readers can tell apart, without its black.
_COLOURS = ("#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7")


def draw(rgb: np.ndarray, faces: Sequence[Face]) -> Image.Image:
    """Draw each face's box, label, score and landmarks.

    Args:
        rgb: The upright image (H, W, 3), uint8; it is not changed.
        faces: What was found in it.

    Returns:
        A new picture of the same size.
    """
    picture = Image.fromarray(rgb).copy()
    pen = ImageDraw.Draw(picture)
    line = max(2, round(max(picture.size) / 300))
    face_font = font(max(11, round(max(picture.size) / 40)))
    for face in faces:
        x1, y1, x2, y2 = face.box
        colour = _COLOURS[list(face.scores).index(face.label) % len(_COLOURS)]
        # A box of one pixel has no room for a line of several.
        pen.rectangle((x1, y1, max(x1, x2 - 1), max(y1, y2 - 1)), outline=colour, width=min(line, x2 - x1, y2 - y1))
        for x, y in face.landmarks or ():
            pen.ellipse((x - line, y - line, x + line, y + line), fill=colour)
        text = f"{face.label} {face.score:.0%}"
        left, top, right, bottom = pen.textbbox((0, 0), text, font=face_font)
        width, height = right - left + 2 * line, bottom - top + 2 * line
        x = max(0, min(x1, picture.width - width))
        y = y1 - height if y1 >= height else y1  # inside the box where there is no room above
        pen.rectangle((x, y, x + width, y + height), fill=colour)
        pen.text((x + line - left, y + line - top), text, fill="black", font=face_font)
    return picture


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, about this many pixels high."""
    try:
        return ImageFont.load_default(size)
    except (TypeError, OSError, ImportError):  # Pillow before 10.1, or without FreeType, has one size
        return ImageFont.load_default()


def save(picture: Image.Image, path: Path) -> None:
    """Write a picture, whole or not at all.

    Args:
        picture: The picture, RGB.
        path: Where; its suffix says the format and must be one of `SUFFIXES`.

    Raises:
        ImageError: If it cannot be written.
    """
    temporary: Path | None = None
    try:
        temporary = new_file(path.parent, ".ferzoo-", path.suffix)
        with temporary.open("wb") as file:
            picture.save(file, format=SUFFIXES[path.suffix.lower()], quality=92)
        temporary.replace(path)
    except (OSError, ValueError) as error:
        raise ImageError(f"{path} cannot be written: {error}.") from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)
