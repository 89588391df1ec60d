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
    parser.add_argument("--dtype", choices=("float32", "float16"), help="default: float32, or as it ships")
    parser.add_argument("--yes", action="store_true", help="write over a repository that holds something else")
    parser.add_argument("--metrics", type=Path, metavar="FILE", help="evaluation for the card, from ferzoo eval --json")
    parser.add_argument("--dataset", default="", metavar="NAME", help="data set of the training, if it is not known")
    parser.add_argument("--license", default="", help="licence of the weights, as apache-2.0")
    parser.add_argument("--description", default="", help="one line on what the weights are")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Push, or write what would be pushed."""
    from ..errors import CheckpointError, FerzooError
    from ..weights.configs import pin, pinnable

    plan = _plan(args)
    if args.pin:
        if not args.all or args.dry_run or args.pr or args.revision or args.dtype:
            raise CheckpointError("--pin goes with --all alone, without --dry-run, --pr, --revision and --dtype.")
        if not pinnable():
            raise CheckpointError("--pin writes to hub_configs: run it in a checkout of ferzoo.")
    done = []
    for model, repo in plan:
        try:
            done.append(_push(args, model, repo))
        except FerzooError:
            for result in done:
                print(f"pushed: {result.name} to {result.repo_id} at {result.commit}", file=sys.stderr)
            raise
        if args.pin:
            pin(done[-1].name, done[-1].repo_id, done[-1].commit)
    if args.json:
        print_json([result.to_dict() for result in done] if args.all else done[0].to_dict())
        return 0
    if args.dry_run:
        for result in done:
            print((Path(result.url) / "README.md").read_text(encoding="utf-8"))
            print(f"Nothing was sent. {result.url} holds {', '.join(result.files)}.", file=sys.stderr)
        return 0
    print_table([{"name": r.name, "load it with": f"hf-hub:{r.repo_id}@{r.revision}", "see": r.url} for r in done])
    for result in done:
        if result.unchanged:
            asked = ", and no pull request was opened" if args.pr else ""
            print(f"{result.repo_id} holds all of it already: nothing was committed{asked}.", file=sys.stderr)
    return 0


def _plan(args: argparse.Namespace) -> list[tuple[str, str]]:
    """What goes where."""
    from ..errors import CheckpointError
    from ..weights.configs import checkpoints

    if not args.all:
        if not args.model or not args.repo:
            raise CheckpointError("Write ferzoo push MODEL ORG/REPO, or ferzoo push --all --org NAME.")
        return [(args.model, args.repo)]
    if not args.org or args.model:
        raise CheckpointError("Write ferzoo push --all --org NAME, without a model: each goes to NAME/<its name>.")
    if stated := [f"--{key}" for key in ("metrics", "dataset", "license", "description") if getattr(args, key)]:
        raise CheckpointError(f"{', '.join(stated)} would say the same of every checkpoint: leave out with --all.")
    return [(c.name, f"{args.org}/{c.name}") for c in checkpoints().values() if c.shipped()]


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
    if sys.stdin is None or not sys.stdin.isatty():
        return False
    try:
        return input(f"{what}. Write over it? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _metrics(path: Path | None) -> dict[str, Any] | None:
    from ..errors import CheckpointError

    if path is None:
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {str(found.get("split", "validation")): {**found, "accuracy": float(found["accuracy"])}}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{path} is no output of ferzoo eval --json: {error!r}.") from error
