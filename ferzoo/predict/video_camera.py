"""Frames of a camera, the newest first of all."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator

import numpy as np

from ..errors import VideoError
from .video_file import TimedFrame, opencv

__all__ = ["Camera"]


class Camera:
    """A camera, read by OpenCV on a thread of its own: who asks gets the newest frame, and older ones are dropped.

    Its attributes are those of `VideoFile`.
    """

    endless = True
    total = 0

    def __init__(self, number: int) -> None:
        """Open it.

        Args:
            number: 0 for the first one.

        Raises:
            VideoError: If it cannot be opened, or there is no such number.
            MissingExtraError: Without OpenCV.
        """
        cv2 = opencv()
        # OpenCV ends the process where it is below 0.
        if not 0 <= number < 2**31:
            raise VideoError(f"The cameras are numbered from 0 on: there is none with the number {number}.")
        self.number = number
        self.problem: str | None = None
        self.note: str | None = None
        self._capture = cv2.VideoCapture(number)
        if not self._capture.isOpened():
            raise VideoError(
                f"Camera {number} cannot be opened. Is it plugged in, used by no other program, and allowed for this "
                "one? The first camera is 0."
            )
        fps = self._capture.get(cv2.CAP_PROP_FPS)
        self.fps: float | None = fps if 0 < fps < math.inf else None
        self._changed = threading.Condition()
        self._newest: tuple[int, float, np.ndarray] | None = None
        self._ended = self._closed = False
        self._thread = threading.Thread(target=self._pump, name=f"ferzoo camera {number}", daemon=True)

    def _pump(self) -> None:
        index = 0
        while not self._closed:
            ok, bgr = self._capture.read()
            with self._changed:
                if ok:
                    self._newest = (index, time.monotonic(), bgr)
                self._ended = not ok
                self._changed.notify()
            if not ok:
                break
            index += 1
        self._capture.release()

    def __iter__(self) -> Iterator[TimedFrame]:
        self._thread.start()
        start: float | None = None
        while True:
            with self._changed:
                while self._newest is None and not self._ended:
                    # Without a limit, Ctrl-C is not heard on every system.
                    self._changed.wait(0.2)
                newest, self._newest = self._newest, None
            if newest is None:
                break
            index, now, bgr = newest
            start = now if start is None else start
            yield TimedFrame(index, now - start, np.ascontiguousarray(bgr[:, :, ::-1]))
        if start is None:
            raise VideoError(f"Camera {self.number} gives no frames. Is it used by another program?")
        self.problem = f"Camera {self.number} has stopped. Was it unplugged?"

    def close(self) -> None:
        """Let go of the camera, once the frame that is being read has come."""
        self._closed = True
        if self._thread.is_alive():
            self._thread.join(timeout=2.0)
        elif self._thread.ident is None:
            self._capture.release()
