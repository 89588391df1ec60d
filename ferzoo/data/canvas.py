"""A drawing of lines, shapes and text, which becomes an SVG or a PNG that look alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

from ..errors import ImageError
from ..weights.files import write_atomically

__all__ = ["SUFFIXES", "Canvas", "text_size"]

#: Suffixes of the files that a canvas writes.
SUFFIXES = (".png", ".svg")
#: A PNG has this many pixels a unit, and is drawn at a multiple of it first, for smooth edges.
_PIXELS, _FINER = 2, 2
_ANCHORS = {"start": "l", "middle": "m", "end": "r"}
Point = tuple[float, float]


@lru_cache(maxsize=64)
def _font(size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    try:
        return ImageFont.load_default(size)
    except (TypeError, OSError, ImportError):  # Pillow before 10.1, or without FreeType, has one size
        return ImageFont.load_default()


def text_size(text: str, size: float) -> tuple[float, float]:
    """Width and height of a line of text, with room for fonts that are a little wider than the one measured.

    Args:
        text: The line.
        size: Its font's size in pixels.
    """
    return 1.15 * _font(100).getlength(text) * size / 100, size


@dataclass(frozen=True)
class _Rectangle:
    box: tuple[float, float, float, float]
    fill: str
    outline: str | None

    def svg(self) -> str:
        x1, y1, x2, y2 = self.box
        stroke = f' stroke="{self.outline}"' if self.outline else ""
        place = f'x="{x1:g}" y="{y1:g}" width="{x2 - x1:g}" height="{y2 - y1:g}"'
        return f'<rect {place} fill="{self.fill}"{stroke}/>'

    def draw(self, image: Image.Image, scale: float) -> None:
        # Pillow's boxes hold their last pixel, ours end before it.
        x1, y1, x2, y2 = (scale * v for v in self.box)
        box = (x1, y1, max(x1, x2 - 1), max(y1, y2 - 1))
        ImageDraw.Draw(image).rectangle(box, self.fill, self.outline, round(scale))


@dataclass(frozen=True)
class _Circle:
    centre: Point
    radius: float
    fill: str

    def svg(self) -> str:
        return f'<circle cx="{self.centre[0]:g}" cy="{self.centre[1]:g}" r="{self.radius:g}" fill="{self.fill}"/>'

    def draw(self, image: Image.Image, scale: float) -> None:
        (x, y), r = self.centre, self.radius
        ImageDraw.Draw(image).ellipse([scale * v for v in (x - r, y - r, x + r, y + r)], self.fill)


@dataclass(frozen=True)
class _Line:
    points: Sequence[Point]
    colour: str
    width: float

    def svg(self) -> str:
        path = " ".join(f"{x:g},{y:g}" for x, y in self.points)
        return f'<polyline points="{path}" fill="none" stroke="{self.colour}" stroke-width="{self.width:g}"/>'

    def draw(self, image: Image.Image, scale: float) -> None:
        points = [(scale * x, scale * y) for x, y in self.points]
        ImageDraw.Draw(image).line(points, self.colour, max(1, round(scale * self.width)))


@dataclass(frozen=True)
class _Text:
    at: Point
    text: str
    size: float
    colour: str
    anchor: str
    turned: bool

    def svg(self) -> str:
        # The middle of capital letters stands a third of the size above the base line.
        (x, y), drop = self.at, 0.35 * self.size
        turn = f' transform="rotate(-90 {x:g} {y:g})"' if self.turned else ""
        place = f'x="{x:g}" y="{y + drop:g}" font-size="{self.size:g}" text-anchor="{self.anchor}"'
        return f'<text {place} fill="{self.colour}"{turn}>{escape(self.text)}</text>'

    def draw(self, image: Image.Image, scale: float) -> None:
        font = _font(scale * self.size)
        x, y = (scale * v for v in self.at)
        if not self.turned:
            _write(image, (x, y), self.text, self.colour, font, _ANCHORS[self.anchor])
            return
        length, height = round(font.getlength(self.text)) + 2, round(2 * scale * self.size)
        strip = Image.new("L", (length, height), 0)
        _write(strip, (length / 2, height / 2), self.text, 255, font, "m")
        strip = strip.transpose(Image.Transpose.ROTATE_90)
        image.paste(self.colour, (round(x - strip.width / 2), round(y - strip.height / 2)), strip)


def _write(image: Image.Image, at: Point, text: str, colour: str | int, font: object, anchor: str) -> None:
    """Write text whose capital letters have their middle at the height of `at`."""
    pen = ImageDraw.Draw(image)
    if not isinstance(font, ImageFont.FreeTypeFont):  # has no anchors
        left, top, right, bottom = pen.textbbox((0, 0), text, font=font)  # type: ignore[arg-type]
        shift = {"l": 0.0, "m": (right - left) / 2, "r": float(right - left)}[anchor]
        pen.text((at[0] - shift, at[1] - (bottom - top) / 2), text, fill=colour, font=font)  # type: ignore[arg-type]
        return
    pen.text((at[0], at[1] + 0.35 * font.size), text, fill=colour, font=font, anchor=f"{anchor}s")


class Canvas:
    """A white page; units are pixels of an SVG, y points down, and what comes later lies above.

    Attributes:
        width: Width of the page.
        height: Height of the page.
    """

    def __init__(self, width: float, height: float, title: str) -> None:
        """Take an empty page.

        Args:
            width: Width.
            height: Height.
            title: What the drawing shows, for those who cannot see it.
        """
        self.width, self.height, self.title = round(width), round(height), title
        self._shapes: list[_Rectangle | _Circle | _Line | _Text] = []

    def rectangle(self, box: tuple[float, float, float, float], fill: str, outline: str | None = None) -> None:
        """Fill the box (left, top, right, bottom)."""
        self._shapes.append(_Rectangle(box, fill, outline))

    def circle(self, centre: Point, radius: float, fill: str) -> None:
        """Fill a circle."""
        self._shapes.append(_Circle(centre, radius, fill))

    def line(self, points: Sequence[Point], colour: str = "#000000", width: float = 1.0) -> None:
        """Join points by straight lines."""
        self._shapes.append(_Line(tuple(points), colour, width))

    def text(
        self,
        at: Point,
        text: str,
        size: float = 13,
        colour: str = "#111111",
        anchor: str = "start",
        turned: bool = False,
    ) -> None:
        """Write a line of text.

        Args:
            at: Where; the text is centred on it vertically, and horizontally as `anchor` says.
            text: The text.
            size: Height of the font.
            colour: `#rrggbb`.
            anchor: What stands at the point: `start`, `middle` or `end` of the text.
            turned: Write upwards, centred on the point.
        """
        self._shapes.append(_Text(at, text, size, colour, "middle" if turned else anchor, turned))

    def svg(self) -> str:
        """The drawing as SVG."""
        return "\n".join(
            [
                f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.width}" height="{self.height}" '
                f'viewBox="0 0 {self.width} {self.height}" font-family="Helvetica, Arial, sans-serif" role="img">',
                f"<title>{escape(self.title)}</title>",
                f'<rect width="{self.width}" height="{self.height}" fill="#ffffff"/>',
                *(shape.svg() for shape in self._shapes),
                "</svg>\n",
            ]
        )

    def picture(self) -> Image.Image:
        """The drawing in RGB, two pixels a unit."""
        scale = _PIXELS * _FINER
        image = Image.new("RGB", (scale * self.width, scale * self.height), "#ffffff")
        for shape in self._shapes:
            shape.draw(image, scale)
        return image.resize((_PIXELS * self.width, _PIXELS * self.height), Image.Resampling.BOX)

    def save(self, path: Path) -> None:
        """Write an SVG or a PNG, whole or not at all.

        Args:
            path: Where; its suffix says which.

        Raises:
            ImageError: If the suffix is another, or the file cannot be written.
        """
        writers: dict[str, Callable[[Path], object]] = {
            ".svg": lambda p: p.write_text(self.svg(), encoding="utf-8"),
            ".png": lambda p: self.picture().save(p, format="PNG"),
        }
        if path.suffix.lower() not in writers:
            raise ImageError(f"{path}: a drawing is written as {' or '.join(SUFFIXES)}.")
        try:
            write_atomically(path, writers[path.suffix.lower()])
        except OSError as error:
            raise ImageError(f"{path} cannot be written: {error.strerror or error}.") from error
