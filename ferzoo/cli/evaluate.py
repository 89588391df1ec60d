"""`ferzoo eval`: accuracy, calibration and confusion matrix of a network on a data set."""

from __future__ import annotations

import argparse
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..errors import reworded
from .numbers import thread_count, whole_number
from .progress import ProgressLine, notes
from .table import print_json, print_table

__all__ = ["add_arguments", "add_data_arguments", "run", "texts"]


def add_data_arguments(parser: argparse.ArgumentParser, required: bool) -> None:
    """Declare which data a network is measured on."""
    wanted = "folder of the data set" if required else "measure the accuracy on the data set in this folder"
    parser.add_argument("--data", metavar="FOLDER", required=required, help=wanted)
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="ferplus, fer2013, rafdb, affectnet7, affectnet8, kdef, folder, timm:NAME or hf:NAME (default: what the "
        "weights are of, ferplus where nothing says it)",
    )
    parser.add_argument("--split", default="validation", help="split to measure on (default: validation)")
    add_reading_arguments(parser)
    parser.add_argument("--no-unseen", action="store_true", help="do not look for the images in the training split")
    parser.add_argument("--flip", action="store_true", help="average each face with its mirror image")
    parser.add_argument(
        "--device",
        default="auto",
        help="where the accuracy is measured: auto (CUDA where there is one), cpu, cuda, cuda:1, mps (default: auto)",
    )
    parser.add_argument("--threads", type=thread_count, help="CPU threads (default: torch's)")


def add_reading_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare how the data is read."""
    parser.add_argument("--partial", action="store_true", help="take an incomplete copy of the data set as it is")
    parser.add_argument("--skip-damaged", action="store_true", help="leave out images that cannot be decoded")
    parser.add_argument(
        "--class-names",
        metavar="A,B,C",
        type=texts,
        help="classes of folder, timm:NAME and hf:NAME in order (default: as a run on the data set read it, else those "
        "of the data)",
    )
    parser.add_argument(
        "--columns",
        metavar="IMAGE,LABEL",
        type=texts,
        help="image and label column of hf:NAME (default: as a run on the data set read it, else found by type and "
        "name)",
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", help="a name with weights, a checkpoint folder, hf-hub:org/repo, or .onnx")
    add_data_arguments(parser, required=True)
    parser.add_argument("--size", type=whole_number, help="input side in pixels (default: that of the weights)")
    parser.add_argument("--picture", metavar="FILE", help="draw the confusion matrix: FILE.png or FILE.svg")
    parser.add_argument("--batch-size", type=whole_number, default=256, help="faces at a time (default: 256)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the metrics on all rows, on those trained on and those not, and on those that most votes agree on."""
    from ..registry.load import load_model
    from ..train.evaluate import evaluate, on_device
    from ..train.measured import read_measured

    picture = drawing_path(args.picture)
    progress = ProgressLine()
    with progress, notes("eval", progress), data_errors("dataset", "split", "columns"):
        prepare(args.threads)
        model: Any = on_device(load_model(args.model), args.device)
        measured = read_measured(
            args.data, args.dataset, args.split, networks=[model], **reading(args), progress=progress
        )
        result = {
            "model": args.model,
            **evaluate(model, measured, None, None, args.size, args.flip, batch=args.batch_size, progress=progress),
        }
    if args.json:
        print_json(result)
    else:
        _print(result)
    if picture:
        _draw(result, picture)
    return 0


def reading(args: argparse.Namespace) -> dict[str, Any]:
    """How the data is read, as `read_measured` takes it."""
    return {
        "strict": not args.partial,
        "skip_damaged": args.skip_damaged,
        "class_names": args.class_names,
        "columns": args.columns,
        "compare_with_train": not args.no_unseen,
    }


def texts(text: str) -> list[str]:
    """The parts of a list with commas."""
    return [part.strip() for part in text.split(",")]


def data_errors(*options: str) -> AbstractContextManager[None]:
    """Errors about data name the command's options, not the arguments of the function.

    Args:
        *options: Arguments that the command has an option of the same name for.
    """
    words = {"strict=False": "--partial", "skip_damaged=True": "--skip-damaged"}
    if "columns" in options:
        words |= {r"columns=\(image, label\)": "--columns IMAGE,LABEL", r"\bclass_names\b": "--class-names"}
    return reworded(words | {rf"\bby {option}='(\w+)'": rf"by --{option} \1" for option in options})


def prepare(threads: int | None) -> None:
    """Set torch's threads."""
    import torch

    if threads:
        torch.set_num_threads(threads)


def drawing_path(text: str | None) -> Path | None:
    """Where to draw, checked before anything is measured."""
    from ..data.canvas import SUFFIXES
    from ..errors import ImageError

    if text is None:
        return None
    path = Path(text).expanduser()
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"{text}: a drawing is written as {' or '.join(SUFFIXES)}.")
    return path


def _draw(result: dict[str, Any], path: Path) -> None:
    from ..data.pictures import confusion_picture

    subtitle = f"{result['rows']:,} rows, accuracy {result['accuracy']} %; each row in percent of its class"
    title = f"{_name(result['model'])} on {result['dataset']} {result['split']}{_flipped(result)}"
    confusion_picture(result["confusion"], result["classes"], title, subtitle).save(path)
    print(f"The confusion matrix is drawn in {path}.", file=sys.stderr)


def _name(model: str) -> str:
    return Path(model).resolve().name if Path(model).is_dir() else model


def _flipped(result: dict[str, Any]) -> str:
    return ", test-time flip" if result["flip"] else ""


def _print(result: dict[str, Any]) -> None:
    print(f"{result['model']} on {result['dataset']} {result['split']}, {result['size']} px{_flipped(result)}")
    if result.get("classes_left_out"):
        classes = ", ".join(f"{name} ({count:,})" for name, count in result["classes_left_out"].items())
        print(f"rows skipped: {result['rows_skipped']:,}, of classes that the network lacks: {classes}")
    if result.get("outputs_left_out"):
        print(f"outputs left out, as the data set lacks these classes: {', '.join(result['outputs_left_out'])}")
    rows = [{"rows of": "all", **_figures(result)}]
    if "unseen" in result:
        rows.append({"rows of": "unseen (not in train)", **_figures(result["unseen"])})
    if "seen" in result:
        rows.append({"rows of": "seen (also in train)", **_figures(result["seen"])})
    if "agreed" in result:
        rows.append({"rows of": "agreed (one class has over half of the votes)", **_figures(result["agreed"])})
    print_table(rows)
    if "unseen_missing" in result:
        print(f"no figures for rows never trained on: {result['unseen_missing']}")
    if "angles" in result:
        print("\nby the angle of the head, all rows: left profile negative")
        angles = result["angles"]
        print_table(
            [
                {
                    "degrees": "not known" if row["angle"] is None else f"{row['angle']:+g}",
                    "count": row["rows"],
                    "accuracy %": row["accuracy"],
                }
                for row in angles
            ]
        )
    print("\nconfusion matrix, all rows: true class down, predicted across")
    names = result["classes"]
    short = names if len({name[:5] for name in names}) < len(names) else [name[:5] for name in names]
    print_table(
        [
            {"": name, **dict(zip(short, line, strict=True)), "recall %": "" if recall is None else recall}
            for name, line, recall in zip(names, result["confusion"], result["recall"], strict=True)
        ]
    )


def _figures(metrics: dict[str, Any]) -> dict[str, Any]:
    shown = {
        "count": metrics["rows"],
        "accuracy %": metrics["accuracy"],
        "balanced %": metrics["balanced_accuracy"],
        "macro F1 %": metrics["macro_f1"],
        "calibration error %": metrics["calibration_error"],
        "NLL": metrics["nll"],
    }
    return {title: "-" if value is None else value for title, value in shown.items()}
