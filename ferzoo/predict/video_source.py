"""Where frames come from: a video file, a camera, or an iterable of images."""

from __future__ import annotations

import math
import numbers
import os
from collections.abc import Iterable, Iterator, Sized
from typing import Any

import numpy as np

from ..errors import OptionError, VideoError
from .images import Source, is_open_file, to_rgb
from .video_camera import Camera
from .video_file import TimedFrame, VideoFile

__all__ = ["Images", "VideoSource", "is_number", "open_source"]


class Images:
    """Images in memory, or read one by one, at a constant rate."""

    endless = False
    problem: str | None = None
    note: str | None = None

    def __init__(self, images: Iterable[Source], fps: float) -> None:
        """Take images, each as `Predictor` takes it, and their number a second."""
        self.fps: float | None = fps
        self.images, self._rate = images, fps
        self.total = len(images) if isinstance(images, Sized) else 0

    def __iter__(self) -> Iterator[TimedFrame]:
        index = -1
        for index, image in enumerate(self.images):
            yield TimedFrame(index, index / self._rate, to_rgb(image))
        if index < 0:
            raise VideoError("The iterable has no frames.")

    def close(self) -> None:
        """Nothing to let go of."""


#: What `open_source` gives: frames are read from it once.
VideoSource = VideoFile | Camera | Images


def is_number(value: Any, kind: type = numbers.Real) -> bool:
    """Whether a value is a number; True and False are none.

    Args:
        value: Anything.
        kind: Of number, `numbers.Real` or narrower.
    """
    return isinstance(value, kind) and not isinstance(value, bool)


def open_source(
    source: str | os.PathLike[str] | int | Iterable[Source] | VideoSource, fps: float | None
) -> VideoSource:
    """Open a source of frames.

    Args:
        source: A video file's path, a camera's number, an iterable of images, or an opened source.
        fps: Frames a second, where the source does not say.

    Raises:
        VideoError: If it cannot be opened, or an iterable has no `fps`.
        MissingExtraError: Without OpenCV, for a file or a camera.
        OptionError: If `fps` is no positive number, or is given for a camera or an opened source.
    """
    if fps is not None and not (is_number(fps) and 0 < fps < math.inf):
        raise OptionError(f"fps must be a positive number of frames a second, got {fps!r}.")
    if isinstance(source, str | os.PathLike):
        return VideoFile(source, fps)
    if fps is not None and (isinstance(source, VideoSource) or is_number(source, int)):
        raise OptionError("fps is for files and iterables: a camera and an opened source have their own times.")
    if isinstance(source, VideoSource):
        return source
    if isinstance(source, int) and not isinstance(source, bool):
        return Camera(source)
    # An open file would give its lines, and bytes numbers.
    no_frames = isinstance(source, bytes | bytearray | memoryview) or is_open_file(source)
    if no_frames or not isinstance(source, Iterable) or (isinstance(source, np.ndarray) and source.ndim != 4):
        raise VideoError(
            "A video is a file's path, a camera's number, or an iterable of RGB frames (H, W, 3), not "
            f"{'of the shape ' + str(source.shape) if isinstance(source, np.ndarray) else type(source).__name__}."
        )
    if fps is None:
        raise VideoError("An iterable does not say how fast its frames follow each other: give fps.")
    return Images(source, fps)
