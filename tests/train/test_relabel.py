"""Relabelling: which faces get another label and when, and that a resumed run goes on with the same labels."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noise import faces

from ferzoo.data.faces import Faces
from ferzoo.errors import RecipeError
from ferzoo.train.loop import Run, train
from ferzoo.train.recipe import Recipe
from ferzoo.train.relabel import Relabelling


@pytest.fixture(scope="module")
def splits() -> dict[str, Faces]:
    return {"train": faces(24, 0), "validation": faces(8, 1)}


def recipe(out: Path | str = "out", **changes: Any) -> Recipe:
    base = Recipe(
        model="test_resnet", out=str(out), epochs=4, batch_size=8, sizes={0: 32}, device="cpu", soft=False, lr=1e-2,
        relabel=2, relabel_margin=0.0,
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


def test_only_a_clear_lead_from_the_first_epoch_on_counts() -> None:
    rows = faces(6, 0)
    probabilities = torch.tensor([[0.5, 0.29, 0.21], [0.5, 0.31, 0.19], [0.1, 0.1, 0.8], [0.4, 0.3, 0.3]])
    targets = torch.tensor([1, 1, 2, 2])
    batch = (torch.tensor([4, 5, 0, 1]), targets, probabilities.log())
    found = Relabelling(recipe(relabel=10, relabel_margin=0.2))
    found.look(8, *batch)  # the ninth epoch
    assert found.apply(rows)[1] == 0
    found.look(9, *batch)
    changed, count = found.apply(rows)
    expected = rows.labels.copy()
    expected[4] = 0  # 0.5 leads 0.29 by more than 0.2, but 0.31 by less
    assert count == 1 and np.array_equal(changed.labels, expected)
    assert found.apply(changed)[1] == 0


def test_a_resumed_run_has_the_same_labels_and_weights(tmp_path: Path, splits: dict[str, Faces]) -> None:
    whole = Run(recipe(tmp_path / "whole"), splits)
    while not whole.finished:
        whole.step_epoch()
    counts = [entry["relabelled"] for entry in whole.history]
    assert counts[0] == 0 and counts[1] > 0
    assert not np.array_equal(whole.faces.labels, splits["train"].labels)
    for stop in (1, 2, 3):
        out = tmp_path / str(stop)
        stopped = Run(recipe(out), splits)
        for _ in range(stop):
            stopped.step_epoch()
        train(recipe(out), resume=True, faces=splits)
        a, b = (torch.load(folder / "state.pt", weights_only=True) for folder in (tmp_path / "whole", out))
        assert torch.equal(a["labels"], b["labels"])
        assert all(torch.equal(a["model"][key], b["model"][key]) for key in a["model"])
        assert [entry["relabelled"] for entry in json.loads((out / "history.json").read_text())] == counts


def test_the_next_epoch_trains_on_the_new_labels(
    tmp_path: Path, splits: dict[str, Faces], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(recipe(tmp_path, relabel=1, epochs=2), splits)
    seen: dict[int, int] = {}
    look = Relabelling.look

    def noting(self: Any, epoch: int, rows: torch.Tensor, targets: torch.Tensor, logits: torch.Tensor) -> None:
        if epoch == 1:
            seen.update(zip(rows.tolist(), targets.tolist(), strict=True))
        look(self, epoch, rows, targets, logits)

    monkeypatch.setattr(Relabelling, "look", noting)
    run.step_epoch()
    labels = run.faces.labels.copy()
    run.step_epoch()
    assert len(seen) == 24 and all(labels[row] == label for row, label in seen.items())


def test_under_sam_the_first_pass_is_looked_at(tmp_path: Path, splits: dict[str, Faces]) -> None:
    run = Run(recipe(tmp_path, sam=5.0), splits)
    images, targets = torch.randn(8, 3, 32, 32), torch.arange(8)
    run.model.train()
    expected = run.model(images).detach()
    run.objective.step(images, targets)
    torch.testing.assert_close(run.objective.logits, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"soft": True}, "soft=false"), ({"relabel": -1}, "relabel must be 0"), ({"relabel_margin": 2.0}, r"\[0, 1\]")],
)
def test_what_does_not_fit_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        recipe(**changes)
