"""`ferzoo predict` from outside: what is printed where, exit codes, and what is written."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

COLUMNS = ["file", "face", "x1", "y1", "x2", "y2", "label", "score", "calm", "cross", "glad", "saved", "error"]


@pytest.fixture
def folder(tmp_path, astronaut) -> Path:
    """A good photograph, one without a face, and four files that cannot be read."""
    from test_images import png_of

    folder = tmp_path / "photos"
    folder.mkdir()
    shutil.copy(astronaut, folder / "a.jpg")
    Image.new("RGB", (100, 100), "grey").save(folder / "plain.png")
    (folder / "empty.jpg").touch()
    (folder / "huge.png").write_bytes(png_of(10_000, 10_000))
    (folder / "notes.txt").write_text("not an image")
    (folder / "cut.jpg").write_bytes(astronaut.read_bytes()[:5000])
    return folder


REASONS = {"empty.jpg": "empty", "huge.png": "100 megapixels", "notes.txt": "no image", "cut.jpg": "truncated"}


def test_table(run, astronaut) -> None:
    code, out, err = run(astronaut)
    head, row = out.splitlines()
    assert code == 0 and err == ""
    assert head.split() == ["image", "box", "label", "score", "best", "three"]
    assert row.startswith(str(astronaut)) and any(label in row for label in ("calm", "cross", "glad"))


def test_json_of_a_folder_reports_each_file(run, folder) -> None:
    code, out, err = run(folder, "--json")
    images = {Path(image["file"]).name: image for image in json.loads(out)}
    assert code == 1
    assert sorted(images) == sorted(path.name for path in folder.iterdir())
    (face,) = images["a.jpg"]["faces"]
    assert images["a.jpg"]["width"] == 512 and images["a.jpg"]["error"] is None
    assert sum(face["scores"].values()) == pytest.approx(1) and face["score"] == max(face["scores"].values())
    assert images["plain.png"]["message"] == "no face found" and images["plain.png"]["error"] is None
    for name, reason in REASONS.items():
        assert reason in images[name]["error"] and images[name]["faces"] == []
        assert any(name in line and reason in line for line in err.splitlines())
    assert "4 of 6 images had errors" in err and "No face was found in 1 of 6 images" in err


def test_csv(run, folder) -> None:
    code, out, _ = run(folder / "*", "--csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert code == 1 and list(rows[0]) == COLUMNS
    by_name = {Path(row["file"]).name: row for row in rows}
    assert sum(float(by_name["a.jpg"][name]) for name in ("calm", "cross", "glad")) == pytest.approx(1, abs=1e-4)
    assert by_name["a.jpg"]["face"] == "1" and int(by_name["a.jpg"]["x1"]) < int(by_name["a.jpg"]["x2"])
    assert by_name["plain.png"]["face"] == "0" and by_name["plain.png"]["error"] == ""
    assert "truncated" in by_name["cut.jpg"]["error"]


def test_a_class_that_is_called_as_a_column(run, astronaut, checkpoint, tmp_path) -> None:
    shutil.copytree(checkpoint, tmp_path / "named")
    config = tmp_path / "named" / "config.json"
    config.write_text(config.read_text().replace('"glad"', '"score"'))
    code, out, err = run(astronaut, "--csv", model=tmp_path / "named")
    assert code == 2 and out == "" and "would be called score: a class, or" in err
    assert run(astronaut, "--json", model=tmp_path / "named")[0] == 0


def test_no_face_and_no_detect_in_words(run, folder) -> None:
    code, out, err = run(folder / "plain.png")
    assert code == 0 and "no face found" in out and "--no-detect" in err
    code, out, err = run(folder / "plain.png", "--no-detect")
    assert code == 0 and "whole image" in out and "taken whole" in err


def test_without_opencv(run, folder, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", None)
    code, out, err = run(folder / "a.jpg")
    assert code == 2 and out == "" and 'pip install "ferzoo[faces]"' in err and "--no-detect" in err
    assert run(folder / "a.jpg", "--no-detect")[0] == 0


def test_missing_and_bare_paths_do_not_stop_the_rest(run, folder, tmp_path) -> None:
    (tmp_path / "bare").mkdir()
    code, out, err = run(tmp_path / "bare", tmp_path / "*.gif", tmp_path / "gone.jpg", folder / "a.jpg", "--json")
    assert code == 1
    assert [bool(image["error"]) for image in json.loads(out)] == [True, True, True, False]
    assert "no such file" in err and "No file matches" in err


@pytest.mark.parametrize(
    "arguments",
    [("--margin", "9"), ("--margin", "nan"), ("--batch-size", "0"), ("--threads", "x"), ("--json", "--csv")],
)
def test_wrong_arguments(run, astronaut, arguments) -> None:
    code, out, err = run(astronaut, *arguments)
    assert code == 2 and out == "" and arguments[0] in err


@pytest.mark.parametrize("more", [(), ("-o", "rows.csv"), ("--no-detect",)])
def test_an_exported_file_takes_no_device(run, astronaut, tmp_path, monkeypatch, more) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.onnx").write_bytes(b"")
    code, _, err = run(astronaut, "--device", "cuda", *more, model="net.onnx")
    assert code == 2 and "An ONNX file runs as it is, on the CPU: leave out device." in err
    assert not Path("rows.csv").exists()


def test_unknown_model_and_device(run, astronaut) -> None:
    code, _, err = run(astronaut, model="lfnbs")
    assert code == 2 and "'lfnsb'" in err
    code, _, err = run(astronaut, model="./nowhere")
    assert code == 2 and "no folder nowhere" in err
    code, _, err = run(astronaut, "--device", "tpu9")
    assert code == 2 and "tpu9" in err


def test_options_change_the_result(run, astronaut) -> None:
    def scores(*options: object) -> dict[str, float]:
        return json.loads(run(astronaut, "--json", *options)[1])[0]["faces"][0]["scores"]

    assert scores("--threads", 1, "--batch-size", 1) == pytest.approx(scores(), abs=1e-4)
    assert scores("--margin", 0.5) != pytest.approx(scores(), abs=1e-4)
    assert json.loads(run(astronaut, "--json", "--min-face", 300)[1])[0]["faces"] == []


def test_save_one(run, astronaut, tmp_path) -> None:
    out = tmp_path / "drawn.png"
    code, text, _ = run(astronaut, "--save", out, "--json")
    assert code == 0
    (image,) = json.loads(text)
    x1, y1, x2, y2 = image["faces"][0]["box"]
    assert image["saved"] == str(out)
    before, after = (np.asarray(Image.open(path).convert("RGB")).astype(int) for path in (astronaut, out))
    changed = abs(before - after).max(2) > 0
    assert changed[y1 : y1 + 2, x1:x2].all() and changed[y1:y2, x1 : x1 + 2].all()
    assert not changed[y1 + 20 : y2 - 20, x1 + 20 : x2 - 20].any() and not changed[y2 + 60 :].any()


def test_save_a_folder(run, folder, tmp_path) -> None:
    (folder / "deep").mkdir()
    shutil.copy(folder / "a.jpg", folder / "deep" / "A.jpg")
    Image.new("RGB", (9, 9)).save(folder / "b.gif")
    code, _, _ = run(folder, folder / "deep", "--save", tmp_path / "new" / "out")
    assert code == 1
    names = sorted(path.name for path in (tmp_path / "new" / "out").iterdir())
    assert names == ["A-2.jpg", "a.jpg", "b.png", "plain.png"]


def test_save_never_overwrites_an_input(run, folder, tmp_path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    os.symlink(folder / "a.jpg", tmp_path / "link.jpg")
    os.link(folder / "a.jpg", tmp_path / "hard.jpg")
    for arguments in (
        (folder / "a.jpg", "--save", folder / "a.jpg"),
        (folder / "a.jpg", "--save", tmp_path / "link.jpg"),
        (folder / "a.jpg", "--save", tmp_path / "hard.jpg"),
        (folder / "a.jpg", "--save", folder / ".." / "photos" / "a.jpg"),
        (folder, "--save", folder),
        (folder / "*.jpg", "--save", folder),
    ):
        code, out, err = run(*arguments)
        assert code == 2 and out == "" and "overwritten" in err
    assert before == {path.name: path.read_bytes() for path in folder.iterdir()}


def test_save_says_early_what_is_wrong(run, folder, tmp_path, monkeypatch) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr("ferzoo.predict.predictor.Predictor.__init__", work)
    (tmp_path / "file").touch()
    for arguments, reason in (
        ((folder / "a.jpg", "--save", tmp_path / "x.gif"), "unknown suffix"),
        ((folder / "a.jpg", "--save", tmp_path / "x"), "unknown suffix"),
        ((folder / "a.jpg", "--save", tmp_path / "gone" / "x.png"), "no folder"),
        ((folder / "a.jpg", "--save", tmp_path / "file" / "x.png"), "no folder"),
        ((folder, "--save", tmp_path / "x.png"), "folder"),
        ((folder, "--save", tmp_path / "file"), "is a file"),
        ((folder, "--save", tmp_path / "file" / "deeper"), "cannot be made"),
    ):
        code, out, err = run(*arguments)
        assert code == 2 and out == "" and reason in err


def test_a_picture_that_cannot_be_written_is_reported(run, astronaut, tmp_path, monkeypatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    code, out, err = run(astronaut, "--save", tmp_path / "x.png", "--json")
    (image,) = json.loads(out)
    assert code == 1 and "No space" in err and "No space" in image["error"]
    assert len(image["faces"]) == 1 and image["saved"] is None
    assert list(tmp_path.iterdir()) == []


def test_progress_on_a_terminal(run, folder, monkeypatch) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert "6/6 images, 4 errors" in run(folder)[2]
    monkeypatch.undo()
    assert "6/6" not in run(folder)[2]
