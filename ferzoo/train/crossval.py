"""k-fold cross-validation: one run a fold, each resumable, and their mean and spread."""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path
from typing import Any

from ..data.faces import Faces
from ..errors import CheckpointError
from .checkpoint import alone, clear_unfinished, write_json
from .loop import train
from .processes import is_first_process
from .recipe import Recipe

__all__ = ["cross_validate"]


def cross_validate(recipe: Recipe, folds: int, resume: bool = False, faces: dict[str, Faces] | None = None) -> Path:
    """Train on all folds but one, for every fold, and summarise.

    Identical images, and persons where the data set knows them, stay in one fold.

    Args:
        recipe: What to do; its `out` gets a folder a fold.
        folds: Folds k, 2 or more.
        resume: Continue where the cross-validation stopped.
        faces: The split ``"train"``, read from the recipe's folder where None.

    Returns:
        `folds.json`: each fold's best accuracy in percent with its epoch, their mean and standard deviation (n - 1).

    Raises:
        CheckpointError: If the folder holds a cross-validation and `resume` is false, or another one trains into it.
        DataError: If the data is missing or incomplete.
        RecipeError: If `folds` is below 2.
    """
    out = Path(recipe.out)
    if not resume and any(any(out.glob(f"fold*/{name}")) for name in ("state.pt", "history.json")):
        raise CheckpointError(f"{out} already holds folds: continue them with --resume, or choose another out=.")
    with alone(out, is_first_process()):
        if is_first_process():
            clear_unfinished(out)
        rows: list[dict[str, Any]] = []
        for fold in range(folds):
            folder = out / f"fold{fold}"
            one = dataclasses.replace(recipe, folds=folds, fold=fold, out=str(folder))
            train(one, resume=(folder / "state.pt").exists(), faces=faces)
            if not is_first_process():
                continue
            metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
            rows.append({"fold": fold, **{k: metrics[k] for k in ("epoch", "rows", "accuracy", "macro_f1")}})
            write_json(out / "folds.json", summary(rows, folds))
    return out / "folds.json"


def summary(rows: list[dict[str, Any]], folds: int) -> dict[str, Any]:
    """The finished folds, and mean and spread over them."""
    accuracies = [row["accuracy"] for row in rows]
    return {
        "folds": folds,
        "finished": len(rows),
        "mean_accuracy": round(statistics.fmean(accuracies), 2),
        "deviation": round(statistics.stdev(accuracies), 2) if len(rows) > 1 else None,
        "runs": rows,
    }
