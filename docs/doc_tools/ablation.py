"""What was measured of the losses, from the file that `python -m ferzoo.train.ablation --report` writes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from .common import ROOT, rows

RESULTS = ROOT / "docs" / "results" / "losses.json"
NO_RUNS = "No run has been recorded yet."


def _difference(row: Mapping[str, Any]) -> str:
    """To cross-entropy on the same seeds: the mean with its interval, or the difference of one seed."""
    if paired := row.get("paired"):
        return f"{paired['mean']:+.2f} [{paired['low']:+.2f}, {paired['high']:+.2f}]"
    return ", ".join(f"{value:+.2f}" for value in row["differences"].values())


def loss_ablation() -> str:
    """A row for every loss that was tried; a sentence where `docs/results/losses.json` is not there."""
    if not RESULTS.is_file():
        return NO_RUNS
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    lines = [
        (
            f"`{row['loss']}`",
            len(row["seeds"]),
            f"{row['accuracy']:.2f}",
            _difference(row),
            f"{row['accuracy_unseen']:.2f}",
            *(f"{row[key]:.3f}" for key in ("intra", "inter", "ratio")),
        )
        for row in results["summary"]
    ]
    header = ("loss", "seeds", "accuracy %", "to `ce`", "unseen %", "intra", "inter", "ratio")
    return f"{rows(header, lines, right=range(1, len(header)))}\n\nThe command is `{results['command']}`."


TABLES: dict[str, Callable[..., str]] = {"loss-ablation": loss_ablation}
