"""`ferzoo predict CLIP` and `ferzoo predict --camera N`: the faces of a video with their expressions."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from .numbers import number, whole_number
from .predict_options import VIDEO
from .progress import ProgressLine, notes
from .table import print_table

if TYPE_CHECKING:
    from ..predict.predictor import Predictor
    from ..predict.video import VideoFrame
    from ..predict.video_source import VideoSource

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    rate, seconds = number(float, 1e-3, 1e6, "a rate above 0"), number(float, 0, 1e9, "a time from 0 s up")
    group = parser.add_argument_group(
        "one video or camera", "--json gives one line a face a frame, --csv one row; neither, a table of the tracks."
    )
    group.add_argument("--camera", type=number(int, 0, 2**31 - 1, "a number from 0 up"), metavar="N", help="0, 1, ...")
    group.add_argument("-o", "--output", metavar="FILE", help="also write the rows, to .csv or .jsonl, as they come")
    group.add_argument("--fps", type=rate, help="frames a second, for a file that does not say")
    group.add_argument("--detect-every", type=whole_number, metavar="N", help="frames a detection (default: 1)")
    group.add_argument("--smoothing", type=seconds, metavar="S", help="time constant of the scores (default: 0.3)")
    group.add_argument("--max-gap", type=seconds, metavar="S", help="lost for longer is a new track (default: 0.5)")
    group.add_argument("--batch-frames", type=whole_number, metavar="N", help="frames at a time (default: 8, camera 1)")


def run(args: argparse.Namespace, make_predictor: Callable[[argparse.Namespace], Predictor]) -> int:
    """Follow the faces, print and draw.

    Returns:
        0, or 1 if the video or the camera ended before its time.
    """
    # Read when OpenCV is imported: what matters of its messages is in the errors.
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    from ..predict.video_output import DrawnVideo, RowFile, Rows, check_target
    from ..predict.video_source import open_source

    with contextlib.ExitStack() as stack:
        source = stack.enter_context(
            contextlib.closing(open_source(args.paths[0] if args.paths else args.camera, args.fps))
        )
        if args.save:
            check_target("--save", args.save, DrawnVideo.SUFFIXES, args.paths)
        if args.output:
            check_target("-o", args.output, RowFile.SUFFIXES, args.paths, new=True)
        predictor = make_predictor(args)
        writers: list[Any] = []
        if args.json or args.csv:
            writers.append(Rows(sys.stdout, predictor.labels, "csv" if args.csv else "jsonl"))
        if args.output:
            writers.append(stack.enter_context(RowFile(args.output, predictor.labels)))
        if args.save:
            writers.append(stack.enter_context(DrawnVideo(args.save, source.fps)))
        given = {name: getattr(args, name) for name in VIDEO[1:] if getattr(args, name) is not None}
        _follow(predictor, source, given, writers, table=not (args.json or args.csv))
    return 1 if source.problem else 0


def _follow(
    predictor: Predictor, source: VideoSource, given: dict[str, Any], writers: Sequence[Any], table: bool
) -> None:
    """Hand each frame to the writers; a camera goes on until Ctrl-C, a file's interruption is passed on."""
    summary = _Summary()
    try:
        with ProgressLine() as progress, notes("predict", progress):
            for frame in predictor.video(source, **given):
                for writer in writers:
                    writer.write(frame)
                summary.add(frame)
                progress("frames", summary.frames, source.total)
    except KeyboardInterrupt:
        if source.endless:
            return
        raise
    finally:
        # An interrupted run keeps what it has found.
        summary.end(table)


class _Summary:
    """Counts, the table of the tracks, and how fast it went."""

    def __init__(self) -> None:
        self.frames = self.faces = 0
        self.first: VideoFrame | None = None
        self.last: VideoFrame | None = None
        self.tracks: dict[int, dict[str, Any]] = {}
        self.labels: dict[int, Counter[str]] = {}
        self.start = time.monotonic()

    def add(self, frame: VideoFrame) -> None:
        """Count a frame."""
        self.frames += 1
        self.faces += len(frame.faces)
        self.first, self.last = self.first or frame, frame
        for face in frame.faces:
            row = self.tracks.setdefault(face.track, {"track": face.track, "from": f"{frame.time:.2f} s"})
            row["to"] = f"{frame.time:.2f} s"
            self.labels.setdefault(face.track, Counter())[face.label] += 1

    def end(self, table: bool) -> None:
        """Print the table, if asked for, and the counts on standard error."""
        if self.first is None or self.last is None:
            return
        if table:
            for number_, row in self.tracks.items():
                counts = self.labels[number_]
                shares = [f"{label} {n / counts.total():.0%}" for label, n in counts.most_common(3)]
                row |= {"frames": counts.total(), "labels": ", ".join(shares)}
            print_table(list(self.tracks.values()))
            sys.stdout.flush()
        took = max(time.monotonic() - self.start, 1e-9)
        # The last frame is shown for as long as the others are on average.
        shown = (self.last.time - self.first.time) * self.frames / max(1, self.frames - 1)
        print(
            f"{self.frames:,} frames, {self.faces:,} faces, {len(self.tracks):,} tracks. {shown:.2f} s of video in "
            f"{took:.2f} s: {shown / took:.2f} times real time, {self.frames / took:.1f} frames/s.",
            file=sys.stderr,
        )
        if not self.faces:
            print("No face was found in any frame. For small faces lower --min-face.", file=sys.stderr)
