"""Faces followed from one detection to the next, and values averaged over time."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .faces import Box

__all__ = ["MovingAverage", "Track", "Tracker", "overlaps"]

#: A box continues a track from this intersection over union on, as in SORT (Bewley et al. 2016).
MIN_OVERLAP = 0.3
#: Time constant of a track's speed: a detector's boxes shake, and what moves keeps its way for about this long.
SPEED_SECONDS = 0.2


class MovingAverage:
    """Exponential moving average of values that come at any times.

    A value's weight falls by e in each `seconds`, however many values came in between.
    """

    def __init__(self, seconds: float) -> None:
        """Start empty.

        Args:
            seconds: Time constant; 0 gives each value back as it is.
        """
        self.seconds = seconds
        self.value: np.ndarray | None = None
        self.time = 0.0

    def __call__(self, value: np.ndarray, time: float) -> np.ndarray:
        """Take a value in.

        Args:
            value: Of the same shape each time.
            time: When it was, in seconds; never before the last one's.

        Returns:
            The average up to now.
        """
        if self.value is None or not self.seconds:
            self.value = value
        else:
            share = -math.expm1(-(time - self.time) / self.seconds)
            self.value = self.value + share * (value - self.value)
        self.time = time
        return self.value


class Track:
    """One face over time.

    Attributes:
        number: 1 for the first face, then 2 and so on.
        box: Where it was found last: x1, y1, x2, y2 in pixels.
        time: When that was, in seconds.
        scores: The average of its scores.
    """

    def __init__(self, number: int, box: Box, time: float, smoothing: float) -> None:
        """Begin with the first box; `smoothing` is the time constant of the scores in seconds."""
        self.number, self.time = number, time
        self.box = np.asarray(box, dtype=np.float64)
        self.scores = MovingAverage(smoothing)
        self._speed = MovingAverage(SPEED_SECONDS)
        self._speed(np.zeros(2), time)

    def expected(self, time: float) -> np.ndarray:
        """The box (4,) at a time, if the face goes on as it went."""
        assert self._speed.value is not None
        return self.box + np.tile(self._speed.value, 2) * (time - self.time)

    def move(self, box: Box, time: float) -> None:
        """Take the next box in."""
        new, passed = np.asarray(box, dtype=np.float64), time - self.time
        if passed > 0:
            self._speed((new - self.box).reshape(2, 2).mean(0) / passed, time)
        self.box, self.time = new, time


class Tracker:
    """Gives each box to the track whose expected box it overlaps most, the best pair first."""

    def __init__(self, max_gap: float = 0.5, smoothing: float = 0.0) -> None:
        """Start without tracks.

        Args:
            max_gap: A face that is not found for longer than this, in seconds, comes back as a new track.
            smoothing: Time constant of each track's scores in seconds.
        """
        self.max_gap, self.smoothing = max_gap, smoothing
        self.tracks: list[Track] = []
        self.count = 0
        self._last = -math.inf

    def update(self, boxes: Sequence[Box], time: float) -> list[Track]:
        """Take the boxes of one detection in.

        Args:
            boxes: x1, y1, x2, y2 in pixels of all faces found.
            time: When, in seconds; later than the detection before.

        Returns:
            The track of each box, in their order; new ones for faces that continue none.
        """
        # At few detections a second, the next one may come after the gap: that alone ends no track.
        self.tracks = [t for t in self.tracks if t.time >= self._last or time - t.time <= self.max_gap]
        self._last = time
        expected = [track.expected(time) for track in self.tracks]
        overlap = overlaps(expected, boxes)
        owners: dict[int, Track] = {}
        while overlap.size and overlap.max() >= MIN_OVERLAP:
            row, column = np.unravel_index(overlap.argmax(), overlap.shape)
            owners[int(column)] = self.tracks[row]
            overlap[row], overlap[:, column] = -1, -1
        found = []
        for i, box in enumerate(boxes):
            if i in owners:
                owners[i].move(box, time)
            else:
                self.count += 1
                owners[i] = Track(self.count, box, time, self.smoothing)
                self.tracks.append(owners[i])
            found.append(owners[i])
        return found


def overlaps(first: Sequence[Box] | Sequence[np.ndarray], second: Sequence[Box] | Sequence[np.ndarray]) -> np.ndarray:
    """Intersection over union of each of N boxes with each of M.

    Args:
        first: Boxes (N, 4) as x1, y1, x2, y2, none of them without area.
        second: Boxes (M, 4).

    Returns:
        Fractions (N, M) in [0, 1].
    """
    a, b = (np.asarray(boxes, dtype=np.float64).reshape(-1, 4) for boxes in (first, second))
    corner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    shared = corner.clip(0).prod(2)
    area, other = ((boxes[:, 2:] - boxes[:, :2]).prod(1) for boxes in (a, b))
    return shared / (area[:, None] + other[None] - shared)
