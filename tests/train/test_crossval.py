"""Cross-validation: every row validates once, it goes on where it stopped, and the summary is the folds'."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import statistics
from pathlib import Path

import numpy as np
import pytest
from noise import faces
from PIL import Image

import ferzoo
from ferzoo.cli.main import main
from ferzoo.data.faces import Faces
from ferzoo.errors import CheckpointError
from ferzoo.train.checkpoint import alone
from ferzoo.train.crossval import cross_validate
from ferzoo.train.recipe import Recipe


@pytest.fixture(scope="module")
def rows() -> dict[str, Faces]:
    return {"train": faces(24, 0)}


def recipe(out: Path) -> Recipe:
    return Recipe(model="test_resnet", out=str(out), epochs=1, batch_size=8, sizes={0: 32}, lr=1e-3, device="cpu")


def test_every_row_validates_once(tmp_path: Path, rows: dict[str, Faces]) -> None:
    folder = ferzoo.train(recipe(tmp_path), faces=rows, folds=3)
    assert folder == tmp_path and all((folder / f"fold{fold}" / "README.md").is_file() for fold in range(3))
    found = json.loads((folder / "folds.json").read_text())
    assert found["folds"] == found["finished"] == 3
    assert sum(run["rows"] for run in found["runs"]) == 24
    accuracies = [run["accuracy"] for run in found["runs"]]
    for fold, run in enumerate(found["runs"]):
        metrics = json.loads((tmp_path / f"fold{fold}" / "metrics.json").read_text())
        assert run["accuracy"] == metrics["accuracy"] and run["fold"] == fold
    assert found["mean_accuracy"] == pytest.approx(statistics.fmean(accuracies), abs=0.005)
    assert found["deviation"] == pytest.approx(statistics.stdev(accuracies), abs=0.005)


def test_it_goes_on_and_never_starts_over_unasked(tmp_path: Path, rows: dict[str, Faces]) -> None:
    whole = json.loads(cross_validate(recipe(tmp_path / "a"), 3, faces=rows).read_text())
    one = dataclasses.replace(recipe(tmp_path / "b" / "fold0"), folds=3, fold=0)
    from ferzoo.train.loop import train

    train(one, faces=rows)  # where a stopped cross-validation had come to
    with pytest.raises(CheckpointError, match="already holds folds: continue them with --resume"):
        cross_validate(recipe(tmp_path / "b"), 3, faces=rows)
    assert json.loads(cross_validate(recipe(tmp_path / "b"), 3, True, rows).read_text()) == whole


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    for label in range(4):
        place = tmp_path / "faces" / "train" / f"class{label}"
        place.mkdir(parents=True)
        for i in range(6):
            Image.fromarray(rng.integers(0, 256, (48, 48), dtype=np.uint8)).save(place / f"{i}.png")
    settings = [
        "model=test_resnet", "dataset=folder", f"data={tmp_path / 'faces'}", f"out={tmp_path / 'run'}", "epochs=1",
        "batch_size=4", "sizes={0: 32}", "device=cpu",
    ]  # fmt: skip
    assert main(["train", *settings, "--folds", "2"]) == 0
    found = json.loads((tmp_path / "run" / "folds.json").read_text())
    out = capsys.readouterr().out
    assert f"mean accuracy over 2 folds: {found['mean_accuracy']} %, standard deviation {found['deviation']}" in out
    assert main(["train", *settings, "--folds", "2"]) != 0
    with alone(tmp_path / "run"):
        capsys.readouterr()
        assert main(["train", *settings, "--folds", "2", "--resume"]) != 0
        if importlib.util.find_spec("fcntl"):
            assert f"Another run is training into {tmp_path / 'run'}:" in capsys.readouterr().err
    out = tmp_path / "recipe"
    assert main(["train", *settings, f"out={out}", "folds=2"]) == 0
    assert json.loads((out / "folds.json").read_text()) == found
    nowhere = tmp_path / "nowhere"
    assert main(["train", *settings, f"data={tmp_path / 'none'}", f"out={nowhere}", "--folds", "2"]) == 2
    assert not nowhere.exists()
    (tmp_path / "begun" / "fold0").mkdir(parents=True)
    (tmp_path / "begun" / "fold0" / "recipe.json").write_text("{}")  # stopped in the first epoch
    (tmp_path / "begun" / ".folds.json.part").write_text("{")
    assert main(["train", *settings, f"out={tmp_path / 'begun'}", "--folds", "2"]) == 0
    assert sorted(p.name for p in (tmp_path / "begun").iterdir()) == ["fold0", "fold1", "folds.json"]
    kept = (tmp_path / "run" / "fold0" / "model.safetensors").stat().st_mtime_ns
    assert main(["train", str(tmp_path / "run" / "fold0" / "recipe.json"), "--resume"]) == 0
    assert (tmp_path / "run" / "fold0" / "model.safetensors").stat().st_mtime_ns == kept
    assert not (tmp_path / "run" / "fold0" / "fold0").exists()
    one = tmp_path / "one"
    assert main(["train", *settings, f"out={one}", "folds=2", "fold=0"]) == 0
    first = json.loads((one / "metrics.json").read_text())
    assert first["accuracy"] == found["runs"][0]["accuracy"] and not (one / "folds.json").exists()
    capsys.readouterr()
    assert main(["train", *settings, "--folds", "2", "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == found
