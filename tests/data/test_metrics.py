"""Metrics against references with loops, and calibration errors worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ferzoo.data.metrics import (
    accuracy_by_angle,
    calibration_metrics,
    classification_metrics,
    confusion_matrix,
    expected_calibration_error,
)


def reference(labels: list[int], predictions: list[int], classes: int) -> dict:
    """The definitions, one class and one row after the other."""
    matrix = [[0] * classes for _ in range(classes)]
    for label, prediction in zip(labels, predictions, strict=True):
        matrix[label][prediction] += 1
    recalls, scores = [], []
    for c in range(classes):
        positive = sum(1 for label in labels if label == c)
        if not positive:
            recalls.append(None)
            continue
        hits = sum(1 for label, prediction in zip(labels, predictions, strict=True) if label == prediction == c)
        called = sum(1 for prediction in predictions if prediction == c)
        recall, precision = hits / positive, hits / called if called else 0.0
        recalls.append(recall)
        scores.append(2 * precision * recall / (precision + recall) if hits else 0.0)
    known = [r for r in recalls if r is not None]
    return {
        "rows": len(labels),
        "accuracy": 100 * sum(map(int.__eq__, labels, predictions)) / len(labels),
        "balanced_accuracy": 100 * sum(known) / len(known),
        "macro_f1": 100 * sum(scores) / len(scores),
        "recall": [None if r is None else 100 * r for r in recalls],
        "confusion": matrix,
    }


@pytest.mark.parametrize("seed", range(4))
def test_metrics_are_their_definitions(seed: int) -> None:
    rng = np.random.default_rng(seed)
    # Class 5 has no true row, class 4 is never predicted.
    labels, predictions = rng.integers(0, 5, 60), rng.choice([0, 1, 2, 3, 5], 60)
    found = classification_metrics(labels, predictions, 6)
    expected = reference(labels.tolist(), predictions.tolist(), 6)
    assert found.keys() == expected.keys()
    assert found["confusion"] == expected["confusion"] == confusion_matrix(labels, predictions, 6).tolist()
    assert found["rows"] == 60
    for key in ("accuracy", "balanced_accuracy", "macro_f1"):
        assert found[key] == pytest.approx(expected[key], abs=0.005 + 1e-9)
    assert found["recall"][5] is None is expected["recall"][5]
    assert found["recall"][:5] == pytest.approx(expected["recall"][:5], abs=0.005 + 1e-9)


def test_no_rows_give_no_figures() -> None:
    none = np.array([], dtype=np.int64)
    found = classification_metrics(none, none, 2)
    figures = {"accuracy": None, "balanced_accuracy": None, "macro_f1": None, "recall": [None, None]}
    assert found == {"rows": 0, **figures, "confusion": [[0, 0], [0, 0]]}
    assert calibration_metrics(none, np.empty((0, 2))) == {"calibration_error": None, "nll": None}
    assert math.isnan(expected_calibration_error(none, np.empty((0, 2))))


def two(*first: float) -> np.ndarray:
    """Distributions over two classes, from the probabilities of the first."""
    return np.array([[p, 1 - p] for p in first])


@pytest.mark.parametrize(
    ("labels", "probabilities", "error"),
    [
        # Sure and right; sure and wrong.
        ([0, 0], two(1.0, 1.0), 0.0),
        ([1, 1], two(1.0, 1.0), 1.0),
        # One bin: confidence 0.9 on average, three of four are right.
        ([0, 0, 0, 1], two(0.9, 0.9, 0.9, 0.9), 0.15),
        # Two bins of two rows: |1/2 - 0.95| and |1 - 0.65|, each with half of the weight.
        ([0, 1, 0, 0], two(0.95, 0.95, 0.65, 0.65), 0.5 * 0.45 + 0.5 * 0.35),
        # The confidence is that of the predicted class, here the second.
        ([1, 1], two(0.1, 0.1), 0.1),
        # In one bin errors of opposite sign meet: accuracy 1/2, confidence 0.9.
        ([0, 1], two(0.89, 0.91), 0.4),
    ],
)
def test_calibration_error_by_hand(labels: list[int], probabilities: np.ndarray, error: float) -> None:
    assert expected_calibration_error(np.array(labels), probabilities) == pytest.approx(error)


def test_a_bin_holds_its_upper_border() -> None:
    """At 10 bins 0.6 belongs to (0.5, 0.6] and 0.601 to the next; together the errors would cancel."""
    probabilities = two(0.6, 0.601)
    assert expected_calibration_error(np.array([0, 1]), probabilities, 10) == pytest.approx((0.4 + 0.601) / 2)
    assert expected_calibration_error(np.array([0, 1]), probabilities, 2) == pytest.approx(0.1005)


@pytest.mark.parametrize("seed", range(3))
def test_calibration_error_against_a_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(7, 0.4), 400)
    labels = rng.integers(0, 7, 400)
    expected = 0.0
    for b in range(15):
        rows = [i for i, p in enumerate(probabilities) if b / 15 < max(p) <= (b + 1) / 15]
        if rows:
            accuracy = sum(int(np.argmax(probabilities[i]) == labels[i]) for i in rows) / len(rows)
            confidence = sum(max(probabilities[i]) for i in rows) / len(rows)
            expected += len(rows) / 400 * abs(accuracy - confidence)
    assert expected_calibration_error(labels, probabilities) == pytest.approx(expected)
    found = calibration_metrics(labels, probabilities)
    assert found["calibration_error"] == round(100 * expected, 2)
    nll = sum(-math.log(p[label]) for p, label in zip(probabilities, labels, strict=True)) / 400
    assert found["nll"] == pytest.approx(nll, abs=1e-4)


def test_a_probability_of_zero_is_finite() -> None:
    assert str(calibration_metrics(np.array([0]), two(1.0))["nll"]) == "0.0"
    assert calibration_metrics(np.array([1]), two(1.0))["nll"] == pytest.approx(-math.log(1e-12), abs=1e-4)


def test_accuracy_by_angle() -> None:
    angles = np.array([-90, 0, 0, np.nan, 90, -90, 0], dtype=np.float32)
    labels = np.array([0, 1, 1, 0, 2, 1, 2])
    predictions = np.array([0, 1, 0, 1, 2, 0, 2])
    assert accuracy_by_angle(labels, predictions, angles) == [
        {"angle": -90.0, "rows": 2, "accuracy": 50.0},
        {"angle": 0.0, "rows": 3, "accuracy": 66.67},
        {"angle": 90.0, "rows": 1, "accuracy": 100.0},
        {"angle": None, "rows": 1, "accuracy": 0.0},
    ]
