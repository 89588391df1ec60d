"""`score`: rows compared with arithmetic by hand, in each format; going on, and what is refused."""

from __future__ import annotations

import csv
import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mean_colour import MeanColour
from PIL import Image

from ferzoo.errors import FerzooError, ImageError
from ferzoo.predict import scoring
from ferzoo.predict.predictor import Predictor
from ferzoo.predict.scoring import score
from ferzoo.predict.scoring_parts import Files

LABELS = ("red", "green", "blue")


def colour(i: int) -> tuple[int, int, int]:
    return (7 * i) % 256, (11 * i + 40) % 256, (13 * i + 90) % 256


def by_hand(i: int) -> list[float]:
    powers = [math.exp(10 * value / 255) for value in colour(i)]
    return [power / sum(powers) for power in powers]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """23 crops of one colour each; the sixth is damaged."""
    path = tmp_path / "crops"
    path.mkdir()
    for i in range(23):
        Image.new("RGB", (8, 8), colour(i)).save(path / f"{i:02}.png")
    (path / "05.png").write_bytes((path / "05.png").read_bytes()[:40])
    return path


def go(source: Any, out: Path, **changed: Any) -> scoring.Summary:
    return score(source, out, MeanColour(), **{"detect": False, "batch_size": 4, "workers": 2, **changed})


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    numbers = {
        "face": int,
        "score": float,
        **dict.fromkeys(("x1", "y1", "x2", "y2"), int),
        **dict.fromkeys(LABELS, float),
    }
    with path.open(encoding="utf-8", newline="") as file:
        return [
            {k: None if v == "" else numbers.get(k, str)(v) for k, v in row.items()} for row in csv.DictReader(file)
        ]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_rows_are_those_of_the_source_in_its_order(folder: Path, tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="comes with the extra train")
    out = tmp_path / f"rows{suffix}"
    done = go(folder, out)
    rows = read(out)
    assert [Path(row["file"]).name for row in rows] == [f"{i:02}.png" for i in range(23)]
    assert list(rows[0]) == ["file", "face", "x1", "y1", "x2", "y2", "label", "score", *LABELS, "error"]
    for i, row in enumerate(rows):
        if i == 5:
            assert row["face"] == 0 and row["label"] is None and row["red"] is None and "05.png" in row["error"]
            continue
        expected = by_hand(i)
        assert [row[name] for name in LABELS] == pytest.approx(expected, abs=1e-6) and row["error"] is None
        assert row["label"] == LABELS[int(np.argmax(expected))] and row["score"] == max(row[n] for n in LABELS)
        assert (row["face"], row["x1"], row["y1"], row["x2"], row["y2"]) == (1, 0, 0, 8, 8)
    assert (done.images, done.faces, done.rows, done.errors, done.faceless) == (23, 22, 23, 1, 0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crops", out.name, f"{out.name}.progress"]


def test_several_faces_and_none(tmp_path: Path) -> None:
    for i, size in enumerate((10, 30, 20)):
        Image.new("RGB", (size, 16), colour(i)).save(tmp_path / f"{i}.png")

    def faces(rgb: np.ndarray) -> list[list[int]]:
        return [[x, 0, x + 10, 10] for x in range(0, rgb.shape[1] - 10, 10)]

    done = go(str(tmp_path / "*.png"), tmp_path / "r.jsonl", detect=True, detector=faces, margin=0.0, batch_size=2)
    rows = read(tmp_path / "r.jsonl")
    assert [(Path(row["file"]).stem, row["face"], row["x1"]) for row in rows] == [
        ("0", 0, None), ("1", 1, 0), ("1", 2, 10), ("2", 1, 0),
    ]  # fmt: skip
    assert rows[0]["error"] is None and (done.faces, done.faceless, done.errors) == (3, 1, 0)


def test_a_photograph_gives_what_the_predictor_gives(astronaut: Path, tmp_path: Path) -> None:
    pytest.importorskip("cv2", reason="comes with the extra faces")
    (face,) = Predictor(MeanColour())(astronaut)
    score([astronaut, astronaut], tmp_path / "r.jsonl", MeanColour(), workers=2)
    for row in read(tmp_path / "r.jsonl"):
        assert (row["x1"], row["y1"], row["x2"], row["y2"]) == face.box
        assert [row[name] for name in LABELS] == pytest.approx(list(face.scores.values()), abs=1e-6)


def stop_after(monkeypatch: pytest.MonkeyPatch, images: int) -> None:
    """Make files raise as Ctrl-C does once so many were read."""
    real = Files.read

    def read_some(self: Files, start: int, stop: int | None) -> Any:
        for item in real(self, start, stop):
            if item.index == images:
                raise KeyboardInterrupt
            yield item

    monkeypatch.setattr(Files, "read", read_some)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("torn", [b"", b'23.png,1,0,0,"8'])
def test_it_goes_on_to_the_same_bytes(folder: Path, tmp_path: Path, monkeypatch: Any, suffix: str, torn: bytes) -> None:
    if suffix == ".parquet":
        pytest.importorskip("pyarrow", reason="comes with the extra train")
    whole, out = tmp_path / f"whole{suffix}", tmp_path / f"rows{suffix}"
    go(folder, whole)
    for images in (0, 9, 22):
        with monkeypatch.context() as context:
            stop_after(context, images)
            with pytest.raises(KeyboardInterrupt):
                go(folder, out, resume=True)
        lines = out if suffix != ".parquet" else tmp_path / "rows.parquet.rows"
        with lines.open("ab") as file:  # what a crash leaves behind the last commit
            file.write(torn)
    done = go(folder, out, resume=True)
    assert 0 < done.resumed < 23 and (done.images, done.errors) == (23, 1)
    assert read(out) == read(whole) and (suffix == ".parquet" or out.read_bytes() == whole.read_bytes())
    before = out.read_bytes()
    again = go(folder, out, resume=True)
    assert again.resumed == again.images == 23 and out.read_bytes() == before


def interrupted(folder: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as context:
        stop_after(context, 13)
        with pytest.raises(KeyboardInterrupt):
            go(folder, out)


def test_another_job_does_not_go_on(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "rows.csv"
    interrupted(folder, out, monkeypatch)
    kept = out.read_bytes()
    with pytest.raises(FerzooError, match="batch_size was 4 and is 8"):
        go(folder, out, batch_size=8, resume=True)
    other = MeanColour()
    other.scale.data.fill_(9.0)
    with pytest.raises(FerzooError, match="other weights"):
        score(folder, out, other, detect=False, batch_size=4, resume=True)
    Image.new("RGB", (8, 8)).save(folder / "00b.png")
    with pytest.raises(FerzooError, match="it had 23 images and has 24"):
        go(folder, out, resume=True)
    (folder / "00b.png").unlink()
    (folder / "22.png").rename(folder / "23.png")
    with pytest.raises(FerzooError, match="source is another"):
        go(folder, out, resume=True)
    (folder / "23.png").rename(folder / "22.png")
    assert out.read_bytes() == kept
    assert go(folder, out, resume=True).images == 23


def test_rows_are_never_overwritten(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "rows.csv"
    out.write_text("mine")
    for resume, said in ((False, "is there already"), (True, "no journal")):
        with pytest.raises(FerzooError, match=said):
            go(folder, out, resume=resume)
    assert out.read_text() == "mine"
    out.unlink()
    interrupted(folder, out, monkeypatch)
    with pytest.raises(FerzooError, match="go on with --resume"):
        go(folder, out)
    out.write_bytes(out.read_bytes()[:50])
    with pytest.raises(FerzooError, match="50 bytes and its journal says"):
        go(folder, out, resume=True)
    (tmp_path / "rows.csv.progress").write_text("{")
    with pytest.raises(FerzooError, match="is damaged"):
        go(folder, out, resume=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_finished_job_has_its_rows(folder: Path, tmp_path: Path, suffix: str) -> None:
    out = tmp_path / f"rows{suffix}"
    go(folder, out)
    go(folder, out, resume=True)
    if suffix == ".csv":
        content = out.read_bytes()
        out.write_bytes(content[:50])
        with pytest.raises(FerzooError, match="was finished, and is changed: delete rows.csv.progress"):
            go(folder, out, resume=True)
    out.unlink()
    with pytest.raises(FerzooError, match="was finished, and is gone"):
        go(folder, out, resume=True)


def test_rows_in_the_folder_of_the_images(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted(folder, folder / "rows.csv", monkeypatch)
    assert go(folder, folder / "rows.csv", resume=True).images == 23


def test_wrong_arguments(folder: Path, tmp_path: Path) -> None:
    for out, said in ((tmp_path / "r.xlsx", "written to .csv"), (tmp_path / "no" / "r.csv", "no folder")):
        with pytest.raises(FerzooError, match=said):
            go(folder, out)
    with pytest.raises(FerzooError, match="no columns to keep"):
        go(folder, tmp_path / "r.csv", keep=["label"])
    with pytest.raises(ImageError, match="No file matches"):
        go(str(tmp_path / "*.gif"), tmp_path / "r.csv")
    with pytest.raises(ValueError, match="workers"):
        go(folder, tmp_path / "r.csv", workers=0)
    assert [path.name for path in tmp_path.iterdir()] == ["crops"]


def test_it_stops_at_a_damaged_image_if_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FerzooError, match="Stopped after 4 images: .*05.png"):
        go(folder, tmp_path / "r.jsonl", stop_on_error=True)
    Image.new("RGB", (8, 8), colour(5)).save(folder / "05.png")
    assert go(folder, tmp_path / "r.jsonl", stop_on_error=True, resume=True).resumed == 4
    assert [row["face"] for row in read(tmp_path / "r.jsonl")] == [1] * 23


def test_an_error_of_the_network_is_raised_and_what_was_done_is_kept(folder: Path, tmp_path: Path) -> None:
    class Failing(MeanColour):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if len(self.batches) == 3:
                raise RuntimeError("out of memory")
            return super().forward(x)

    with pytest.raises(RuntimeError, match="out of memory"):
        score(folder, tmp_path / "r.csv", Failing(), detect=False, batch_size=4)
    state = json.loads((tmp_path / "r.csv.progress").read_text())["state"]
    assert state["images"] == 12 and (tmp_path / "r.csv").stat().st_size == state["size"]


def test_progress_tells_rate_and_time_left(folder: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    go(folder, tmp_path / "r.csv", progress=lambda *args: told.append(args))
    assert [done for _, done, _ in told] == [4, 8, 12, 16, 20, 23] and {total for *_, total in told} == {23}
    assert all("images/s" in what and "left" in what for what, *_ in told)


def test_a_second_process_is_turned_away(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    out = tmp_path / "r.csv"
    interrupted(folder, out, monkeypatch)
    with out.open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(FerzooError, match="another process"):
            go(folder, out, resume=True)
    shutil.copy(out, tmp_path / "same.csv")
    go(folder, out, resume=True)
    assert out.read_bytes().startswith((tmp_path / "same.csv").read_bytes())
