"""`ferzoo eval` and `ferzoo compare` on a folder of pictures and a checkpoint folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ferzoo
from ferzoo.cli.main import main
from ferzoo.cli.progress import ProgressLine
from ferzoo.labels import FER2013, FERPLUS
from ferzoo.train.checkpoint import write_checkpoint, write_json

Shown = Callable[..., str]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    rng = np.random.default_rng(0)
    for split in ("train", "validation"):
        for name in ("happy", "sad", "contempt"):
            (root / split / name).mkdir(parents=True)
            for i in range(2):
                Image.fromarray(rng.integers(0, 255, (16, 16), dtype=np.uint8)).save(root / split / name / f"{i}.png")
    return root


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two checkpoint folders, of 8 and of 7 classes."""
    root = tmp_path_factory.mktemp("runs")
    for name, labels in (("eight", FERPLUS), ("seven", FER2013)):
        torch.manual_seed(0)
        model = ferzoo.create_model("lanmsff", num_classes=len(labels))
        cfg = {k: v for k, v in model.pretrained_cfg.items() if k not in ("file", "hf_hub_id", "url", "tag")}
        cfg |= {"architecture": "lanmsff", "num_classes": len(labels), "label_names": labels}
        write_checkpoint(root / name, model, cfg, {"grayscale": True, "labels": "ferplus"})
    write_json(root / "seven" / "metrics.json", {"split": "validation", "accuracy": 61.5, "rows": 9, "flip": False})
    return root


def test_json_has_everything(folder: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["eval", str(runs / "eight"), "--data", str(folder), "--dataset", "folder", "--json"]
    assert main([*arguments, "--flip", "--size", "32", "--picture", str(tmp_path / "c.png")]) == 0
    captured = capsys.readouterr()
    result = json.loads(captured.out)
    assert (result["model"], result["dataset"], result["split"]) == (str(runs / "eight"), "folder", "validation")
    assert (result["rows"], result["unseen"]["rows"], result["size"], result["flip"]) == (6, 6, 32, True)
    assert result["classes"] == ["happiness", "sadness", "contempt"]
    assert np.array(result["confusion"]).sum() == 6
    assert f"drawn in {tmp_path / 'c.png'}" in captured.err
    with Image.open(tmp_path / "c.png") as image:
        assert image.width > 600 and len(image.getcolors(100_000) or ()) > 20


def test_the_data_set_is_that_of_the_weights(
    folder: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "seven", tmp_path / "own")
    config = json.loads((tmp_path / "own" / "config.json").read_text())
    write_json(tmp_path / "own" / "config.json", {**config, "ferzoo": {"grayscale": True, "labels": "folder"}})
    assert main(["eval", str(tmp_path / "own"), "--data", str(folder), "--device", "auto"]) == 0
    assert f"{tmp_path / 'own'} on folder validation" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "own"), "--runs", "1", "--data", str(folder), "--device", "cpu"]) == 0
    assert "folder validation" in capsys.readouterr().out
    # It has the classes of FER-2013 and says nothing else.
    write_json(tmp_path / "own" / "config.json", {**config, "ferzoo": {"grayscale": True}})
    assert main(["eval", str(tmp_path / "own"), "--data", str(folder)]) == 2
    assert "fer2013 was taken unasked" in capsys.readouterr().err


def test_table_says_what_was_left_out(folder: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["eval", str(runs / "seven"), "--data", str(folder), "--dataset", "folder", "--no-unseen"]) == 0
    shown = capsys.readouterr().out
    assert "rows skipped: 2, of classes that the network lacks: contempt (2)" in shown
    assert "outputs left out, as the data set lacks these classes: angry, disgust" in shown
    assert "no figures for rows never trained on: the training split was not looked at" in shown
    assert "test-time flip" not in shown
    lines = shown.splitlines()
    [row] = [line.split() for line in lines if line.startswith("all ")]
    assert row[1] == "4"
    assert [line.split()[0] for line in lines[-2:]] == ["happy", "sad"]


def test_angles_are_printed(tmp_path: Path, runs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for code in ("HAFL", "HAS", "SAS"):
        Image.fromarray(np.zeros((16, 16, 3), np.uint8)).save(tmp_path / f"AF31{code}.JPG")
    arguments = ["eval", str(runs / "eight"), "--data", str(tmp_path), "--dataset", "kdef", "--split", "test"]
    assert main([*arguments, "--partial"]) == 0
    captured = capsys.readouterr()
    assert "by the angle of the head" in captured.out and "\n-90" in captured.out and "\n+0" in captured.out
    # Warnings are lines, without the source of the warning.
    assert "ferzoo eval: KDEF" in captured.err and "DataWarning" not in captured.err
    assert main(arguments) == 2
    assert "with --partial" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (["--dataset", "foldr"], "Did you mean 'folder'"),
        (["--dataset", "folder", "--split", "tset"], "tset"),
        (["--dataset", "folder", "--picture", "c.jpg"], ".png or .svg"),
        (["--dataset", "folder", "--device", "abacus"], "'abacus' cannot be used, take auto or cpu"),
        (["--dataset", "rafdb"], "The splits of RAF-DB are train, test. Take one of them by --split test."),
        (["--dataset", "rafdb", "--split", "test"], "RAF-DB"),
        ([], "ferplus was taken unasked: name another data set by --dataset NAME."),
        (["--dataset", "folder", "--data", "nowhere"], "nowhere does not exist"),
    ],
)
def test_errors_are_one_line(
    changes: list[str], message: str, folder: Path, runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["eval", str(runs / "eight"), "--data", str(folder), *changes]) == 2
    err = capsys.readouterr().err
    last = err.splitlines()[-1]  # a slow machine tells its progress before
    assert message in last and last.startswith("ferzoo eval: ") and "Traceback" not in err


def test_compare_prints_and_draws(folder: Path, runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [str(runs / "eight"), str(runs / "seven")]
    assert main(["compare", *names, "--runs", "1", "--plot", str(tmp_path / "c.svg")]) == 0
    shown = capsys.readouterr().out
    assert "61.50" in shown and "metrics.json" in shown and "CPU thread" in shown
    assert (tmp_path / "c.svg").read_text().count("<circle") == 1
    assert main(["compare", *names, "--runs", "1", "--data", str(folder), "--dataset", "folder", "--json"]) == 0
    eight, seven = json.loads(capsys.readouterr().out)
    assert (eight["rows"], eight["measured"], seven["rows"]) == (6, "here", 4)
    assert "contempt" in seven["note"]


def test_nothing_to_draw_is_told(runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", str(runs / "eight"), "--runs", "1", "--plot", str(tmp_path / "c.png")]) == 2
    captured = capsys.readouterr()
    assert "nothing to draw" in captured.err and "356,451" in captured.out
    assert main(["compare", "lanmsff", "--plot", "c.gif"]) == 2


def test_progress_is_silent_for_short_work(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("ferzoo.cli.progress.time.monotonic", lambda: clock[0])
    with ProgressLine() as line:
        line("reading", 0, 0)
        assert capsys.readouterr().err == ""
        for now in (2.0, 3.0, 13.0):
            clock[0] = now
            line("classifying faces", round(1000 * now), 20000)
    assert capsys.readouterr().err.splitlines() == [
        "classifying faces: 2,000 of 20,000",
        "classifying faces: 13,000 of 20,000",
    ]
