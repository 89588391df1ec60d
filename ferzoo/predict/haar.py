"""The face detector that comes with OpenCV 4: a Haar cascade (Viola and Jones 2001; Lienhart and Maydt 2002)."""

from __future__ import annotations

import numbers
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..errors import ImageError, MissingExtraError, OptionError

__all__ = ["HaarDetector", "limit_opencv"]

#: Of the three frontal cascades, the one without a false box on the photograph in docs at every setting tried.
CASCADE = "haarcascade_frontalface_alt2.xml"
SCALE_FACTOR, MIN_NEIGHBORS = 1.1, 5
#: Pixels; larger images are scaled down for the search. Time grows with the area, and so do false boxes.
SEARCH_SIDE = 1280
#: The cascade was trained on windows of 20 px; below a little more it finds mostly texture.
WINDOW = 24


class _Limit:
    """OpenCV has one number of threads for the process: the first to change it notes what the last brings back."""

    lock = threading.Lock()
    inside: ClassVar[list[int]] = []
    before = 0


@contextmanager
def limit_opencv(count: int | None) -> Iterator[None]:
    """Let OpenCV use `count` threads at most within the block, in whatever threads of Python; None leaves it alone."""
    if count is None:
        yield
        return
    import cv2

    with _Limit.lock:
        if not _Limit.inside:
            _Limit.before = cv2.getNumThreads()
        _Limit.inside.append(count)
        cv2.setNumThreads(min(_Limit.inside))
    try:
        yield
    finally:
        with _Limit.lock:
            _Limit.inside.remove(count)
            cv2.setNumThreads(min(_Limit.inside, default=_Limit.before))


class HaarDetector:
    """Upright frontal faces; no landmarks."""

    def __init__(self, min_face: int | None = None, threads: int | None = None) -> None:
        """Load the cascade.

        Args:
            min_face: Side of the smallest face looked for, in pixels of the image; None for a fortieth of the
                image's longer side, 24 px at the least.
            threads: Threads of OpenCV during a call; None leaves them.

        Raises:
            MissingExtraError: Without OpenCV 4, which carries the cascade.
            OptionError: If `min_face` is not positive.
        """
        if min_face is not None and not (isinstance(min_face, numbers.Real) and min_face >= 1):
            raise OptionError(f"min_face must be 1 pixel or more, got {min_face}.")
        self.min_face, self.threads = min_face, threads
        self._cv2, self._cascade = _load()
        # detectMultiScale keeps its image pyramid in the classifier.
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, in another process too, loads a cascade of its own."""
        return type(self), (self.min_face, self.threads)

    def __call__(self, rgb: np.ndarray) -> np.ndarray:
        """Find faces.

        Args:
            rgb: Image (H, W, 3), uint8.

        Returns:
            Boxes (N, 4) as x1, y1, x2, y2 in pixels, float64, largest first.

        Raises:
            ImageError: If OpenCV cannot take the image.
        """
        cv2 = self._cv2
        longest = max(rgb.shape[:2])
        smallest = self.min_face or max(WINDOW, longest / 40)
        scale = min(1.0, max(SEARCH_SIDE / longest, WINDOW / smallest))
        try:
            with limit_opencv(self.threads):
                grey = cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY)
                if scale < 1:
                    size = [max(1, round(side * scale)) for side in grey.shape[::-1]]
                    grey = cv2.resize(grey, size, interpolation=cv2.INTER_AREA)
                side = max(WINDOW, round(smallest * scale))
                with self._lock:
                    found = self._cascade.detectMultiScale(grey, SCALE_FACTOR, MIN_NEIGHBORS, minSize=(side, side))
        except cv2.error as error:
            shape = f"{rgb.shape[1]}x{rgb.shape[0]}"
            raise ImageError(f"The face detector cannot take an image of {shape}: {error}") from error
        boxes = np.asarray(found, dtype=np.float64).reshape(-1, 4)
        boxes[:, 2:] += boxes[:, :2]
        # The two axes may have been rounded differently.
        boxes *= np.tile(np.array(rgb.shape[1::-1]) / grey.shape[::-1], 2)
        # OpenCV's threads deliver candidates in any order.
        return boxes[np.lexsort((boxes[:, 0], boxes[:, 1], -(boxes[:, 2] - boxes[:, 0])))]


def _load() -> tuple[Any, Any]:
    otherwise = "Or give face crops and let --no-detect (in Python: detect=False) take each image as one face."
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("Finding faces", "faces", otherwise) from None
    try:
        path = Path(cv2.data.haarcascades) / CASCADE  # type: ignore[attr-defined]
        cascade = cv2.CascadeClassifier(str(path))
    except AttributeError:
        cascade = None
    if cascade is None or cascade.empty():
        what = f"OpenCV {cv2.__version__} is installed without its Haar cascades: finding faces"
        raise MissingExtraError(what, "faces", otherwise)
    return cv2, cascade
