"""`ferzoo predict SOURCE -o FILE` from outside."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ferzoo.predict.scoring_job import Settings
from ferzoo.predict.scoring_rate import main as main_of_the_rate
from ferzoo.predict.scoring_rate import scoring_rate


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "crops"
    folder.mkdir()
    for i in range(9):
        Image.new("RGB", (40, 40), (20 * i, 30, 200)).save(folder / f"{i}.png")
    return folder


def test_rows_and_counts(run: Any, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows.csv"
    code, stdout, err = run(folder, "--no-detect", "-o", out, "--batch-size", 4)
    assert code == 0 and stdout == ""
    assert f"9 images, 9 faces, 9 rows in {out}; " in err and "images/s." in err
    plain = run(folder, "--no-detect", "--csv", "--batch-size", 4)[1]
    ours = list(csv.DictReader(out.open(encoding="utf-8")))
    theirs = [{k: v for k, v in row.items() if k != "saved"} for row in csv.DictReader(plain.splitlines())]
    assert ours == theirs
    code, stdout, err = run(folder, "--no-detect", "-o", out, "--batch-size", 4, "--resume", "--json")
    assert code == 0 and json.loads(stdout)["resumed"] == 9 and "9 of the images in earlier runs" in err


def test_damaged_images_and_lists(run: Any, folder: Path, tmp_path: Path) -> None:
    (folder / "4.png").write_bytes(b"x")
    (tmp_path / "list.txt").write_text("\n".join(map(str, sorted(folder.iterdir()))))
    code, _, err = run(tmp_path / "list.txt", "--no-detect", "-o", tmp_path / "r.jsonl")
    assert code == 1 and "1 images could not be read" in err
    code, _, err = run(tmp_path / "list.txt", "--no-detect", "-o", tmp_path / "s.jsonl", "--stop-on-error")
    assert code == 2 and "4.png" in err


def test_what_is_said_before_the_work(run: Any, folder: Path, tmp_path: Path) -> None:
    for arguments, said in (
        ((tmp_path / "list.txt",), "list.txt is for many images"),
        ((tmp_path / "s.tar",), "add -o rows.csv"),
        ((folder, "--resume"), "--resume is for many images"),
        ((folder, "--ray-address", "auto"), "--ray-address is for many images"),
        ((folder, "-o", tmp_path / "r.csv", "--fps", 5), "--fps is for videos and cameras, not for images"),
        ((folder, "-o", tmp_path / "r.csv", "--save", tmp_path / "x"), "leave out --save"),
        ((folder, "-o", tmp_path / "r.png", "--no-detect"), "written to .csv, .jsonl, .parquet"),
        ((tmp_path / "none.tar", "-o", tmp_path / "r.csv"), "there is no such file"),
    ):
        code, out, err = run(*arguments)
        assert code == 2 and out == "" and said in err
    assert [path.name for path in tmp_path.iterdir()] == ["crops"]


def test_without_ray(run: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    code, _, err = run(folder, "--no-detect", "-o", tmp_path / "r.csv", "--ray")
    assert code == 2 and 'pip install "ferzoo[ray]"' in err


def test_an_onnx_file_scores_without_torch(folder: Path, tmp_path: Path, lanmsff_onnx: Path) -> None:
    import ferzoo

    code = f"""
import sys
from ferzoo.predict.scoring import score
done = score({str(folder)!r}, {str(tmp_path / "r.csv")!r}, {str(lanmsff_onnx)!r}, detect=False, threads=1)
print(done.faces, sorted({{"torch", "torchvision", "timm", "ray"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "9 []"
    expected = ferzoo.Predictor("lanmsff", detect=False)(folder)
    for (face,), row in zip(expected, csv.DictReader((tmp_path / "r.csv").open(encoding="utf-8")), strict=True):
        assert {name: float(row[name]) for name in face.scores} == pytest.approx(face.scores, abs=1e-5)


def test_the_rate_is_that_of_all_images(folder: Path, checkpoint: Path) -> None:
    found = scoring_rate(str(folder), Settings(checkpoint, detect=False, threads=1, batch_size=4), images=8, repeats=2)
    assert (found["images"], found["faces"], len(found["ratios"])) == (8, 8, 2)
    assert found["end_to_end"] > 0 and found["network"] > 0 and found["ratio"] > 0


def test_the_rate_says_in_one_line_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main_of_the_rate(["gone.tar", "--model", "lfnbs"])
    said = capsys.readouterr().err
    assert stop.value.code == 2 and "ferzoo.predict.scoring_rate: Unknown model 'lfnbs'" in said
    assert said.count("\n") == 1
