"""`ferzoo train`: a recipe and overrides to a checkpoint folder."""

from __future__ import annotations

import argparse
import sys

from .table import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "recipe", nargs="*", help="a YAML recipe, then overrides as key=value (model=lanmsff data=FOLDER epochs=14)"
    )
    parser.add_argument("--resume", action="store_true", help="continue the run in the recipe's out folder")
    parser.add_argument("--show", action="store_true", help="print the complete recipe and stop")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Train, and print the history."""
    import json

    from ..errors import RecipeError
    from ..train.recipe import Recipe

    files = [item for item in args.recipe if "=" not in item]
    if len(files) > 1:
        raise RecipeError(f"One recipe at a time, got {', '.join(files)}.")
    recipe = Recipe.load(files[0] if files else None, [item for item in args.recipe if "=" in item])
    if args.show:
        print_json(recipe.to_dict())
        return 0
    from ..train.loop import train

    try:
        folder = train(recipe, resume=args.resume)
    except KeyboardInterrupt:
        print(f"\nInterrupted; every finished epoch is in {recipe.out}. Continue with --resume.", file=sys.stderr)
        return 130
    history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    if args.json:
        print_json({"folder": str(folder), "history": history})
        return 0
    print_table(history)
    print(f"\nThe best epoch at {recipe.final_size} px is in {folder}.")
    return 0
