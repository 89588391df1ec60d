"""Expressions over time: the faces of a video followed from frame to frame, their scores smoothed."""

from __future__ import annotations

import contextlib
import math
import numbers
import os
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import OptionError, VideoError, VideoWarning
from .faces import Face
from .images import Source
from .track import Track, Tracker
from .video_file import TimedFrame
from .video_source import VideoSource, is_number, open_source

if TYPE_CHECKING:
    from .predictor import Predictor

__all__ = ["BATCH_FRAMES", "TrackedFace", "VideoFrame", "follow"]

#: Frames of a file whose faces are classified together.
BATCH_FRAMES = 8
#: Most frames that wait, for the next detection or for a batch: one in full HD has 6 MB.
MAX_HELD = 100


@dataclass(frozen=True, kw_only=True)
class TrackedFace(Face):
    """A face in a frame; `label`, `score` and `scores` are smoothed.

    Attributes:
        track: Number of the person's track, from 1 on; the same in each frame.
        raw: The scores of this frame alone, by name.
    """

    track: int
    raw: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Plain numbers, lists and dicts, for JSON; landmarks and embedding only where there are any."""
        return {"track": self.track, **super().to_dict(), "raw": dict(self.raw)}


@dataclass(frozen=True)
class VideoFrame:
    """A frame and its faces.

    Attributes:
        index: Its number in the source, from 0 on; a camera's dropped frames leave gaps.
        time: Seconds since the first frame.
        faces: The faces, in the detector's order.
        rgb: Its pixels (H, W, 3), uint8, upright.
    """

    index: int
    time: float
    faces: list[TrackedFace]
    rgb: np.ndarray = field(repr=False, compare=False)


#: A face of which track, its box, and its landmarks (5, 2) or None.
_Found = tuple[Track, tuple[int, int, int, int], np.ndarray | None]


def follow(
    predictor: Predictor,
    source: str | os.PathLike[str] | int | Iterable[Source] | VideoSource,
    fps: float | None,
    detect_every: int,
    smoothing: float,
    max_gap: float,
    batch_frames: int | None,
) -> Iterator[VideoFrame]:
    """Find, follow and classify the faces of a video for a predictor; `Predictor.video` says more of each argument.

    Args:
        predictor: Finds and classifies them.
        source: A file's path, a camera's number, an iterable of frames, or what `open_source` gave.
        fps: Frames a second, or None for what the source says.
        detect_every: Faces are looked for in each frame of so many, 1 to 100.
        smoothing: Time constant in seconds of the moving average of the probabilities, 0 or more.
        max_gap: Seconds after which a lost face comes back as a new track, 0 or more.
        batch_frames: Frames whose faces are classified together, 1 to 100; None for 8, and for 1 with a camera.

    Returns:
        An iterator of one `VideoFrame` a frame, in order.

    Raises:
        VideoError: If the source cannot be opened, has no frames or no frame rate, or too many frames would wait.
        ImageError: If a frame of an iterable is no image.
        MissingExtraError: Without OpenCV, for a file or a camera.
        OptionError: If an argument is out of its range.
    """
    for name, seconds in (("smoothing", smoothing), ("max_gap", max_gap)):
        if not (is_number(seconds) and 0 <= seconds < math.inf):
            raise OptionError(f"{name} must be a number of seconds, 0 or more, got {seconds!r}.")
    for name, count in (("detect_every", detect_every), ("batch_frames", batch_frames)):
        if count is not None and not (is_number(count, numbers.Integral) and 1 <= count <= MAX_HELD):
            raise VideoError(f"{name} must be 1 to {MAX_HELD}, got {count!r}: so many frames are in memory.")
    opened = open_source(source, fps)
    size = batch_frames or (1 if opened.endless else BATCH_FRAMES)
    return _follow(predictor, opened, detect_every, Tracker(max_gap, smoothing), size)


def _follow(
    predictor: Predictor, source: VideoSource, detect_every: int, tracker: Tracker, size: int
) -> Iterator[VideoFrame]:
    waiting: list[tuple[TimedFrame, list[_Found], list[Any]]] = []
    with contextlib.closing(source):
        for frame, found in _locate(predictor, source, detect_every, tracker):
            with predictor.network.limited(predictor.threads):
                crops = predictor.prepare(frame.rgb, [(box, landmarks) for _, box, landmarks in found])
            waiting.append((frame, found, crops))
            if len(waiting) >= size:
                yield from _finish(predictor, waiting)
                waiting = []
        yield from _finish(predictor, waiting)
    told = source.problem or source.note
    if told:
        warnings.warn(VideoWarning(told), stacklevel=2)


def _locate(
    predictor: Predictor, source: VideoSource, every: int, tracker: Tracker
) -> Iterator[tuple[TimedFrame, list[_Found]]]:
    """Each frame with the faces that were found in it or, between two detections, lie between them."""

    def detect(frame: TimedFrame) -> list[_Found]:
        with predictor.network.limited(predictor.threads):
            found = predictor.find(frame.rgb)
        tracks = tracker.update([box for box, _ in found], frame.time)
        return [(track, box, landmarks) for track, (box, landmarks) in zip(tracks, found, strict=True)]

    def between(start: TimedFrame, before: list[_Found], held: list[TimedFrame], after: list[_Found]) -> Iterator[Any]:
        for frame in held[:-1]:
            yield frame, _between(before, after, (frame.time - start.time) / (held[-1].time - start.time))
        yield held[-1], after

    last: TimedFrame | None = None
    before: list[_Found] = []
    held: list[TimedFrame] = []
    for frame in source:
        if last is None:
            last, before = frame, detect(frame)
            yield last, before
            continue
        held.append(frame)
        if len(held) == every:
            after = detect(frame)
            yield from between(last, before, held, after)
            last, before, held = frame, after, []
    if held and last is not None:
        yield from between(last, before, held, detect(held[-1]))


def _between(before: list[_Found], after: list[_Found], share: float) -> list[_Found]:
    """The faces that two detections have in common, at a share of the way from one to the other."""
    ends = {track.number: (box, landmarks) for track, box, landmarks in after}
    found = []
    for track, box, landmarks in before:
        if track.number not in ends:
            continue
        end, points = ends[track.number]
        # Not round, which takes 1.5 and 2.5 both to 2.
        x1, y1, x2, y2 = (math.floor(a + share * (b - a) + 0.5) for a, b in zip(box, end, strict=True))
        way = None if landmarks is None or points is None else landmarks + share * (points - landmarks)
        found.append((track, (x1, y1, x2, y2), way))
    return found


def _finish(predictor: Predictor, waiting: list[tuple[TimedFrame, list[_Found], list[Any]]]) -> Iterator[VideoFrame]:
    rows = predictor.classify([crop for _, _, crops in waiting for crop in crops])
    for frame, found, _ in waiting:
        faces = []
        for track, box, landmarks in found:
            scores, vector = next(rows)
            face = predictor.face(box, landmarks, track.scores(scores, frame.time), vector)
            raw = dict(zip(predictor.labels, scores.tolist(), strict=True))
            faces.append(
                TrackedFace(
                    face.box, face.label, face.scores, face.landmarks, face.embedding, track=track.number, raw=raw
                )
            )
        yield VideoFrame(frame.index, frame.time, faces, frame.rgb)
