"""`ferzoo convert`: an author's .pth to safetensors."""

from __future__ import annotations

import argparse

from .numbers import whole_number
from .table import print_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "source", help="the author's .pth: a state dict, bare or under a key such as state_dict or model"
    )
    parser.add_argument("target", help="the .safetensors to write")
    parser.add_argument("--model", required=True, help="the network that the weights are for")
    parser.add_argument(
        "--num-classes",
        type=int,
        choices=range(100000),
        metavar="N",
        help="classes of its classifier (default: read off the weights)",
    )
    parser.add_argument("--img-size", type=whole_number, help="input side in pixels, for networks that have to know it")
    parser.add_argument("--num-heads", type=whole_number, help="attention heads, for ddamfn and dan")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Convert, and say how to load the result."""
    from ..hub.convert import convert

    kwargs = {k: value for k in ("img_size", "num_heads") if (value := getattr(args, k))}
    result = convert(args.source, args.target, args.model, args.num_classes, **kwargs)
    if args.json:
        print_json(result)
        return 0
    dropped = f", {result['dropped']} unused ones of the release left out" if result["dropped"] else ""
    print(f"{result['file']}: {result['tensors']} tensors of {result['model']}{dropped}.")
    given = "".join(f", {name}={value}" for name, value in kwargs.items())
    print(
        f'Load it with ferzoo.create_model("{result["model"]}", num_classes={result["num_classes"]}{given}, '
        f'checkpoint_path="{result["file"]}")'
    )
    return 0
