"""What is written of a video: rows of CSV or JSON lines, and the drawn video."""

from __future__ import annotations

import contextlib
import csv
import os
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, TextIO

import numpy as np

from ..errors import VideoError
from ..weights.files import new_file
from .drawing import draw
from .images import printable
from .json_text import json_text
from .scoring_rows import check_columns
from .video import VideoFrame
from .video_file import opencv

__all__ = ["DrawnVideo", "RowFile", "Rows", "check_target"]


def check_target(option: str, path: str, suffixes: Collection[str], inputs: Sequence[str], new: bool = False) -> None:
    """Check before the work that a file can be written.

    Args:
        option: Which option named it.
        path: The file.
        suffixes: Those that can be written.
        inputs: Files that must not be overwritten.
        new: Whether no other file may be, either.

    Raises:
        VideoError: If it cannot.
    """
    target, name = Path(path).expanduser(), f"{option} {printable(path)}"
    if target.suffix.lower() not in suffixes:
        raise VideoError(f"{name}: unknown suffix {target.suffix!r}. Known: {', '.join(suffixes)}.")
    if target.is_dir():
        raise VideoError(f"{name}: is a folder; give a file.")
    if not os.access(target.parent, os.W_OK | os.X_OK):
        raise VideoError(f"{name}: there is no folder {printable(target.parent)} that can be written to.")
    if target.exists() and any(target.samefile(source) for source in inputs):
        raise VideoError(f"{name}: is the input and would be overwritten. Choose another place.")
    if new and os.path.lexists(target):
        raise VideoError(f"{name}: is there already. Choose another name, or delete it first.")


def csv_columns(labels: Sequence[str]) -> list[str]:
    """Titles of the columns.

    Args:
        labels: Names of the classes.

    Raises:
        FerzooError: If two would be the same.
    """
    columns = ["frame", "time", "track", "x1", "y1", "x2", "y2", "label", "score"]
    columns += [*labels, *(f"raw {label}" for label in labels)]
    check_columns(columns)
    return columns


class Rows:
    """One row a face a frame, written as they come."""

    def __init__(self, file: TextIO, labels: Sequence[str], kind: str) -> None:
        """Begin; CSV has a line of titles.

        Args:
            file: Where to.
            labels: Names of the classes.
            kind: "csv" or "jsonl".
        """
        self._file, self._csv = file, None
        if kind == "csv":
            self._csv = csv.writer(file, lineterminator="\n")
            self._csv.writerow(csv_columns(labels))

    def write(self, frame: VideoFrame) -> None:
        """Write a frame's faces, numbers with six digits, and hand them on at once."""
        for face in frame.faces:
            scores, raw = ({name: round(x, 6) for name, x in part.items()} for part in (face.scores, face.raw))
            row = {"frame": frame.index, "time": round(frame.time, 6), "track": face.track, "box": list(face.box)}
            row |= {"label": face.label, "score": scores[face.label]}
            if self._csv:
                first = [cell for x in row.values() for cell in (x if isinstance(x, list) else [x])]
                self._csv.writerow([*first, *scores.values(), *raw.values()])
            else:
                print(json_text({**row, "scores": scores, "raw": raw}, self._file), file=self._file)
        self._file.flush()


class RowFile:
    """`Rows` in a new file, whose suffix says the kind; it is there when the first frame comes."""

    SUFFIXES: ClassVar[tuple[str, ...]] = (".csv", ".jsonl")

    def __init__(self, path: str, labels: Sequence[str]) -> None:
        """Choose the file and the names of the classes."""
        self._path, self._labels = Path(path).expanduser(), labels
        self._file: TextIO | None = None
        if self._path.suffix.lower() == ".csv":
            csv_columns(labels)  # before there is a file

    def __enter__(self) -> RowFile:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            with self._named():
                self._file.close()

    def write(self, frame: VideoFrame) -> None:
        """Write a frame's faces.

        Raises:
            VideoError: If the file cannot be written.
        """
        with self._named():
            if self._file is None:
                self._file = self._path.open("x", encoding="utf-8", newline="")
                self._rows = Rows(self._file, self._labels, self._path.suffix[1:].lower())
            self._rows.write(frame)

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """An error of the system says which file it is of."""
        try:
            yield
        except OSError as error:
            raise VideoError(f"{printable(self._path)} cannot be written: {error.strerror or error}.") from error


class DrawnVideo:
    """The frames with what was found drawn on them, at a constant rate; named when it is whole."""

    #: Suffixes and the codecs that OpenCV's wheels can write there.
    SUFFIXES: ClassVar[dict[str, str]] = {".mp4": "mp4v", ".mov": "mp4v", ".avi": "MJPG"}

    def __init__(self, path: str, fps: float | None) -> None:
        """Choose the file.

        Args:
            path: The file.
            fps: Frames a second; 30 where it is not known or not usual.
        """
        self._path, self._fps = Path(path).expanduser(), fps if fps and 1 <= fps <= 240 else 30.0
        self._cv2 = opencv()
        self._temporary: Path | None = None
        self._writer: Any = None
        self._start, self._count = 0.0, 0
        self._previous: np.ndarray | None = None

    def __enter__(self) -> DrawnVideo:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if self._writer is not None:
                self._writer.release()
                if kind is None:
                    self._finish()
        finally:
            if self._temporary is not None:
                self._temporary.unlink(missing_ok=True)

    def write(self, frame: VideoFrame) -> None:
        """Draw a frame and write it where its time puts it; a frame that lasts longer is repeated."""
        picture = np.ascontiguousarray(np.asarray(draw(frame.rgb, frame.faces))[:, :, ::-1])
        if self._writer is None:
            self._open(picture.shape[1], picture.shape[0])
            self._start, self._previous = frame.time, picture
        assert self._previous is not None
        if picture.shape != self._previous.shape:
            picture = self._cv2.resize(picture, self._previous.shape[1::-1])
        place = round((frame.time - self._start) * self._fps)
        for shown in [self._previous] * (place - self._count) + [picture] * (place >= self._count):
            self._writer.write(shown)
            self._count += 1
        self._previous = picture

    def _open(self, width: int, height: int) -> None:
        suffix = self._path.suffix.lower()
        try:
            self._temporary = new_file(self._path.parent, ".ferzoo-", suffix)
        except OSError as error:
            raise VideoError(f"{printable(self._path)} cannot be written: {error.strerror}.") from error
        code = self._cv2.VideoWriter.fourcc(*self.SUFFIXES[suffix])
        self._writer = self._cv2.VideoWriter(str(self._temporary), code, self._fps, (width, height))
        if not self._writer.isOpened():
            raise VideoError(
                f"{printable(self._path)} cannot be written: this OpenCV lacks the codec {self.SUFFIXES[suffix]}, or "
                f"does not take frames of {width}x{height}. Try .avi."
            )

    def _finish(self) -> None:
        """OpenCV's writer says nothing of a full disk: count what is there, then name it."""
        assert self._temporary is not None
        check = self._cv2.VideoCapture(str(self._temporary))
        written = int(check.get(self._cv2.CAP_PROP_FRAME_COUNT))
        check.release()
        if written != self._count:
            name = printable(self._path)
            raise VideoError(
                f"{name} cannot be written: {written} of {self._count} frames are there. Is the disk full?"
            )
        self._temporary.replace(self._path)
