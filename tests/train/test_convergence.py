"""When a run counts as converged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ferzoo.train.convergence import read_trained


def history(losses: list[float], accuracy: float = 80.0, sizes: list[int] | None = None) -> list[dict[str, Any]]:
    sizes = sizes or [48] * len(losses)
    return [
        {"nll": loss, "accuracy": accuracy, "size": size, "faces_seen": 64 * (epoch + 1)}
        for epoch, (loss, size) in enumerate(zip(losses, sizes, strict=True))
    ]


@pytest.mark.parametrize(
    ("entries", "reason"),
    [
        (history([0.9, 0.7, 0.6, 0.599]), ""),
        (history([0.9, 0.7, 0.6, 0.65]), ""),
        (history([0.9, 0.7, 0.6, 0.59]), "fell from 0.6000 to 0.5900 in the last epoch"),
        (history([1.0] * 17 + [0.9, 0.9, 0.8]), "fell from 0.9000 to 0.8000 in the last 2 epochs"),
        (history([0.9, 0.7, 0.6, 0.6], accuracy=74.99), "accuracy is 74.99 %, below 75 %"),
        (history([0.9, 0.7, 0.5], sizes=[48, 48, 64]), "two epochs or more at its last size"),
        (history([0.9, 0.7, 0.5, 0.5], sizes=[48, 48, 64, 64]), ""),
        ([{"accuracy": 80.0, "size": 48}] * 3, "no validation loss"),
    ],
)
def test_what_counts(tmp_path: Path, entries: list[dict[str, Any]], reason: str) -> None:
    (tmp_path / "history.json").write_text(json.dumps(entries), encoding="utf-8")
    found = read_trained(tmp_path)
    assert found is not None
    assert reason in found.unfinished and bool(reason) == bool(found.unfinished)
    assert found.faces_seen == entries[-1].get("faces_seen")


@pytest.mark.parametrize("text", [None, "", "{}", "[]", "[1]"])
def test_no_history_is_no_run(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "history.json").write_text(text, encoding="utf-8")
    assert read_trained(tmp_path) is None
