"""`ferzoo eval`: accuracy and confusion matrix of a network on FERPlus."""

from __future__ import annotations

import argparse
from typing import Any

from .table import print_json, print_table, whole_number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", help="a name with weights, or a folder that `ferzoo train` wrote")
    parser.add_argument("--data", required=True, help="folder with FERPlus' train.parquet and validation.parquet")
    parser.add_argument("--split", default="validation", help="split to measure (default: validation)")
    parser.add_argument("--size", type=whole_number, help="input side in pixels (default: that of the weights)")
    parser.add_argument("--flip", action="store_true", help="average each face with its mirror image")
    parser.add_argument("--threads", type=whole_number, help="CPU threads")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the metrics on all rows and on the rows never trained on."""
    import torch

    from ..data.fer2013 import read_ferplus
    from ..errors import DataError
    from ..hub.load import load_model
    from ..train.evaluate import evaluate

    if args.threads:
        torch.set_num_threads(args.threads)
    model: Any = load_model(args.model)
    faces = read_ferplus(args.data, args.split)
    names = tuple(model.pretrained_cfg.get("label_names") or ())
    if names != faces.class_names:
        raise DataError(f"{args.model} has the classes {', '.join(names)}; FERPlus has {', '.join(faces.class_names)}.")
    unseen = None if args.split == "train" else faces.unseen(read_ferplus(args.data, "train"))
    result = {"model": args.model, "split": args.split, "classes": list(names)}
    result |= evaluate(model, faces, model.pretrained_cfg, unseen, args.size, args.flip)
    if args.json:
        print_json(result)
        return 0
    flip = ", test-time flip" if args.flip else ""
    print(f"{args.model} on FERPlus {args.split}, majority label{flip}")
    rows = [{"rows of": "all", **_figures(result)}]
    if unseen is not None:
        rows.append({"rows of": "never trained on", **_figures(result["unseen"])})
    print_table(rows)
    print("\nconfusion matrix, all rows: true class down, predicted across")
    matrix = result["confusion"]
    recalls = [100 * line[i] / sum(line) if sum(line) else 0.0 for i, line in enumerate(matrix)]
    print_table(
        [
            {"": name, **dict(zip((n[:5] for n in names), line, strict=True)), "recall %": round(recall, 1)}
            for name, line, recall in zip(names, matrix, recalls, strict=True)
        ]
    )
    return 0


def _figures(metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "count": metrics["rows"],
        "accuracy %": metrics["accuracy"],
        "balanced %": metrics["balanced_accuracy"],
        "macro F1 %": metrics["macro_f1"],
    }
