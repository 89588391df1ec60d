"""`ferzoo compare`: parameters, FLOPs, latency and accuracy of several networks in one table."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from .evaluate import add_data_arguments, data_errors, drawing_path, prepare, reading
from .numbers import whole_number
from .progress import ProgressLine, notes
from .table import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", nargs="+", help="names, checkpoint folders, hf-hub:org/repo, or `all`")
    add_data_arguments(parser, required=False)
    parser.add_argument(
        "--converged", action="store_true", help="leave out the accuracy of runs that had not converged, and say why"
    )
    parser.add_argument("--runs", type=whole_number, default=30, help="timed runs, whose median counts (default: 30)")
    parser.add_argument("--plot", metavar="FILE", help="draw accuracy against latency: FILE.svg or FILE.png")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print a row a network, and draw them."""
    from ..registry.factory import list_models
    from ..train.compare import compare, comparison_chart

    plot = drawing_path(args.plot)
    names = list_models() if args.model == ["all"] else args.model
    progress = ProgressLine()
    with progress, notes("compare", progress), data_errors("dataset", "split", "columns"):
        prepare(args.threads)
        rows = compare(
            names,
            args.data,
            dataset=args.dataset,
            split=args.split,
            flip=args.flip,
            device=args.device,
            **reading(args),
            converged=args.converged,
            runs=args.runs,
            progress=progress,
        )
    if args.json:
        print_json(rows)
    else:
        _print(rows)
    if plot:
        comparison_chart(rows).save(plot)
        print(f"Accuracy against latency is drawn in {plot}.", file=sys.stderr)
    return 0


def _print(rows: list[dict[str, Any]]) -> None:
    print_table(
        [
            {
                "model": row["model"],
                "input": "x".join(map(str, row["input"])),
                "parameters": f"{row['parameters']:>12,}",
                "MFLOPs": round(row["flops"] / 1e6, 1),
                "as in the paper": size_text(row["parameters_as_printed"], row["flops_as_printed"]),
                "printed there": size_text(row["paper_parameters"], row["paper_flops"]),
                "latency ms": row["latency_ms"],
                "accuracy %": "" if row["accuracy"] is None else f"{row['accuracy']:>10.2f}",
                "unseen %": "" if row["accuracy_unseen"] is None else f"{row['accuracy_unseen']:>8.2f}",
                "faces seen": "" if row["faces_seen"] is None else f"{row['faces_seen']:>10,}",
                "loss fell %": "" if row["loss_fall"] is None else f"{row['loss_fall']:>11.1f}",
                "on": f"{row['data'] or ''}{', flip' if row['flip'] else ''}",
                "from": row["measured"] or "",
            }
            for row in rows
        ]
    )
    threads = f"{rows[0]['threads']} CPU thread{'s' if rows[0]['threads'] > 1 else ''}"
    print(f"\nlatency: median of one image, batch of one, float32, eager, {threads}, on this machine")
    if any(row["parameters_as_printed"] is not None for row in rows):
        print("as in the paper: measured at the paper's input size and class count; printed there: by the paper")
    if any(row["loss_fall"] is not None for row in rows):
        print("loss fell: the best validation loss, in the last two epochs of the run")
    for row in rows:
        if row["note"]:
            print(f"{row['model']}: {row['note']}")


def size_text(parameters: float | None, flops: float | None) -> str:
    """Parameters in millions and MFLOPs, of what there is."""
    parts = [f"{parameters / 1e6:.2f} M"] if parameters else []
    return ", ".join([*parts, *([f"{flops / 1e6:,.1f} MFLOPs"] if flops else [])])
