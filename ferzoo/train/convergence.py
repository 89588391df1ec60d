"""What a run's history says of it: the faces it saw, and whether it had converged."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["MAX_FALL", "MIN_ACCURACY", "Trained", "out_of_patience", "read_trained"]

#: Validation accuracy in percent below which a run does not count as converged.
MIN_ACCURACY = 75.0
#: Largest fall of the validation loss over the last tenth of the epochs, one at least, as a fraction of what it was.
MAX_FALL = 0.01
_NOT = "not converged"


@dataclass(frozen=True)
class Trained:
    """What a run's folder says of its training.

    Attributes:
        is_run: Whether the folder is a run's, with a history.
        faces_seen: Faces of all training steps, repeated ones counted again; None where the history does not say.
        loss_fall: By how many percent the best validation loss fell in the last two epochs, of those at the last size;
            negative where it rose; None where the history does not say.
        unfinished: Why the run cannot count as converged; empty where it can.
    """

    is_run: bool
    faces_seen: int | None
    loss_fall: float | None
    unfinished: str


def out_of_patience(accuracies: Sequence[float], patience: int) -> bool:
    """Whether none of the last `patience` epochs was better than those before; never where it is 0."""
    return 0 < patience < len(accuracies) and max(accuracies[-patience:]) <= max(accuracies[:-patience])


def read_trained(folder: Path) -> Trained:
    """Read what a run's folder says of its training: `history.json` and `recipe.json`."""
    history, recipe = _read(folder / "history.json", list), _read(folder / "recipe.json", dict)
    if not history or not recipe or not all(isinstance(entry, dict) for entry in history):
        return Trained(False, None, None, f"{_NOT}: the folder has no history.json and recipe.json of a run")
    seen = history[-1].get("faces_seen")
    # Figures of another input size are of another task.
    last = [entry for entry in history if entry.get("size") == history[-1].get("size")]
    losses = [entry["nll"] for entry in last if isinstance(entry.get("nll"), float)]
    fall = None
    if len(losses) == len(last) > 2 and min(losses[:-2]) > 0:
        fall = round(100 * (1 - min(losses[-2:]) / min(losses[:-2])), 2)
    return Trained(True, seen if isinstance(seen, int) else None, fall, _unfinished(len(history), last, losses, recipe))


def _read(path: Path, kind: type) -> Any:
    """The content of a JSON file; None where it is not there, damaged or something else."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, kind) else None


def _unfinished(
    done: int, last: Sequence[Mapping[str, Any]], losses: Sequence[float], recipe: Mapping[str, Any]
) -> str:
    """Why a run of `done` epochs had not converged, from those at its last size; empty where it had."""
    epochs = recipe.get("epochs", 0)
    if done < epochs and not _ended_by_patience(last, recipe):
        return f"{_NOT}: it stopped after {done} of {epochs} epochs"
    tail = max(1, len(last) // 10)
    if len(losses) < len(last) or len(losses) <= tail:
        return f"{_NOT}: its history has no validation loss of {tail + 1} epochs at its last size"
    before, after = min(losses[:-tail]), min(losses[-tail:])
    if after < before * (1 - MAX_FALL):
        when = f"{tail} epochs" if tail > 1 else "epoch"
        return f"{_NOT}: its validation loss fell from {before:.4f} to {after:.4f} in the last {when}"
    best = max(entry.get("accuracy", 0.0) for entry in last)
    if best < MIN_ACCURACY:
        return f"{_NOT}: its validation accuracy is {best:.2f} %, below {MIN_ACCURACY:.0f} %"
    return ""


def _ended_by_patience(last: Sequence[Mapping[str, Any]], recipe: Mapping[str, Any]) -> bool:
    """Whether a run ended early because nothing got better, at the size that its weights are for."""
    sizes = list((recipe.get("sizes") or {}).values())
    accuracies = [entry.get("accuracy", 0.0) for entry in last]
    return last[-1].get("size") in sizes[-1:] and out_of_patience(accuracies, recipe.get("patience", 0))
