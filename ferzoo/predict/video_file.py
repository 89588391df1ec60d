"""Frames of a video file."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import MissingExtraError, VideoError
from .images import printable
from .video_container import frames_shown, is_count_exact, is_cut_off

__all__ = ["TimedFrame", "VideoFile", "opencv"]

#: Reads in a row that may fail before a file's end is believed: a damaged frame costs one each.
MAX_FAILED = 30
#: Also a true count may be off by a few. What is missing at the end is told if it is more than this many seconds.
TOLERANCE = 0.5


@dataclass(frozen=True)
class TimedFrame:
    """A frame (H, W, 3), uint8, RGB, its number from 0 on, and its time in seconds since the first."""

    index: int
    time: float
    rgb: np.ndarray


def opencv() -> Any:
    """The module cv2.

    Raises:
        MissingExtraError: Without it.
    """
    try:
        import cv2
    except ImportError:
        raise MissingExtraError("Reading videos", "faces") from None
    return cv2


class VideoFile:
    """A video file, read by OpenCV; turned upright as the file says.

    Attributes:
        fps: Frames a second, None where nobody says.
        total: How many frames there are, 0 where the file does not say; an estimate in most formats.
        endless: Whether it goes on until it is stopped, as a camera does.
        problem: After the last frame, why there are no more although there should be, or None.
        note: After the last frame, why there may be more, where that is not known, or None.
    """

    endless = False

    def __init__(self, path: str | os.PathLike[str], fps: float | None = None) -> None:
        """Open it.

        Args:
            path: The file.
            fps: Frames a second; None for the file's own times.

        Raises:
            VideoError: If it is missing, empty, or no video that OpenCV can read; names the file.
            MissingExtraError: Without OpenCV.
        """
        self.name, self._given = printable(path), fps
        self.problem: str | None = None
        self.note: str | None = None
        cv2 = opencv()
        try:
            with open(path, "rb") as file:
                head = file.read(1024)
                self._is_cut_off, self._shown = is_cut_off(file), frames_shown(file)
        except (OSError, ValueError) as error:
            raise VideoError(f"{self.name}: cannot be read: {getattr(error, 'strerror', error)}.") from error
        if not head:
            raise VideoError(f"{self.name}: is empty (0 bytes).")
        self._capture: Any = None if _is_text(head) else cv2.VideoCapture(os.fspath(path))
        if self._capture is None or not self._capture.isOpened():
            raise VideoError(
                f"{self.name}: is no video that OpenCV can read. A recording that was cut off before its index was "
                "written is none either."
            )
        self._clock = cv2.CAP_PROP_POS_MSEC
        stated, count = self._capture.get(cv2.CAP_PROP_FPS), self._capture.get(cv2.CAP_PROP_FRAME_COUNT)
        self.fps = fps or (stated if 0 < stated < math.inf else None)
        self.total = int(count) if 0 < count < 2**31 else 0
        self._end_is_known = is_count_exact(head) or self._shown is not None

    def __iter__(self) -> Iterator[TimedFrame]:
        index = read = failed = 0
        now = -math.inf
        while failed < MAX_FAILED:
            ok, bgr = self._capture.read()
            if ok:
                now = self._time(index, now)
                yield TimedFrame(index, now, np.ascontiguousarray(bgr[:, :, ::-1]))
                read, failed = read + 1, 0
            elif index >= self.total:
                break
            else:
                failed += 1
            index += 1
        if not read:
            raise VideoError(f"{self.name}: has no frames that can be read.")
        self._judge(read, read < index - failed, now)

    def _judge(self, read: int, holes: bool, now: float) -> None:
        """Say what is missing, after so many frames, with others between them or none, the last one at a time."""
        shown = self.total if self._shown is None or holes else self._shown
        short = self.fps is not None and shown / self.fps - now - 1 / self.fps > TOLERANCE
        at = f"the last one at {now:.2f} s"
        if read < shown and (holes or self._is_cut_off or (short and self._end_is_known)):
            self.problem = f"{self.name}: is damaged: {read:,} of {shown:,} frames could be read, {at}."
        elif self._is_cut_off:
            self.problem = f"{self.name}: the file ends before its own end: {read:,} frames could be read, {at}."
        elif read < shown and short:
            self.note = (
                f"{self.name}: {read:,} of about {shown:,} frames could be read, {at}: the sound may be longer, "
                "the picture may begin late, or the end is damaged."
            )

    def _time(self, index: int, last: float) -> float:
        """When the frame that was just read is shown: as the file says, if its times grow."""
        if self._given:
            return index / self._given
        stated = self._capture.get(self._clock) / 1000
        if stated > last:
            return stated
        if self.fps is None:
            raise VideoError(f"{self.name}: does not say how fast its frames follow each other: give fps.")
        return last + 1 / self.fps

    def close(self) -> None:
        """Let go of the file."""
        self._capture.release()


def _is_text(head: bytes) -> bool:
    """Whether a file begins as text does; FFmpeg would make a video of some, and follow the links of others."""
    try:
        text = head.decode("utf-8", "strict")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[: error.start].decode("utf-8")
    return all(c.isprintable() or c.isspace() for c in text)
