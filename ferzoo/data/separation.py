"""How far apart the classes of a feature space lie."""

from __future__ import annotations

import numpy as np

__all__ = ["class_distances"]


def class_distances(features: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Mean cosine distance within and between classes, each class counted once.

    Args:
        features: float (N, D), none of them all zero.
        labels: int (N,).

    Returns:
        `intra`, from a face to the mean of its class; `inter`, between the means of two classes; both in
        [0, 2]. `ratio` is intra over inter: lower is better separated.
    """
    classes = np.unique(labels)
    means = _unit(np.stack([features[labels == c].mean(0) for c in classes]))
    unit = _unit(features)
    intra = np.mean([1 - (unit[labels == c] @ mean).mean() for c, mean in zip(classes, means, strict=True)])
    cosines = means @ means.T
    count = len(classes)
    inter = 1 - (cosines.sum() - cosines.trace()) / (count * (count - 1)) if count > 1 else 0.0
    return {"intra": float(intra), "inter": float(inter), "ratio": float(intra / inter) if inter else float("inf")}


def _unit(x: np.ndarray) -> np.ndarray:
    x = x.astype(np.float64)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
