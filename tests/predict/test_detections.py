"""What detectors may return, and the geometry of crops."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from ferzoo.predict.crop import TEMPLATE, align, similarity, square_crop
from ferzoo.predict.faces import check_detections


def boxes_of(result: object) -> list[tuple[int, int, int, int]]:
    return [box for box, _ in check_detections(result, 100, 200)]


@pytest.mark.parametrize(
    ("box", "clipped"),
    [
        ((10, 20, 30, 40), (10, 20, 30, 40)),
        ((-5, -5, 30, 40), (0, 0, 30, 40)),
        ((150, 50, 1e9, 1e9), (150, 50, 200, 100)),
        ((10.4, 20.6, 30.2, 40.5), (10, 20, 31, 41)),
        ((10.4, 10.4, 10.6, 10.6), (10, 10, 11, 11)),
        ((10, 10, 10, 50), None),
        ((10, 10, 50, 10), None),
        ((200, 10, 250, 50), None),
        ((-50, 10, 0, 50), None),
    ],
)
def test_boxes_are_clipped(box, clipped) -> None:
    assert boxes_of([box]) == ([] if clipped is None else [clipped])


@pytest.mark.parametrize("nothing", [[], (), np.empty((0, 4)), np.empty((0,)), (np.empty((0, 4)), np.empty((0, 5, 2)))])
def test_nothing_found(nothing) -> None:
    assert boxes_of(nothing) == []


def test_two_boxes_in_a_tuple_are_no_landmarks() -> None:
    assert boxes_of(((0, 0, 5, 5), (1, 1, 6, 6))) == [(0, 0, 5, 5), (1, 1, 6, 6)]


def test_landmarks_stay_with_their_box() -> None:
    points = np.arange(20).reshape(2, 5, 2)
    ((box, kept),) = check_detections(([(0, 0, 0, 0), (1, 1, 6, 6)], points), 100, 200)
    assert box == (1, 1, 6, 6) and (kept == points[1]).all()


@pytest.mark.parametrize(
    ("result", "word"),
    [
        (None, "shape"),
        ("nothing", "numbers"),
        ([1, 2, 3, 4], "shape"),
        ([[1, 2, 3]], "shape"),
        ([[1, 2, 3, 4, 0.9]], "shape"),
        ([[0, 0, np.nan, 5]], "NaN"),
        ([[0, 0, np.inf, 5]], "NaN"),
        ([[50, 50, 20, 20]], "x, y, width, height"),
        (([[0, 0, 5, 5]], np.zeros((2, 5, 2))), "landmarks of 2"),
        (([[0, 0, 5, 5]], np.zeros((1, 68, 2))), "landmarks"),
        (([[0, 0, 5, 5]], np.full((1, 5, 2), np.nan)), "NaN"),
    ],
)
def test_other_results_are_refused(result, word) -> None:
    with pytest.raises(ValueError, match=word):
        check_detections(result, 100, 200)


def test_square_crop_repeats_the_edge() -> None:
    image = np.arange(100, dtype=np.uint8).reshape(10, 10)
    crop = np.asarray(square_crop(np.stack([image] * 3, 2), (0, 0, 4, 8), 0.25))
    # The longer side, 8, and a quarter of it on each side: 12 pixels around the centre (2, 4).
    wanted = np.pad(image, 4, mode="edge")[4 - 2 : 4 + 10, 4 - 4 : 4 + 8]
    assert (crop[:, :, 0] == wanted).all()


@pytest.mark.parametrize("seed", range(5))
def test_similarity_is_the_least_squares_solution(seed) -> None:
    rng = np.random.default_rng(seed)
    points = (TEMPLATE - 50) * rng.uniform(0.3, 5) + rng.normal(0, 4, (5, 2)) + rng.uniform(-100, 100, 2)
    a, b = similarity(points)
    # The same as a linear system in (Re a, Im a, Re b, Im b), solved by numpy.
    x, y = points.T
    one, nil = np.ones(5), np.zeros(5)
    rows = np.concatenate([np.stack([x, -y, one, nil], 1), np.stack([y, x, nil, one], 1)])
    wanted = np.linalg.lstsq(rows, TEMPLATE.T.ravel(), rcond=None)[0]
    assert [a.real, a.imag, b.real, b.imag] == pytest.approx(wanted)


def gradient(height: int, width: int) -> np.ndarray:
    """Red grows by one a column, green by one a row: a pixel's value says where it is from."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x, y, np.zeros_like(x)], 2).astype(np.uint8)


def test_align_leaves_a_face_on_the_template_alone() -> None:
    image = gradient(200, 200)
    aligned = np.asarray(align(image, TEMPLATE + [30, 40])).astype(int)
    wanted = image[40:152, 30:142].astype(int)
    assert abs(aligned - wanted).max() <= 1


@pytest.mark.parametrize("angle", [0, 30, 180])
@pytest.mark.parametrize("scale", [0.5, 1, 1.9])
def test_align_turns_and_scales(angle, scale) -> None:
    turn = np.exp(1j * np.deg2rad(angle)) * scale
    centred = (TEMPLATE - 55.5) @ np.array([1, 1j])
    placed = centred * turn + (125 + 125j)
    points = np.stack([placed.real, placed.imag], 1)
    aligned = np.asarray(align(gradient(250, 250), points)).astype(float)
    # Where each landmark lands, the colours say its coordinates in the image.
    for exact, (x, y) in zip(TEMPLATE, points, strict=True):
        u, v = exact.round().astype(int)
        offset = (([u, v] - exact) @ np.array([1, 1j])) * turn
        assert aligned[v, u, :2] == pytest.approx([x + offset.real, y + offset.imag], abs=1.2)


def test_align_averages_large_faces() -> None:
    # Stripes finer than an output pixel become grey; sampling alone would leave black and white.
    stripes = np.zeros((1120, 1120, 3), np.uint8)
    stripes[:, ::2] = 255
    aligned = np.asarray(align(stripes, TEMPLATE * 10)).astype(int)
    assert abs(aligned[5:-5, 5:-5] - 127.5).max() < 2


def test_align_declines_what_is_no_face() -> None:
    image = gradient(50, 50)
    assert align(image, np.full((5, 2), 7.0)) is None
    assert align(image, TEMPLATE * 1e6) is None
    assert align(image, TEMPLATE + 1e9) is not None  # far off the image: its edge, and no huge array
    assert isinstance(align(image, TEMPLATE / 3), Image.Image)


def test_the_square_of_a_long_strip_is_not_huge() -> None:
    strip = np.zeros((40, 65_539, 3), np.uint8)
    strip[:, 32_000:] = 200
    square = square_crop(strip, (0, 13, 65_539, 26), 0.0)
    assert square.size[0] == square.size[1] <= 4096
    row = np.asarray(square)[2000, :, 0]
    assert row[1870] == 0 and row[1895] == 200  # 32,000 / 17
    photo = np.arange(5000 * 5000 * 3, dtype=np.uint8).reshape(5000, 5000, 3)
    assert np.array_equal(np.asarray(square_crop(photo, (100, 200, 4100, 4200), 0.0)), photo[200:4200, 100:4100])
    assert square_crop(photo, (0, 0, 5000, 5000), 0.0).size == (2500, 2500)
