"""`ferzoo pull`: trained weights into the cache."""

from __future__ import annotations

import argparse
from pathlib import Path

from .table import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a checkpoint, as lfnsb or lfnsb.ferplus, or hf-hub:ORG/REPO[@REVISION]",
    )
    parser.add_argument(
        "--from",
        dest="source",
        type=Path,
        metavar="DIR",
        help="copy from this folder, which holds NAME.TAG.safetensors beside NAME.TAG.json; all of it without a NAME",
    )
    parser.add_argument("--cache-dir", type=Path, metavar="DIR", help="cache to use instead of HF_HOME's")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Fetch, and say where the weights are."""
    from ..hub.pull import pull

    rows = pull(args.names, args.source, args.cache_dir)
    if args.json:
        print_json(rows)
    else:
        print_table(rows)
    return 0
