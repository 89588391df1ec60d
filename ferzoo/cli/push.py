"""`ferzoo push`: weights to the Hub with a card, or to a folder to look at first."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from .table import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", nargs="?", help="a name with weights, as lfnsb or lfnsb.ferplus, or a run's folder")
    parser.add_argument("repo", nargs="?", metavar="ORG/REPO", help="repository, made where there is none")
    parser.add_argument("--all", action="store_true", help="push every checkpoint of hub_configs that is here")
    parser.add_argument("--org", metavar="NAME", help="with --all: push each to NAME/<architecture>.<tag>")
    parser.add_argument("--pin", action="store_true", help="with --all: write repo and revision into hub_configs")
    parser.add_argument("--dry-run", action="store_true", help="write the folder, show the card, send nothing")
    parser.add_argument("--out", type=Path, metavar="FOLDER", help="folder of --dry-run (default: the repo's name)")
    parser.add_argument("--private", action="store_true", help="make the repository private, if it is made")
    parser.add_argument("--revision", metavar="BRANCH", help="branch to push to (default: main)")
    parser.add_argument("--pr", action="store_true", help="open a pull request instead of pushing")
    parser.add_argument("--message", default="", help="first line of the commit")
    parser.add_argument("--dtype", default="float32", choices=("float32", "float16"), help="default: float32")
    parser.add_argument("--yes", action="store_true", help="write over a repository that holds something else")
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="evaluation for the card, from ferzoo eval --json")
    parser.add_argument("--dataset", default="", metavar="NAME", help="data set of the training, if it is not known")
    parser.add_argument("--license", default="", help="licence of the weights, as apache-2.0")
    parser.add_argument("--description", default="", help="one line on what the weights are")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Push, or write what would be pushed."""
    from ..errors import CheckpointError

    if args.all:
        if not args.org or args.model:
            raise CheckpointError("Write ferzoo push --all --org NAME, without a model: each goes to NAME/<its name>.")
        from ..weights.configs import checkpoints

        plan = [(c.name, f"{args.org}/{c.name}") for c in checkpoints().values() if c.shipped()]
    elif not args.model or not args.repo:
        raise CheckpointError("Write ferzoo push MODEL ORG/REPO, or ferzoo push --all --org NAME.")
    else:
        plan = [(args.model, args.repo)]
    if args.pin and (not args.all or args.dry_run or args.pr):
        raise CheckpointError("--pin goes with --all, and with neither --dry-run nor --pr.")
    done = [_push(args, model, repo) for model, repo in plan]
    if args.pin:
        from ..weights.configs import pin

        for result in done:
            pin(result.name, result.repo_id, result.commit)
    if args.json:
        print_json([result.to_dict() for result in done] if args.all else done[0].to_dict())
        return 0
    if args.dry_run:
        for result in done:
            print((Path(result.url) / "README.md").read_text(encoding="utf-8"))
            print(f"Nothing was sent. {result.url} holds {', '.join(result.files)}.", file=sys.stderr)
        return 0
    print_table([{"name": r.name, "load it with": f"hf-hub:{r.repo_id}@{r.revision}", "see": r.url} for r in done])
    return 0


def _push(args: argparse.Namespace, model: str, repo: str) -> Any:
    from ..hub.push import push_to_hub

    out = None
    if args.dry_run:
        out = args.out or Path(repo.rpartition("/")[2])
        out = out / model if args.all and args.out else out
    return push_to_hub(
        model,
        repo,
        private=args.private,
        revision=args.revision,
        create_pr=args.pr,
        commit_message=args.message,
        dtype=args.dtype,
        overwrite=True if args.yes else _ask,
        dry_run=out,
        metrics=_metrics(args.metrics),
        dataset=args.dataset,
        license=args.license,
        description=args.description,
    )


def _ask(what: str) -> bool:
    """Ask the person at the terminal; nobody there is a no."""
    if not sys.stdin.isatty():
        return False
    return input(f"{what}. Write over it? [y/N] ").strip().lower() in ("y", "yes")


def _metrics(path: Path | None) -> dict[str, Any] | None:
    from ..errors import CheckpointError

    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(found.get("split", "validation")): {**found, "accuracy": float(found["accuracy"])}}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} is no output of ferzoo eval --json: {error!r}.") from error
