"""The tracker on boxes made by hand, and the moving average against its definition."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ferzoo.predict.track import MovingAverage, Tracker, overlaps

SIDE = 40


def box(x: float, y: float = 0) -> tuple[int, int, int, int]:
    return (round(x), round(y), round(x) + SIDE, round(y) + SIDE)


def numbers(tracker: Tracker, boxes: list[tuple[int, int, int, int]], time: float) -> list[int]:
    return [track.number for track in tracker.update(boxes, time)]


def test_overlap_is_that_of_painted_pixels() -> None:
    rng = np.random.default_rng(0)
    corners = rng.integers(0, 20, (12, 2))
    boxes = np.concatenate([corners, corners + rng.integers(1, 20, (12, 2))], axis=1)
    painted = np.zeros((12, 40, 40), dtype=bool)
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        painted[i, y1:y2, x1:x2] = True
    for i in range(12):
        for j in range(12):
            expected = (painted[i] & painted[j]).sum() / (painted[i] | painted[j]).sum()
            assert overlaps(boxes, boxes)[i, j] == pytest.approx(expected, abs=1e-12)
    assert overlaps([], boxes).shape == (0, 12) and overlaps(boxes, []).shape == (12, 0)


def test_a_face_that_moves_keeps_its_number() -> None:
    tracker = Tracker()
    assert [numbers(tracker, [box(4 * i, 2 * i)], i / 25) for i in range(30)] == [[1]] * 30


def test_the_order_of_the_boxes_does_not_matter() -> None:
    tracker = Tracker()
    assert numbers(tracker, [box(0), box(200)], 0.0) == [1, 2]
    assert numbers(tracker, [box(203), box(2)], 0.04) == [2, 1]
    assert numbers(tracker, [box(4), box(206), box(90)], 0.08) == [1, 2, 3]


def test_two_faces_that_cross_keep_their_numbers() -> None:
    # On one line, so that both boxes are one when they meet: only their ways tell them apart.
    tracker = Tracker()
    for i in range(61):
        right, left = box(5 * i), box(300 - 5 * i)
        boxes, expected = ([right, left], [1, 2]) if i % 2 == 0 else ([left, right], [2, 1])
        assert numbers(tracker, boxes, i / 25) == expected


def test_a_fast_face_keeps_its_number_once_its_speed_is_known() -> None:
    # From 2 to 34 px a frame: at the end two boxes in a row overlap by 6 of 74 px, less than asked for.
    tracker, x = Tracker(), 0.0
    for i in range(60):
        assert numbers(tracker, [box(x)], i / 25) == [1]
        x += min(34, 2 + i)


@pytest.mark.parametrize(("missing", "number"), [(4, 1), (12, 1), (13, 2)])
def test_a_gap(missing: int, number: int) -> None:
    # Found at 0 s and again after so many frames without it, of 40 ms each.
    tracker = Tracker(max_gap=0.52)
    assert numbers(tracker, [box(0)], 0.0) == [1]
    for i in range(missing):
        assert numbers(tracker, [], (i + 1) * 0.04) == []
    assert numbers(tracker, [box(3)], (missing + 1) * 0.04) == [number]


def test_detections_further_apart_than_the_gap_still_continue() -> None:
    tracker = Tracker(max_gap=0.5)
    assert [numbers(tracker, [box(i)], 2.0 * i) for i in range(4)] == [[1]] * 4
    # One that it misses ends the track.
    assert numbers(tracker, [], 8.0) == [] and numbers(tracker, [box(4)], 10.0) == [2]


def test_one_leaves_and_another_comes_elsewhere() -> None:
    tracker = Tracker(max_gap=0.2)
    assert numbers(tracker, [box(0)], 0.0) == [1]
    assert numbers(tracker, [box(100)], 0.1) == [2]
    assert numbers(tracker, [box(2), box(100)], 0.2) == [1, 2]
    assert numbers(tracker, [], 0.3) == [] and len(tracker.tracks) == 2
    assert numbers(tracker, [box(0)], 1.0) == [3] and len(tracker.tracks) == 1


def test_one_box_continues_one_track() -> None:
    tracker = Tracker()
    assert numbers(tracker, [box(0)], 0.0) == [1]
    assert numbers(tracker, [box(8), box(2), box(-8)], 0.04) == [2, 1, 3]


def test_the_best_pairs_are_those_of_an_exact_assignment() -> None:
    optimize = pytest.importorskip("scipy.optimize")
    rng = np.random.default_rng(1)
    for _ in range(20):
        places = rng.permutation(36)[:8]
        first = [box(60 * (p % 6), 60 * (p // 6)) for p in places]
        order = rng.permutation(8)
        moved = [box(*(np.array(first[i][:2]) + rng.integers(-9, 10, 2))) for i in order]
        tracker = Tracker()
        tracker.update(first, 0.0)
        rows, columns = optimize.linear_sum_assignment(-overlaps(first, moved))
        exact = {int(c): int(r) + 1 for r, c in zip(rows, columns, strict=True)}
        assert numbers(tracker, moved, 0.04) == [exact[i] for i in range(8)]


@pytest.mark.parametrize("seconds", [0.05, 0.3, 5.0])
def test_average_over_uneven_times(seconds: float) -> None:
    rng = np.random.default_rng(2)
    times = np.cumsum(rng.uniform(0.001, 0.4, 40))
    values = rng.dirichlet(np.ones(5), 40)
    average = MovingAverage(seconds)
    found = [average(value, time) for value, time in zip(values, times, strict=True)]
    # Its definition: a value holds until the next one comes, and what is older weighs less by e in each `seconds`.
    for i in range(40):
        ages = times[i] - times[: i + 1]
        weights = np.exp(-ages / seconds)
        weights[1:] -= np.exp(-ages[:-1] / seconds)
        assert weights.sum() == pytest.approx(1)
        assert np.abs(found[i] - weights @ values[: i + 1]).max() < 1e-12


def test_average_does_not_depend_on_how_often_a_value_is_given() -> None:
    rare, often = MovingAverage(0.3), MovingAverage(0.3)
    for average in (rare, often):
        average(np.zeros(1), 0.0)
    for i in range(1, 11):
        last = often(np.ones(1), i / 10)
    assert rare(np.ones(1), 1.0) == pytest.approx(1 - math.exp(-1 / 0.3)) and last == pytest.approx(rare.value)


def test_no_smoothing_gives_the_values_back() -> None:
    average = MovingAverage(0)
    for i in range(3):
        value = np.array([i, 1.0])
        assert average(value, i / 10) is value
