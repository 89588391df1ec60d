"""`ferzoo train`: a recipe and overrides to a checkpoint folder."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Any

from .numbers import whole_number
from .table import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "A recipe's keys are written key=value, without dashes: `ferzoo train --show` prints all of them with their "
        "defaults. In several processes the folder of the run must be one that all of them see."
    )
    parser.add_argument(
        "recipe", nargs="*", help="a YAML recipe, then overrides as key=value (model=lanmsff data=FOLDER epochs=14)"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in the recipe's out folder")
    parser.add_argument("--folds", type=whole_number, help="cross-validate with this many folds (10 in the papers)")
    parser.add_argument("--show", action="store_true", help="print the complete recipe and stop")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Train, and print the history."""
    from ..errors import RecipeError
    from ..train.recipe import Recipe
    from ..train.records import flat

    files = [item for item in args.recipe if "=" not in item]
    if len(files) > 1:
        raise RecipeError(f"One recipe at a time, got {', '.join(files)}.")
    given = Recipe.read(files[0] if files else None, [item for item in args.recipe if "=" in item])
    try:
        recipe = Recipe.from_dict(given)
    except RecipeError as error:
        out = str(given.get("out", Recipe.out))
        if not (args.resume and _is_of_another_version(out)):
            raise
        raise RecipeError(
            f"{error} Another version of ferzoo began the run in {out}, with a recipe that this one does not accept: "
            "start it anew with another out=."
        ) from error
    if args.folds:
        recipe = dataclasses.replace(recipe, folds=args.folds)
    if args.show:
        print_json(recipe.to_dict())
        return 0
    from ..train.crossval import cross_validate
    from ..train.loop import train
    from ..train.processes import is_first_process

    # A recipe that names a fold trains that one alone.
    folds = args.folds or (recipe.folds if recipe.fold < 0 else 0)
    _advise(recipe.device)
    try:
        if folds:
            summary = cross_validate(recipe, folds, args.resume)
            if not is_first_process():
                return 0
            return _show_folds(json.loads(summary.read_text(encoding="utf-8")), args.json)
        folder = train(recipe, resume=args.resume)
    except KeyboardInterrupt:
        print(f"\nInterrupted: {_kept(recipe.out)}.", file=sys.stderr)
        return 130
    except OSError as error:
        what = f"{error.filename}: {error.strerror}" if error.strerror else str(error)
        print(f"ferzoo train: {what}. Mend that, then: {_kept(recipe.out)}.", file=sys.stderr)
        return 2
    if not is_first_process():
        return 0
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    if args.json:
        print_json({"folder": str(folder), "history": history})
        return 0
    print_table([flat(entry) for entry in history])
    print(f"\nThe best epoch at {recipe.final_size} px is in {folder}.")
    return 0


def _kept(out: str) -> str:
    """What is left of a run that stopped, and how to go on."""
    if any(Path(out).glob("state.pt")) or any(Path(out).glob("fold*/state.pt")):
        return f"every finished epoch is in {out}, continue with --resume"
    return "no epoch was finished, start again"


def _is_of_another_version(out: str) -> bool:
    """Whether a run's folder holds a recipe that cannot be one of this version's."""
    from ..errors import RecipeError
    from ..train.recipe import Recipe

    folder = Path(os.path.expanduser(out))
    try:
        for path in (*folder.glob("recipe.json"), *folder.glob("fold*/recipe.json")):
            Recipe.from_dict(json.loads(path.read_text(encoding="utf-8")))
    except RecipeError:
        return True
    except (OSError, ValueError, AttributeError, RecursionError):
        pass  # damaged: what is wrong with the recipe that was given is told
    return False


def _advise(device: str) -> None:
    """Say what makes training on this machine's CPU faster, where it trains there; once where several processes do."""
    import torch

    from ..train.memory import advice
    from ..train.processes import is_first_process

    on_cpu = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    if on_cpu and is_first_process() and (found := advice()):
        print(f"ferzoo train: {found}.", file=sys.stderr)


def _show_folds(found: dict[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(found)
        return 0
    print_table(found["runs"])
    spread = "" if found["deviation"] is None else f", standard deviation {found['deviation']}"
    print(f"\nmean accuracy over {found['finished']} folds: {found['mean_accuracy']} %{spread}")
    return 0
