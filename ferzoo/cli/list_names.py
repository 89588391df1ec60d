"""`ferzoo list`: what is registered, from metadata alone."""

from __future__ import annotations

import argparse

from .table import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("filter", nargs="?", default="", help="wildcard pattern, for example 'lfn*'")
    kind = parser.add_mutually_exclusive_group()
    kind.add_argument("--blocks", action="store_true", help="list blocks instead of models")
    kind.add_argument("--losses", action="store_true", help="list losses instead of models")
    kind.add_argument("--pretrained", action="store_true", help="list the checkpoints that have weights")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print the names with the packages they come from."""
    from ..registry import entry_points as ep
    from ..registry.factory import list_blocks, list_losses, list_models
    from ..weights.configs import checkpoints

    if args.pretrained:
        known_weights = checkpoints()
        rows = []
        for name in list_models(args.filter, pretrained=True):
            c = known_weights.get(name)
            accuracy = c.metrics.get("validation", {}).get("accuracy", "") if c else ""
            rows.append(
                {
                    "name": name,
                    "classes": c.labels if c else "in FERZOO_WEIGHTS",
                    "validation accuracy %": accuracy,
                    "licence": c.license if c else "",
                }
            )
        what = "weights"
    else:
        if args.blocks:
            kind, names, what = "block", list_blocks(args.filter), "blocks"
        elif args.losses:
            kind, names, what = "loss", list_losses(args.filter), "losses"
        else:
            kind, names, what = "model", list_models(args.filter), "models"
        known = ep.entries(kind)
        trained = dict.fromkeys((c.architecture for c in checkpoints().values()), "in ferzoo's repository")
        if kind == "model":
            trained |= {name.partition(".")[0]: "yes" for name in list_models(pretrained=True)}
        rows = []
        for name in names:
            row = {"name": name, "package": " and ".join(str(entry) for entry in known[name])}
            if kind == "model":
                row["weights"] = trained.get(name, "")
            rows.append(row)
    if args.json:
        print_json(rows)
    elif rows:
        print_table(rows)
    else:
        print(f"No {what} match {args.filter!r}." if args.filter else f"No {what} are registered.")
    return 0
