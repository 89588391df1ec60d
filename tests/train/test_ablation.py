"""The ablation pairs runs by seed, goes on where it stopped, and measures what it says."""

from __future__ import annotations

import itertools
import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noise import faces

from ferzoo.data.faces import Faces
from ferzoo.data.separation import class_distances
from ferzoo.errors import FerzooError
from ferzoo.train import ablation
from ferzoo.train.loop import Run
from ferzoo.train.objective import Objective
from ferzoo.train.recipe import Recipe


@pytest.fixture(scope="module")
def splits() -> dict[str, Faces]:
    return {"train": faces(32, 0), "validation": faces(16, 1)}


def recipe(out: Path, loss: str = "ce", seed: int = 0) -> Recipe:
    return Recipe(
        model="mobilefacenet", out=str(out), epochs=2, batch_size=16, sizes={0: 32}, lr=1e-3, loss=loss, seed=seed,
        model_kwargs={"img_size": 32},
    )  # fmt: skip


def test_the_interval_is_students() -> None:
    # By hand: mean 2, deviation 1 and quantile 4.303 for two degrees of freedom.
    found = ablation.interval([1.0, 2.0, 3.0])
    assert found["mean"] == pytest.approx(2.0)
    assert found["high"] - found["mean"] == pytest.approx(4.303 / math.sqrt(3), rel=1e-3)
    assert found["low"] == pytest.approx(4.0 - found["high"])
    for few in ([], [1.0], [0.0] * 12):
        with pytest.raises(ValueError, match=f"2 to 11 differences, got {len(few)}"):
            ablation.interval(few)


@pytest.mark.parametrize("freedom", range(1, 11))
def test_the_quantiles_are_those_of_the_density(freedom: int) -> None:
    """Integrate the density of Student's t numerically up to the quantile: 97.5 % lie below it."""
    quantile = ablation._T95[freedom - 1]
    scale = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    x = np.linspace(0.0, quantile, 200_001)
    density = scale * (1 + x**2 / freedom) ** (-(freedom + 1) / 2)
    area = float(((density[1:] + density[:-1]) / 2).sum() * (x[1] - x[0]))
    assert area == pytest.approx(0.475, abs=2e-4)


def test_differences_are_paired_by_seed() -> None:
    base = {"accuracy_unseen": 70.0, "intra": 0.2, "inter": 0.5, "ratio": 0.4}
    results: dict[str, dict[int, dict[str, Any]]] = {
        "cross-entropy": {s: {**base, "accuracy": a} for s, a in ((0, 70.0), (1, 80.0), (2, 75.0))},
        "released": {s: {**base, "accuracy": a} for s, a in ((0, 71.0), (1, 82.0))},
        "center": {0: {**base, "accuracy": 69.5}},
        "affinity": {},
    }
    rows = {row["arm"]: row for row in ablation.summarise(results)}
    assert list(rows) == ["cross-entropy", "released", "center"]
    assert rows["cross-entropy"]["accuracy"] == pytest.approx(75.0)
    assert rows["cross-entropy"]["differences"] == {} and "paired" not in rows["cross-entropy"]
    assert rows["released"]["differences"] == {"0": 1.0, "1": 2.0}
    assert rows["released"]["paired"]["mean"] == pytest.approx(1.5)
    assert rows["center"]["differences"] == {"0": -0.5} and "paired" not in rows["center"]


def test_class_distances_by_loops() -> None:
    rng = np.random.default_rng(3)
    x, labels = rng.standard_normal((30, 5)), rng.integers(0, 4, 30)

    def distance(a: np.ndarray, b: np.ndarray) -> float:
        return 1 - float(a @ b) / math.sqrt(float(a @ a) * float(b @ b))

    means = {c: sum(x[i] for i in range(30) if labels[i] == c) for c in range(4)}
    intra = [np.mean([distance(x[i], means[c]) for i in range(30) if labels[i] == c]) for c in range(4)]
    inter = [distance(means[a], means[b]) for a, b in itertools.combinations(range(4), 2)]
    found = class_distances(x, labels)
    assert found["intra"] == pytest.approx(np.mean(intra))
    assert found["inter"] == pytest.approx(np.mean(inter))
    assert found["ratio"] == pytest.approx(np.mean(intra) / np.mean(inter))


def test_every_arm_has_the_same_start_and_batches(
    tmp_path: Path, splits: dict[str, Faces], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the loss draws for its centres, network, order and augmentation are those of the seed."""
    batches: list[torch.Tensor] = []
    plain = Objective.__call__

    def spy(self: Objective, images: torch.Tensor, targets: torch.Tensor, taught: None) -> torch.Tensor:
        batches.append(images.clone())
        return plain(self, images, targets, taught)

    monkeypatch.setattr(Objective, "__call__", spy)
    starts, seen = {}, {}
    for arm in ("cross-entropy", "released", "center"):
        run = Run(recipe(tmp_path / arm, ablation.ARMS[arm]), splits)
        starts[arm] = {k: v.clone() for k, v in run.model.state_dict().items()}
        run.step_epoch()
        seen[arm] = batches[:]
        batches.clear()
    for arm in ("released", "center"):
        assert all(torch.equal(starts[arm][k], v) for k, v in starts["cross-entropy"].items())
        assert len(seen[arm]) == 2
        assert all(torch.equal(a, b) for a, b in zip(seen[arm], seen["cross-entropy"], strict=True))


def test_a_stopped_arm_goes_on_and_a_finished_one_is_read(
    tmp_path: Path, splits: dict[str, Faces], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = ablation.run_arm(recipe(tmp_path / "whole", ablation.ARMS["released"]), splits)
    stopped = Run(recipe(tmp_path / "stopped", ablation.ARMS["released"]), splits)
    stopped.step_epoch()
    again = ablation.run_arm(recipe(tmp_path / "stopped", ablation.ARMS["released"]), splits)
    for found in (whole, again):
        found.pop("seconds")
    assert again == whole
    assert whole["faces_seen"] == 64 and set(whole["terms"]) == {"ce", "cosine_harmony"}
    history = json.loads((tmp_path / "whole" / "history.json").read_text())
    assert whole["accuracy"] == history[-1]["accuracy"]
    monkeypatch.setattr(ablation, "Run", None)  # nothing is trained again
    again = ablation.run_arm(recipe(tmp_path / "whole", ablation.ARMS["released"]), splits)
    assert again["accuracy"] == whole["accuracy"]
    written = tmp_path / "whole" / "recipe.json"
    before = json.loads(written.read_text())
    written.write_text(json.dumps({key: value for key, value in before.items() if key != "strict"}))
    assert ablation.run_arm(recipe(tmp_path / "whole", ablation.ARMS["released"]), splits) == again
    with pytest.raises(FerzooError, match="was run with another recipe; different: loss"):
        ablation.run_arm(recipe(tmp_path / "whole"), splits)


def test_the_command_reports_what_has_finished(
    tmp_path: Path, splits: dict[str, Faces], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "losses.yaml"
    file.write_text("model: mobilefacenet\nmodel_kwargs: {img_size: 32}\nepochs: 1\nbatch_size: 16\nsizes: {0: 32}\n")
    monkeypatch.setattr(ablation, "read_ferplus", lambda folder, split, soft: splits[split])
    report = tmp_path / "losses.json"
    arguments = ["", str(file), "--data", "D", "--out", str(tmp_path / "runs"), "--report", str(report)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--seeds", "2", "--arms", "cross-entropy", "separating"])
    ablation.main()
    content = json.loads(report.read_text())
    assert [row["arm"] for row in content["summary"]] == ["cross-entropy", "separating"]
    assert content["summary"][1]["seeds"] == [0, 1] and "paired" in content["summary"][1]
    assert content["recipe"]["epochs"] == 1 and "out" not in content["recipe"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--report-only"])
    monkeypatch.setattr(ablation, "Run", None)
    report.unlink()
    ablation.main()
    assert json.loads(report.read_text())["summary"] == content["summary"]
    monkeypatch.setattr(sys, "argv", [*arguments, "--arms", "relased"])
    with pytest.raises(FerzooError, match="Did you mean 'released'"):
        ablation.main()
    assert "separating" in capsys.readouterr().out
