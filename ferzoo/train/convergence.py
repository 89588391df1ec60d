"""What a run's history says of it: the faces it saw, and whether it had converged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["MAX_FALL", "MIN_ACCURACY", "Trained", "read_trained"]

#: Validation accuracy in percent below which a run does not count as converged.
MIN_ACCURACY = 75.0
#: Largest fall of the validation loss over the last tenth of the epochs, as a fraction of what it was before them.
MAX_FALL = 0.01


@dataclass(frozen=True)
class Trained:
    """What a run's folder says of its training.

    Attributes:
        faces_seen: Faces of all training steps, repeated ones counted again; None where the history does not say.
        unfinished: Why the run cannot count as converged; empty where it can.
    """

    faces_seen: int | None
    unfinished: str


def read_trained(folder: Path) -> Trained | None:
    """Read the history of a run's folder.

    Returns:
        None where there is none, as in a checkpoint that was published without it.
    """
    try:
        history = json.loads((folder / "history.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(history, list) or not history or not all(isinstance(entry, dict) for entry in history):
        return None
    seen = history[-1].get("faces_seen")
    return Trained(seen if isinstance(seen, int) else None, _unfinished(history))


def _unfinished(history: Sequence[Mapping[str, Any]]) -> str:
    last = history[-1]
    # Losses of another input size are of another task.
    losses = [entry.get("nll", math.nan) for entry in history if entry.get("size") == last.get("size")]
    if len(losses) < 2 or not all(math.isfinite(loss) for loss in losses):
        return "not converged: its history has no validation loss of two epochs or more at its last size"
    tail = max(1, len(losses) // 10)
    before, after = min(losses[:-tail]), min(losses[-tail:])
    if after < before * (1 - MAX_FALL):
        epochs = "epoch" if tail == 1 else f"{tail} epochs"
        return f"not converged: its validation loss fell from {before:.4f} to {after:.4f} in the last {epochs}"
    best = max(entry.get("accuracy", 0.0) for entry in history)
    if best < MIN_ACCURACY:
        return f"not converged: its validation accuracy is {best:.2f} %, below {MIN_ACCURACY:.0f} %"
    return ""
