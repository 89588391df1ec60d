"""`ferzoo export --int8`: it calibrates on one split and measures both networks on the other."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ferzoo
from ferzoo.cli.main import main
from ferzoo.data.readers import DATASETS
from ferzoo.registry.exported import OnnxFile

pytest.importorskip("onnxruntime", reason="comes with the extra export")
pytest.importorskip("onnxscript", reason="comes with the extra export")

FACE = Path(ferzoo.__file__).parent / "deploy" / "face.jpg"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The face that comes with ferzoo, turned and lit: 16 to calibrate on, and 6 of other sizes to measure."""
    root = tmp_path_factory.mktemp("faces")
    face = Image.open(FACE).convert("RGB")
    for split, count in (("train", 16), ("validation", 6)):
        for i in range(count):
            path = root / split / ("happy", "neutral")[i % 2] / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            side = 48 if split == "train" else 40 + i
            turned = np.asarray(face.rotate(2 * i - count).resize((side, side))) * (1 - 0.03 * i)
            Image.fromarray(turned.astype(np.uint8)).save(path)
    return root


@pytest.mark.parametrize("whole", [False, True])
def test_the_accuracy_of_the_file_is_measured(
    whole: bool, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "net.onnx"
    inside = ["--preprocess", "--softmax", "--json"] if whole else []
    assert main(["export", "lanmsff", str(out), "--int8", str(folder), "--dataset", "folder", *inside]) == 0
    said = capsys.readouterr().out
    file, data = OnnxFile(out), folder / "validation"
    assert (file.preprocess, file.softmax) == (whole, whole)
    before = ferzoo.evaluate("lanmsff", data.parent, dataset="folder", split="validation")["accuracy"]
    after = ferzoo.evaluate(out, data.parent, dataset="folder", split="validation")["accuracy"]
    if not whole:
        assert f"accuracy on folder validation: {before:.2f} %, in int8 {after:.2f} %" in said
        assert "of the 16 faces that it was calibrated on keep their label" in said
        return
    assert (json.loads(said)["accuracy_float32"], json.loads(said)["accuracy_int8"]) == (before, after)
    names = [{"neutral": "neutral", "happiness": "happy"}.get(name, "") for name in file.cfg["label_names"]]
    [scores] = file(np.asarray(Image.open(FACE).convert("RGB"))[None])
    assert json.loads(said)["agreement"] >= 0.8 and scores.sum() == pytest.approx(1, abs=1e-4)
    columns = [i for i, name in enumerate(names) if name]
    right = [
        names[columns[int(file(np.asarray(Image.open(path))[None])[0, columns].argmax())]] == path.parent.name
        for path in data.rglob("*.png")
    ]
    assert after == pytest.approx(100 * np.mean(right), abs=0.01)


def test_data_that_cannot_be_read_leaves_no_file(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train").symlink_to(folder / "train")
    out = tmp_path / "net.onnx"
    assert main(["export", "lanmsff", str(out), "--int8", str(tmp_path / "data"), "--dataset", "folder"]) == 2
    assert "validation" in capsys.readouterr().err and not out.exists()


def test_the_data_set_is_that_of_the_weights_and_without_validation_its_test_split_is_measured(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    small = dataclasses.replace(DATASETS["folder"], name="fer2013", counts={"train": 17, "test": 6})
    monkeypatch.setitem(DATASETS, "fer2013", small)
    data, out = tmp_path / "data", tmp_path / "net.onnx"
    data.mkdir()
    for name, there in (("train", "train"), ("test", "validation")):
        (data / name).symlink_to(folder / there)
    assert main(["export", "lanmsff.fer2013", str(out), "--int8", str(data)]) == 2
    assert "read what is there with --partial" in capsys.readouterr().err and not out.exists()
    assert main(["export", "lanmsff.fer2013", str(out), "--int8", str(data), "--partial"]) == 0
    assert "accuracy on fer2013 test: " in capsys.readouterr().out
    out.unlink()
    assert main(["export", "lanmsff", str(out), "--int8", str(folder)]) == 2
    assert "ferplus was taken unasked: name another data set by --dataset NAME" in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize(
    ("model", "out", "message"),
    [
        ("lanmsff", "net.xml", "int8 is for ONNX files"),
        ("lanmsff", "net.txt", "the suffix says the format"),
        ("lanmsff", "", "is a folder"),
        ("lanmsf", "net.onnx", "Did you mean 'lanmsff'"),
        ("net.pt", "net.onnx", "with torch.jit.load"),
        ("other.onnx", "net.onnx", "is exported already"),
    ],
)
def test_what_is_wrong_is_said_before_the_data_is_read(
    model: str, out: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / out
    if not out:
        target = tmp_path / "net.onnx"
        target.mkdir()
    assert main(["export", model, str(target), "--int8", str(tmp_path / "nowhere")]) == 2
    said = capsys.readouterr().err
    assert message in said and "nowhere" not in said


@pytest.mark.parametrize(
    "option",
    [["--dataset", "folder"], ["--partial"], ["--skip-damaged"], ["--class-names", "a,b"], ["--columns", "a,b"]],
)
def test_options_of_the_data_need_data(option: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "lanmsff", str(tmp_path / "net.onnx"), *option]) == 2
    assert f"{option[0]} is for the data of --int8" in capsys.readouterr().err and not list(tmp_path.iterdir())
