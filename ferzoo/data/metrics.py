"""Accuracy and its parts, from predictions and labels."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["classification_metrics", "confusion_matrix"]


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
    """Accuracy, balanced accuracy and macro F1 in percent, and the confusion matrix.

    Classes without a true row count in neither mean.

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
        "accuracy": round(100 * float(hits.sum() / max(1, true.sum())), 2),
        "balanced_accuracy": round(100 * float(recall.mean()), 2) if present.any() else 0.0,
        "macro_f1": round(100 * float(f1.mean()), 2) if present.any() else 0.0,
        "confusion": matrix.tolist(),
    }
