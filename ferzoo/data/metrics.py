"""Accuracy and its parts, from predictions and labels; calibration, from probabilities."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

__all__ = [
    "accuracy_by_angle",
    "calibration_metrics",
    "classification_metrics",
    "confusion_matrix",
    "expected_calibration_error",
]


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Counts (C, C): row the true class, column the predicted one.

    Args:
        labels: int (N,).
        predictions: int (N,).
        num_classes: C.
    """
    matrix = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(matrix, (labels, predictions), 1)
    return matrix


def classification_metrics(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> dict[str, Any]:
    """Accuracy, balanced accuracy, macro F1 and every class's recall in percent, and the confusion matrix.

    Classes without a true row count in neither mean, and have the recall None. Without rows all figures are None.

    Args:
        labels: int (N,).
        predictions: int (N,).
        num_classes: C.
    """
    matrix = confusion_matrix(labels, predictions, num_classes)
    true, predicted, hits = matrix.sum(1), matrix.sum(0), matrix.diagonal()
    present = true > 0
    recall = hits[present] / true[present]
    f1 = 2 * hits[present] / (true[present] + predicted[present])
    return {
        "rows": int(true.sum()),
        "accuracy": round(100 * float(hits.sum() / true.sum()), 2) if present.any() else None,
        "balanced_accuracy": round(100 * float(recall.mean()), 2) if present.any() else None,
        "macro_f1": round(100 * float(f1.mean()), 2) if present.any() else None,
        "recall": [round(100 * float(h / t), 2) if t else None for h, t in zip(hits, true, strict=True)],
        "confusion": matrix.tolist(),
    }


def expected_calibration_error(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> float:
    """Expected calibration error (Guo et al. 2017, equation 3), in [0, 1]; NaN without rows.

    The rows are put into bins of equal width by the probability of the predicted class, a bin with its upper and
    without its lower border. The error is the mean over the rows of how far the accuracy of their bin is from its
    mean probability.

    Args:
        labels: int (N,).
        probabilities: float (N, C), each row a distribution.
        bins: Number of bins, 15 as in the paper.
    """
    if len(labels) == 0:
        return math.nan
    confidence = probabilities.max(1).astype(np.float64)
    hit = probabilities.argmax(1) == labels
    # As many inner borders are below a confidence as there are bins before its own.
    number = np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence, side="left")
    count = np.bincount(number, minlength=bins)
    # |accuracy - confidence| of a bin, times its rows, is the difference of the two sums.
    gaps = np.abs(np.bincount(number, hit, bins) - np.bincount(number, confidence, bins))
    return float(gaps.sum() / count.sum())


def calibration_metrics(labels: np.ndarray, probabilities: np.ndarray) -> dict[str, Any]:
    """How far the probabilities can be trusted: `calibration_error` in percent, and `nll`.

    The first is the expected calibration error in 15 bins, the second the mean negative log-likelihood of the true
    class in nats, where a probability below 1e-12 counts as that. Both are None without rows.

    Args:
        labels: int (N,).
        probabilities: float (N, C), each row a distribution.
    """
    if len(labels) == 0:
        return {"calibration_error": None, "nll": None}
    own = np.maximum(probabilities[np.arange(len(labels)), labels].astype(np.float64), 1e-12)
    return {
        "calibration_error": round(100 * expected_calibration_error(labels, probabilities), 2),
        "nll": round(float(-np.log(own).mean()), 4) + 0.0,  # no -0.0
    }


def accuracy_by_angle(labels: np.ndarray, predictions: np.ndarray, angles: np.ndarray) -> list[dict[str, Any]]:
    """Rows and accuracy in percent at every angle of the head, in order; the angle None is where it is not known.

    Args:
        labels: int (N,).
        predictions: int (N,).
        angles: Yaw in degrees, float (N,), NaN where it is not known.
    """
    known = np.unique(angles[~np.isnan(angles)])
    parts: list[tuple[float | None, np.ndarray]] = [(float(angle), angles == angle) for angle in known]
    parts.append((None, np.isnan(angles)))
    return [
        {
            "angle": angle,
            "rows": int(mask.sum()),
            "accuracy": round(100 * float((labels[mask] == predictions[mask]).mean()), 2),
        }
        for angle, mask in parts
        if mask.any()
    ]
