"""Names of files in what is written: as they are in data, whatever the stream; printable on a terminal alone."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mean_colour import MeanColour
from PIL import Image

from ferzoo.cli.main import main
from ferzoo.predict.json_text import json_text
from ferzoo.predict.scoring import score
from ferzoo.predict.video import TrackedFace, VideoFrame
from ferzoo.predict.video_output import Rows

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
NAMES = [b"a\nb.png", b"a\tb.png", b"a\rb.png", b"a?b.png", b"a\xffb.png", b"a\xfeb.png", '日本, "ï".png'.encode()]
TEXTS = ["a\nb.png", "a\tb.png", "a\rb.png", "a?b.png", r"a\xffb.png", r"a\xfeb.png", '日本, "ï".png']


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "named"
    folder.mkdir()
    for i, name in enumerate(NAMES):
        Image.new("RGB", (8, 8), (30 * i, 20, 10)).save(folder / os.fsdecode(name), "png")
    return folder


def stream(monkeypatch: pytest.MonkeyPatch, encoding: str) -> io.BytesIO:
    """What is printed from now on, in an encoding."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding, newline=""))
    return raw


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_rows_tell_names_apart(folder: Path, tmp_path: Path, suffix: str) -> None:
    if suffix == ".parquet":
        parquet = pytest.importorskip("pyarrow.parquet", reason="comes with the extra train")
    out = tmp_path / f"rows{suffix}"
    score(folder, out, MeanColour(), detect=False)
    if suffix == ".csv":
        with out.open(encoding="utf-8", newline="") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
        assert {row["face"] for row in rows} == {"1"}
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    else:
        rows = parquet.read_table(out).to_pylist()
    assert sorted(row["file"] for row in rows) == sorted(f"{folder}/{name}" for name in TEXTS)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_output_in_every_encoding(
    folder: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    arguments = ["predict", str(folder), "--no-detect", "--model", str(checkpoint)]
    wanted = Counter(f"{folder}/{name}" for name in TEXTS)
    raw = stream(monkeypatch, encoding)
    assert main([*arguments, "--json"]) == 0
    text = raw.getvalue().decode()  # JSON is UTF-8
    assert Counter(row["file"] for row in json.loads(text)) == wanted
    assert ("日本" in text) == (encoding == "utf-8")
    raw = stream(monkeypatch, encoding)
    assert main([*arguments, "--csv"]) == 0
    rows = list(csv.DictReader(io.StringIO(raw.getvalue().decode(encoding), newline="")))
    found = [row["file"] for row in rows]
    assert len(set(found)) == len(NAMES) and (encoding != "utf-8" or Counter(found) == wanted)
    raw = stream(monkeypatch, encoding)
    assert main(arguments) == 0
    lines = raw.getvalue().decode(encoding).split("\n")
    assert len(lines) == len(NAMES) + 2 and sum("a?b.png" in line for line in lines) == 4


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_json_lines_of_a_video(encoding: str) -> None:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    face = TrackedFace((0, 0, 2, 2), "fröhlich", {"fröhlich": 1.0}, None, None, track=1, raw={"fröhlich": 1.0})
    Rows(file, ["fröhlich"], "jsonl").write(VideoFrame(0, 0.0, [face], np.zeros((2, 2, 3), np.uint8)))
    assert json.loads(raw.getvalue().decode())["label"] == "fröhlich"
    assert ("fröhlich" in raw.getvalue().decode()) == (encoding == "utf-8")


def test_json_of_half_a_character() -> None:
    assert json.loads(json_text({"a": "\udcff"}, io.StringIO())) == {"a": "\udcff"}
    assert json_text("ï", io.StringIO()) == '"ï"'
