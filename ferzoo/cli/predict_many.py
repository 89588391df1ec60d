"""`ferzoo predict SOURCE -o FILE`: any number of images to a file of rows, and on after a crash."""

from __future__ import annotations

import argparse
import sys

from .numbers import thread_count, whole_number
from .predict_options import predictor_options
from .progress import ProgressLine, notes
from .table import print_json

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    group = parser.add_argument_group(
        "any number of images",
        "-o FILE.csv, .jsonl or .parquet: PATH is also a list of paths (.txt), a .parquet file with images, or a "
        "WebDataset (.tar; {000..010} stands for its numbers).",
    )
    group.add_argument("--resume", action="store_true", help="go on with a job that was stopped")
    group.add_argument("--keep", metavar="NAME", action="append", help="column or WebDataset suffix for the rows")
    group.add_argument("--column", metavar="NAME", help="column of the images, where there are several candidates")
    group.add_argument("--workers", type=thread_count, metavar="N", help="image threads (default: one a processor)")
    group.add_argument("--stop-on-error", action="store_true", help="stop at an image that cannot be read")
    group.add_argument("--ray", action="store_true", help="do it on Ray Data")
    group.add_argument("--ray-address", metavar="ADDRESS", help="the Ray cluster (default: a local one)")
    group.add_argument("--ray-workers", type=whole_number, metavar="N", help="workers a node (default: one a GPU)")


def run(args: argparse.Namespace) -> int:
    """Do the job, and print what was done.

    Returns:
        0, or 1 if an image could not be read.
    """
    from ..predict.scoring import score
    from ..predict.scoring_ray import Cluster

    ray = args.ray or args.ray_address or args.ray_workers
    progress = ProgressLine()
    with progress, notes("predict", progress):
        done = score(
            args.paths,
            args.output,
            args.model,
            **predictor_options(args),
            workers=args.workers,
            keep=args.keep or (),
            column=args.column,
            resume=args.resume,
            stop_on_error=args.stop_on_error,
            cluster=Cluster(args.ray_address, args.ray_workers) if ray else None,
            progress=progress,
        )
    if args.json:
        print_json(done.to_dict())
    before = f" ({done.resumed:,} of the images in earlier runs)" if done.resumed else ""
    print(
        f"{done.images:,} images, {done.faces:,} faces, {done.rows:,} rows in {args.output}; {done.seconds:.1f} s, "
        f"{done.rate:,.1f} images/s{before}.",
        file=sys.stderr,
    )
    if done.faceless:
        print(f"No face was found in {done.faceless:,} images. Crops of faces need --no-detect.", file=sys.stderr)
    if done.errors:
        print(f"{done.errors:,} images could not be read: the column error says why.", file=sys.stderr)
    return 1 if done.errors else 0
