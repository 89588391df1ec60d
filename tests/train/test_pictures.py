"""Drawings, opened and looked at: size, colours at known cells, text where it belongs."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from ferzoo.data.canvas import Canvas, text_size
from ferzoo.data.pictures import confusion_picture, shade
from ferzoo.errors import DataError, ImageError
from ferzoo.train.chart import Mark, accuracy_latency_chart, nice_ticks, place_labels

SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("calm", "glad", "sad & <low>")
CONFUSION = [[9, 1, 0], [0, 0, 0], [5, 0, 5]]


def texts(canvas: Canvas) -> list[ElementTree.Element]:
    return list(ElementTree.fromstring(canvas.svg()).iter(f"{SVG}text"))


def cells(canvas: Canvas) -> list[tuple[float, float, float, float, str]]:
    """Left, top, width, height and colour of the cells of the matrix."""
    found = []
    for shape in ElementTree.fromstring(canvas.svg()).iter(f"{SVG}rect"):
        if shape.get("x") and float(shape.get("height", 0)) > 20:
            found.append((*(float(shape.get(k, 0)) for k in ("x", "y", "width", "height")), shape.get("fill", "")))
    return found


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.03928 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_confusion_matrix_is_drawn(tmp_path: Path) -> None:
    canvas = confusion_picture(CONFUSION, NAMES, "A title", "and more")
    canvas.save(tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        assert (image.format, image.mode, image.size) == ("PNG", "RGB", (2 * canvas.width, 2 * canvas.height))
        pixels = np.asarray(image)
    found = cells(canvas)
    assert [cell[4] for cell in found[:3]] == [shade(0.9), shade(0.1), shade(0.0)]
    assert [cell[4] for cell in found[3:6]] == ["#eeeeee"] * 3
    for left, top, width, _, colour in found:
        # Near the upper left corner, where no text is.
        pixel = pixels[round(2 * top) + 8, round(2 * left) + 8]
        assert "#" + "".join(f"{v:02x}" for v in pixel) == colour
        assert (
            len({tuple(p) for p in pixels[round(2 * top) + 10 : round(2 * top) + 80 : 3, round(2 * left + width)]}) > 1
        )
    written = [text.text for text in texts(canvas)]
    assert written.count("90.0") == 1 and written.count("50.0") == 2 and written.count("-") == 3
    assert {*NAMES, "10 rows", "0 rows", "A title", "and more", "predicted class", "true class", "100 %"} <= {*written}
    assert all(0 <= float(t.get("x", -1)) <= canvas.width for t in texts(canvas))


def test_text_is_legible_on_every_shade() -> None:
    for percent in range(101):
        canvas = confusion_picture([[percent, 100 - percent], [0, 1]], ("a", "b"), "t")
        [text] = [t for t in texts(canvas) if t.text == f"{percent:.1f}" and t.get("text-anchor") == "middle"][:1]
        ink, paper = luminance(text.get("fill", "")), luminance(shade(percent / 100))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 4.5


def test_shades_darken() -> None:
    levels = [luminance(shade(i / 50)) for i in range(51)]
    assert levels == sorted(levels, reverse=True)
    assert (shade(-1), shade(2)) == (shade(0), shade(1)) == ("#f7fbff", "#08306b")


@pytest.mark.parametrize("suffix", [".jpg", "", ".pdf"])
def test_other_suffixes_are_refused(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"\.png or \.svg"):
        Canvas(9, 9, "x").save(tmp_path / f"a{suffix}")
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="cannot be written"):
        Canvas(9, 9, "x").save(tmp_path / "file" / "a.png")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 10, [0, 2, 4, 6, 8, 10]),
        (0, 28, [0, 5, 10, 15, 20, 25, 30]),
        (79.1, 80.9, [79.0, 79.5, 80.0, 80.5, 81.0]),
        (0, 0.05, [0, 0.01, 0.02, 0.03, 0.04, 0.05]),
    ],
)
def test_ticks_are_round_and_enclose(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_ticks_of_one_value() -> None:
    ticks = nice_ticks(5, 5)
    assert ticks[0] < 5 < ticks[-1]


@pytest.mark.parametrize("seed", range(5))
def test_names_lie_over_nothing(seed: int) -> None:
    """A dozen points, half of them in one small spot."""
    rng = np.random.default_rng(seed)
    frame = (80.0, 76.0, 736.0, 440.0)
    points = [(float(x), float(y)) for x, y in rng.uniform((90, 90), (720, 420), (6, 2))]
    points += [(float(x), float(y)) for x, y in rng.uniform((380, 240), (400, 260), (6, 2))]
    sizes = [text_size("network.dataset" + "x" * int(n), 13) for n in rng.integers(0, 8, 12)]
    boxes = place_labels(points, sizes, frame)
    for a, b in combinations(boxes, 2):
        assert a[2] <= b[0] or b[2] <= a[0] or a[3] <= b[1] or b[3] <= a[1]
    for box, size in zip(boxes, sizes, strict=True):
        assert box[0] >= frame[0] and box[2] <= frame[2] and box[1] >= frame[1] and box[3] <= frame[3]
        assert (box[2] - box[0], box[3] - box[1]) == pytest.approx(size)
        assert not any(box[0] < x < box[2] and box[1] < y < box[3] for x, y in points)


def test_chart_puts_points_at_their_figures(tmp_path: Path) -> None:
    marks = [Mark("slow", 20, 90), Mark("fast", 5, 70), Mark("middle", 12.5, 80)]
    canvas = accuracy_latency_chart(marks, subtitle="on faces", setting="1 thread")
    root = ElementTree.fromstring(canvas.svg())
    (slow, fast, middle) = [(float(c.get("cx", 0)), float(c.get("cy", 0))) for c in root.iter(f"{SVG}circle")]
    assert middle == pytest.approx(((slow[0] + fast[0]) / 2, (slow[1] + fast[1]) / 2), abs=0.01)
    assert slow[0] > fast[0] and slow[1] < fast[1]
    written = {t.text for t in root.iter(f"{SVG}text")}
    assert {"slow", "fast", "middle", "on faces", "accuracy, %", "0", "20"} <= written
    assert "latency of one image, milliseconds (1 thread)" in written
    assert all(luminance(t.get("fill", "")) < 0.1 for t in root.iter(f"{SVG}text"))
    canvas.save(tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as image:
        assert image.size == (2 * canvas.width, 2 * canvas.height)
        assert image.getpixel((3, 3)) == (255, 255, 255)
        assert image.getpixel((round(2 * slow[0]), round(2 * slow[1]))) == (0x00, 0x72, 0xB2)
    canvas.save(tmp_path / "c.svg")
    assert (tmp_path / "c.svg").read_text() == canvas.svg()


def test_nothing_to_draw() -> None:
    with pytest.raises(DataError, match="nothing to draw"):
        accuracy_latency_chart([])
