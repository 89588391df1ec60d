"""What is found in an image: the `Face`, what a detector returns, and its checks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

__all__ = ["MARGIN", "Detector", "Face", "check_detections"]

#: A detector takes an RGB image (H, W, 3) uint8 and gives boxes (N, 4) as x1, y1, x2, y2 in pixels, or a tuple of
#: boxes and landmarks (N, 5, 2): eyes, nose, mouth corners, each pair the one at the image's left first.
Detector = Callable[[np.ndarray], Any]

#: Added on each side of the box, as a fraction of its side, so that a crop frames a face as FER-2013 does: the images
#: of its validation split are 1.043 boxes of `HaarDetector` wide (median of 361 faces found in 500; quartiles 0.985
#: and 1.123) and lie 0.002 to the right of the box and 0.008 below, which is not worth a shift.
#: ``python -m ferzoo.predict.margin FOLDER`` measures it.
MARGIN = 0.022

Box = tuple[int, int, int, int]
Point = tuple[float, float]


@dataclass(frozen=True)
class Face:
    """A face and its expression.

    Attributes:
        box: x1, y1, x2, y2 in pixels of the upright image; x2 and y2 are exclusive.
        label: The class with the highest score.
        scores: Probability of each class by name, in the network's order; they sum to 1.
        landmarks: Five points (x, y) in pixels, if the detector gives them.
        embedding: Vector (D,) before the classifier, float32, if asked for.
    """

    box: Box
    label: str
    scores: dict[str, float]
    landmarks: tuple[Point, ...] | None = None
    embedding: np.ndarray | None = field(default=None, repr=False, compare=False)

    @property
    def score(self) -> float:
        """Probability of the label, in [0, 1]."""
        return self.scores[self.label]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts, for JSON; landmarks and embedding only where there are any."""
        out: dict[str, Any] = {
            "box": list(self.box),
            "label": self.label,
            "score": self.score,
            "scores": dict(self.scores),
        }
        if self.landmarks is not None:
            out["landmarks"] = [list(point) for point in self.landmarks]
        if self.embedding is not None:
            out["embedding"] = self.embedding.tolist()
        return out


def check_detections(result: Any, height: int, width: int) -> list[tuple[Box, np.ndarray | None]]:
    """Check what a detector returned, and clip its boxes to the image.

    Args:
        result: Boxes (N, 4), or a tuple of boxes and landmarks (N, 5, 2) or None.
        height: The image's, in pixels.
        width: The image's, in pixels.

    Returns:
        For each face its box, at least one pixel large, and its landmarks (5, 2) or None; in the detector's order.
        Boxes of no area or wholly off the image are left out.

    Raises:
        ValueError: If `result` is something else.
    """
    boxes, landmarks = _split(result)
    boxes = _numbers(boxes, "boxes", (4,))
    if (boxes[:, 2:] < boxes[:, :2]).any():
        raise ValueError(
            "The detector returned boxes with x2 < x1 or y2 < y1: they must be x1, y1, x2, y2, not x, y, width, height."
        )
    if landmarks is not None:
        landmarks = _numbers(landmarks, "landmarks", (5, 2))
        if len(landmarks) != len(boxes):
            raise ValueError(f"The detector returned {len(boxes)} boxes and landmarks of {len(landmarks)} faces.")
    limits = np.array([width, height, width, height], dtype=np.float64)
    outward = np.concatenate([np.floor(boxes[:, :2]), np.ceil(boxes[:, 2:])], axis=1)
    clipped = np.clip(outward, 0, limits).astype(int)
    kept = (boxes[:, 2:] > boxes[:, :2]).all(1) & (clipped[:, 2:] > clipped[:, :2]).all(1)
    out: list[tuple[Box, np.ndarray | None]] = []
    for i in np.flatnonzero(kept):
        x1, y1, x2, y2 = clipped[i].tolist()
        out.append(((x1, y1, x2, y2), None if landmarks is None else landmarks[i]))
    return out


def _split(result: Any) -> tuple[Any, Any]:
    # Two boxes in a tuple also have length two; landmarks have one dimension more than boxes.
    if isinstance(result, tuple) and len(result) == 2 and not (np.ndim(result[0]) == 1 and np.shape(result[0]) == (4,)):
        return result
    return result, None


def _numbers(value: Any, what: str, shape: tuple[int, ...]) -> np.ndarray:
    wanted = f"(N, {', '.join(map(str, shape))})"
    try:
        array = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"The detector's {what} must be an array {wanted} of numbers: {error}") from error
    if array.size == 0 and array.ndim <= len(shape) + 1:
        return array.reshape(0, *shape)
    if array.shape[1:] != shape or array.ndim != len(shape) + 1:
        raise ValueError(f"The detector's {what} must have the shape {wanted}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise ValueError(f"The detector's {what} hold NaN or infinity.")
    return array
