"""Drawing near the borders, saving, and the measurement of the margin."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ferzoo.errors import ImageError
from ferzoo.predict.drawing import SUFFIXES, draw, save
from ferzoo.predict.faces import Face
from ferzoo.predict.margin import measure


@pytest.mark.parametrize(
    "box", [(0, 0, 200, 100), (0, 0, 1, 1), (199, 99, 200, 100), (150, 0, 200, 100), (60, 50, 90, 80)]
)
def test_draw_marks_the_box_and_leaves_the_original(box) -> None:
    rgb = np.zeros((100, 200, 3), np.uint8)
    face = Face(box, "glad", {"calm": 0.25, "glad": 0.75}, landmarks=((70.0, 60.0),) * 5)
    picture = draw(rgb, [face])
    assert picture.size == (200, 100) and not rgb.any()
    pixels = np.asarray(picture)
    x1, y1, x2, y2 = box
    assert pixels[y2 - 1, x2 - 1].any() and pixels[60, 70].any()
    assert (np.asarray(draw(rgb, [])) == rgb).all()


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".PNG"])
def test_save_writes_what_its_suffix_says(tmp_path, suffix) -> None:
    path = tmp_path / f"x{suffix}"
    save(Image.new("RGB", (20, 10), "red"), path)
    with Image.open(path) as image:
        assert (image.format, image.size) == (SUFFIXES[suffix.lower()], (20, 10))
    assert [p.name for p in tmp_path.iterdir()] == [path.name]


def test_save_reports_an_unwritable_place(tmp_path) -> None:
    with pytest.raises(ImageError, match="cannot be written"):
        save(Image.new("RGB", (2, 2)), tmp_path / "gone" / "x.png")


def test_measure_recovers_a_known_framing() -> None:
    # The detector always sees a box of 160 px, 8 px left of the canvas's centre and 16 above it.
    def detector(rgb: np.ndarray) -> np.ndarray:
        assert rgb.shape == (384, 384, 3)
        return np.array([[192 - 8 - 80, 192 - 16 - 80, 192 - 8 + 80, 192 - 16 + 80]])

    result = measure(np.zeros((3, 48, 48), np.uint8), detector)
    assert (result.found, result.faces) == (3, 3)
    assert (result.ratio, result.right, result.down) == pytest.approx((192 / 160, 8 / 160, 16 / 160))
    with pytest.raises(ValueError, match="No face"):
        measure(np.zeros((3, 48, 48), np.uint8), lambda rgb: np.empty((0, 4)))
