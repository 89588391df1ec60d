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
    ("entries", "recipe", "reason"),
    [
        (history([0.9, 0.7, 0.6, 0.599, 0.598]), {"epochs": 5}, ""),
        (history([0.9, 0.7, 0.6, 0.65, 0.7]), {"epochs": 5}, ""),
        (history([0.9, 0.7, 0.6, 0.599, 0.592]), {"epochs": 5}, "fell from 0.5990 to 0.5920 in the last epoch"),
        (history([0.9] * 18 + [0.8, 0.79]), {"epochs": 20}, "fell from 0.9000 to 0.7900 in the last 2 epochs"),
        (history([0.9, 0.7, 0.6, 0.55, 0.546]), {"epochs": 5}, ""),
        (history([1.0] * 27 + [0.9, 0.9, 0.8]), {"epochs": 30}, "fell from 1.0000 to 0.8000 in the last 3 epochs"),
        (history([0.9, 0.6, 0.6, 0.6], accuracy=74.99), {"epochs": 4}, "accuracy is 74.99 %, below 75 %"),
        (history([0.9, 0.6, 0.6, 0.61]), {"epochs": 12}, "stopped after 4 of 12 epochs"),
        (history([0.9, 0.6, 0.6, 0.61]), {"epochs": 12, "patience": 2, "sizes": {"0": 48}}, ""),
        # Killed before its patience ran out, and before the size that its weights are for.
        (history([0.9, 0.6, 0.6, 0.61]), {"epochs": 12, "patience": 4, "sizes": {"0": 48}}, "stopped after 4 of 12"),
        (history([0.9, 0.6, 0.6, 0.61]), {"epochs": 12, "patience": 2, "sizes": {"0": 48, "9": 64}}, "stopped after 4"),
        (history([0.9, 0.7, 0.5], sizes=[48, 48, 64]), {"epochs": 3}, "of 2 epochs at its last size"),
        (history([0.9, 0.7, 0.5, 0.5, 0.5], sizes=[48, 48, 64, 64, 64]), {"epochs": 5}, ""),
        ([{"accuracy": 80.0, "size": 48}] * 3, {"epochs": 3}, "no validation loss"),
        ([{"accuracy": 80.0, "size": 48, "nll": None}] * 3, {"epochs": 3}, "no validation loss"),
        # Another size is another task.
        (
            [*history([0.5], 90.0, [32]), *history([0.9, 0.9, 0.9], 60.0)],
            {"epochs": 4},
            "accuracy is 60.00 %, below 75 %",
        ),
    ],
)
def test_what_counts(tmp_path: Path, entries: list[dict[str, Any]], recipe: dict[str, Any], reason: str) -> None:
    (tmp_path / "history.json").write_text(json.dumps(entries), encoding="utf-8")
    (tmp_path / "recipe.json").write_text(json.dumps(recipe), encoding="utf-8")
    found = read_trained(tmp_path)
    assert reason in found.unfinished and bool(reason) == bool(found.unfinished)
    assert found.faces_seen == entries[-1].get("faces_seen")


@pytest.mark.parametrize("text", [None, "", "{}", "[]", "[1]"])
def test_without_a_history_nothing_is_known(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "recipe.json").write_text('{"epochs": 1}', encoding="utf-8")
    if text is not None:
        (tmp_path / "history.json").write_text(text, encoding="utf-8")
    found = read_trained(tmp_path)
    assert found.faces_seen is None and "no history.json" in found.unfinished


@pytest.mark.parametrize(
    ("entries", "fall"),
    [
        (history([0.9, 0.8, 0.7, 0.6]), 25.0),
        (history([0.9, 0.8, 0.7, 0.84]), 12.5),
        (history([0.9, 0.8, 1.0, 1.2]), -25.0),
        (history([0.1, 0.1, 0.8, 0.7, 0.6], sizes=[48, 48, 64, 64, 64]), 25.0),
        (history([0.9, 0.8]), None),
        ([{"accuracy": 80.0, "size": 48}] * 3, None),
    ],
)
def test_how_much_the_loss_fell_at_the_end(tmp_path: Path, entries: list[dict[str, Any]], fall: float | None) -> None:
    (tmp_path / "history.json").write_text(json.dumps(entries), encoding="utf-8")
    (tmp_path / "recipe.json").write_text('{"epochs": 4}', encoding="utf-8")
    assert read_trained(tmp_path).loss_fall == fall
