"""Parts of an evaluation: rows that were trained on and those that were not, and parts without any row."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from measured_networks import Brightness, pictures

import ferzoo
from ferzoo.cli.evaluate import _print
from ferzoo.errors import DataError, FerzooError
from ferzoo.labels import FERPLUS
from ferzoo.train.evaluate import evaluate, on_device, predict_logits

FIGURES = ("accuracy", "balanced_accuracy", "macro_f1", "calibration_error", "nll")
WHERE = {"model": "m", "dataset": "ferplus", "split": "validation"}
FACES = pictures([0, 1, 2, 3], [0, 1, 2, 4], FERPLUS)


def test_seen_and_unseen_rows_apart(capsys: pytest.CaptureFixture[str]) -> None:
    unseen = np.array([True, False, False, False])
    found = evaluate(Brightness(FERPLUS), FACES, unseen=unseen)
    alone = evaluate(Brightness(FERPLUS), FACES.take(~unseen))
    assert (found["seen"]["rows"], found["unseen"]["rows"], found["rows"]) == (3, 1, 4)
    assert found["seen"] == {key: alone[key] for key in found["seen"]}
    assert found["seen"].keys() == found["unseen"].keys()
    _print({**WHERE, **found})
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("seen (also in train)")]
    assert row.split()[-6:-4] == ["3", "66.67"]


@pytest.mark.parametrize("unseen", [None, np.ones(4, dtype=bool)])
def test_no_seen_rows_no_such_part(unseen: np.ndarray | None, capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluate(Brightness(FERPLUS), FACES, unseen=unseen)
    assert "seen" not in found
    _print({**WHERE, **found})
    assert "seen (also in train)" not in capsys.readouterr().out


def test_a_part_without_rows_has_no_figures(capsys: pytest.CaptureFixture[str]) -> None:
    found = evaluate(Brightness(FERPLUS), FACES, unseen=np.zeros(4, dtype=bool))
    assert found["unseen"]["rows"] == 0
    assert [found["unseen"][key] for key in (*FIGURES, "recall")] == [None] * 5 + [[None] * 8]
    assert found["seen"] == {key: found[key] for key in found["seen"]}
    _print({**WHERE, **found})
    [row] = [line for line in capsys.readouterr().out.splitlines() if line.startswith("unseen ")]
    assert row.split()[-6:] == ["0", *"-----"]


def test_no_rows_that_most_votes_agree_on() -> None:
    faces = FACES.take(slice(2))
    faces.targets[:, :2] = 0.5
    assert evaluate(Brightness(FERPLUS), faces)["agreed"] == {"rows": 0, **dict.fromkeys(FIGURES)}


def test_a_run_whose_validation_rows_are_all_trained_on(tmp_path: Path) -> None:
    faces = pictures([float(i % 8) for i in range(8)], [i % 8 for i in range(8)], FERPLUS)
    settings = {"model": "lanmsff", "out": str(tmp_path), "batch_size": 4, "sizes": {0: 32}, "device": "cpu"}
    ferzoo.train(settings, faces={"train": faces, "validation": faces}, epochs=1)
    [entry] = csv.DictReader((tmp_path / "history.csv").open())
    assert entry["accuracy_unseen"] == "" and entry["accuracy"] != ""
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert (metrics["unseen"]["rows"], metrics["unseen"]["nll"], metrics["seen"]["rows"]) == (0, None, 8)


def test_no_faces_are_told() -> None:
    network = Brightness(FERPLUS)
    with pytest.raises(DataError, match="There are no faces to classify"):
        predict_logits(network, FACES.take(slice(0)), network.pretrained_cfg)
    said = predict_logits.__doc__ or ""
    assert all(error in said.partition("Raises:")[2] for error in ("DataError", "InputSizeError", "CheckpointError"))


@pytest.mark.parametrize(
    ("cuda", "asked", "got"),
    [(True, "auto", "cuda"), (False, "auto", "cpu"), (True, "cpu", "cpu"), (True, "cuda:1", "cuda:1")],
)
def test_words_for_a_device(cuda: bool, asked: str, got: str, monkeypatch: pytest.MonkeyPatch) -> None:
    network, moved = Brightness(FERPLUS), []
    monkeypatch.setattr("torch.cuda.is_available", lambda: cuda)
    monkeypatch.setattr(network, "to", lambda device: moved.append(device) or network)
    assert on_device(network, asked) is network
    assert moved == [torch.device(got)]


def test_where_evaluate_computes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A given network stays where it is, and a name's is moved."""
    asked: list[str] = []
    network = Brightness(FERPLUS)
    monkeypatch.setattr("ferzoo.train.evaluate.on_device", lambda network, device: asked.append(device) or network)
    monkeypatch.setattr("ferzoo.train.evaluate.load_model", lambda name: network)
    for model, device in ((network, None), (network, "cuda"), ("name", None), ("name", "cpu")):
        evaluate(model, FACES, device=device)
    assert asked == ["cuda", "auto", "cpu"]


def test_a_device_that_cannot_be_used_is_told() -> None:
    with pytest.raises(FerzooError, match="'abacus' cannot be used, take auto or cpu"):
        evaluate(Brightness(FERPLUS), FACES, device="abacus")
