"""`ferzoo predict PATH...`: the faces of photographs with their expressions."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import predict_many, predict_video
from .numbers import number, thread_count, whole_number
from .predict_options import mode_of, predictor_options
from .table import print_json, print_table

if TYPE_CHECKING:
    from ..predict.predictor import Prediction, Predictor

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    margin = number(float, -0.4, 2, "a fraction from -0.4 to 2")
    parser.add_argument("paths", nargs="*", metavar="PATH", help="images, folders, patterns in quotes, or one video")
    parser.add_argument("--model", default="lfnsb", help="name, folder, hf-hub:org/repo or .onnx (default: lfnsb)")
    parser.add_argument("--no-detect", action="store_true", help="take each image, whole, as the crop of one face")
    parser.add_argument("--save", metavar="OUT", help="draw on the picture: a file for one, a folder for several")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="print JSON: all scores, and the errors")
    output.add_argument("--csv", action="store_true", help="print CSV: all scores, and the errors")
    parser.add_argument("--margin", type=margin, help="added on each side of a box, by its side (default: as trained)")
    parser.add_argument("--min-face", type=whole_number, metavar="PX", help="smallest face to find (default: by size)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: cpu)")
    parser.add_argument("--threads", type=thread_count, help="CPU threads (default: torch's)")
    parser.add_argument("--batch-size", type=whole_number, default=64, help="most faces at a time (default: 64)")
    predict_video.add_arguments(parser)
    predict_many.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Predict, print and draw.

    Returns:
        0 if every image was read (and saved), otherwise 1; each error is a line on stderr.
    """
    if reconfigure := getattr(sys.stdout, "reconfigure", None):
        # What an encoding lacks is no reason to lose the work: stderr does the same.
        reconfigure(errors="backslashreplace")
    mode = mode_of(args)
    if mode == "many":
        return predict_many.run(args)
    if mode == "video":
        return predict_video.run(args, _predictor)
    from ..errors import ImageError
    from ..predict.images import expand
    from ..predict.output import SavePlan

    files: dict[Path, None] = {}
    failed: list[tuple[str, ImageError]] = []
    for path in args.paths:
        try:
            files.update(dict.fromkeys(expand(path)))
        except ImageError as error:
            failed.append((path, error))
    plan = SavePlan(args.save, list(files), args.paths) if args.save else None

    from ..predict.predictor import Prediction

    predictor = _predictor(args)
    report = _Report(args, predictor, len(files) + len(failed))
    try:
        for source, reason in failed:
            report.add(Prediction(source, error=reason))
        for prediction in predictor.stream(files):
            saved = None
            if plan and not prediction.error:
                try:
                    saved = plan.write(prediction.source, prediction.faces)
                except ImageError as error:
                    report.complain(prediction.source, error)
            report.add(prediction, saved)
    finally:
        # An interrupted run keeps what it has found.
        report.end()
    return 1 if report.errors else 0


def _predictor(args: argparse.Namespace) -> Predictor:
    from ..predict.predictor import Predictor

    return Predictor(args.model, **predictor_options(args))


class _Report:
    """Collects results, and prints rows, progress and errors where each belongs."""

    def __init__(self, args: argparse.Namespace, predictor: Predictor, total: int) -> None:
        self.args, self.labels, self.total = args, predictor.labels, total
        self.done = self.errors = self.faceless = 0
        self.rows: list[dict[str, Any]] = []
        self.problem: dict[str, str] = {}
        self.live = total > 1 and sys.stderr.isatty()
        if args.csv:
            from ..predict.scoring_rows import check_columns

            self.columns = ["file", "face", "x1", "y1", "x2", "y2", "label", "score", *self.labels, "saved", "error"]
            check_columns(self.columns)
            self._row(dict(zip(self.columns, self.columns, strict=True)))

    def complain(self, source: str | os.PathLike[str], error: Exception) -> None:
        """Say what went wrong with a file, and remember it."""
        self.errors += 1
        self.problem[os.fspath(source)] = str(error)
        self._clear()
        print(f"ferzoo predict: {error}", file=sys.stderr)

    def add(self, prediction: Prediction, saved: Path | None = None) -> None:
        """Take one image's result."""
        from ..predict.images import exact, printable

        if prediction.error:
            self.complain(prediction.source, prediction.error)
        self.done += 1
        self.faceless += not prediction.faces and not prediction.error
        name, problem = exact(prediction.source), self.problem.pop(os.fspath(prediction.source), None)
        written = exact(saved) if saved else None
        if self.args.json:
            faces = [face.to_dict() for face in prediction.faces]
            size = {"width": prediction.width, "height": prediction.height}
            message = "no face found" if not faces and not prediction.error else None
            self.rows.append(
                {"file": name, **size, "faces": faces, "message": message, "saved": written, "error": problem}
            )
        elif self.args.csv:
            self._csv(prediction, {"file": name, "saved": written, "error": problem})
        elif not prediction.error:
            self._table(prediction, printable(prediction.source))
        if self.live:
            print(f"\r{self.done}/{self.total} images, {self.errors} errors ", end="", file=sys.stderr, flush=True)

    def _csv(self, prediction: Prediction, shared: dict[str, Any]) -> None:
        for i, face in enumerate(prediction.faces, start=1):
            box = dict(zip(("x1", "y1", "x2", "y2"), face.box, strict=True))
            scores = {name: f"{score:.6f}" for name, score in face.scores.items()}
            row = {"face": i, **box, "label": face.label, "score": f"{face.score:.6f}", **scores}
            self._row({**row, **shared})
        if not prediction.faces:
            self._row({"face": 0, **shared})

    def _row(self, row: dict[str, Any]) -> None:
        from ..predict.scoring_rows import csv_lines

        sys.stdout.write(csv_lines([[row.get(name) for name in self.columns]]))

    def _table(self, prediction: Prediction, name: str) -> None:
        for face in prediction.faces:
            best = sorted(face.scores.items(), key=lambda item: -item[1])[:3]
            self.rows.append(
                {
                    "image": name,
                    "box": "whole image" if self.args.no_detect else " ".join(map(str, face.box)),
                    "label": face.label,
                    "score": f"{face.score:.3f}",
                    "best three": ", ".join(f"{label} {score:.3f}" for label, score in best),
                }
            )
        if not prediction.faces:
            self.rows.append({"image": name, "label": "no face found"})

    def _clear(self) -> None:
        if self.live:
            print("\r" + " " * 50 + "\r", end="", file=sys.stderr)

    def end(self) -> None:
        """Print what was collected, and in words what the rows do not say."""
        self._clear()
        if self.args.json:
            print_json(self.rows)
        elif not self.args.csv:
            print_table(self.rows, ("image", "box", "label", "score", "best three"))
        sys.stdout.flush()
        read = self.done - self.errors
        if self.args.no_detect and read > 0:
            print("Each image was taken whole as the crop of one face (--no-detect).", file=sys.stderr)
        if self.faceless:
            print(
                f"No face was found in {self.faceless} of {self.done} images. Crops of faces need --no-detect; for "
                "small faces lower --min-face; the detector knows upright frontal faces alone.",
                file=sys.stderr,
            )
        if self.errors and self.total > 1:
            print(f"{self.errors} of {self.total} images had errors.", file=sys.stderr)
