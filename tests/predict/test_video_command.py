"""`ferzoo predict CLIP` and `--camera`: rows, tables, the drawn video, and what is kept when it stops."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from video_clips import find_squares, portrait, scene, walk, write_clip

from ferzoo.predict.haar import HaarDetector
from ferzoo.registry.exported import METADATA

cv2: Any = pytest.importorskip("cv2", reason="comes with the extra faces")
LABELS = ("calm", "cross", "glad")


@pytest.fixture(autouse=True)
def squares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Squares are faces."""
    monkeypatch.setattr(HaarDetector, "__call__", lambda self, rgb: find_squares(rgb))


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.avi", walk(10))


def test_the_table_of_the_tracks(run: Any, clip: Path) -> None:
    code, out, err = run(clip)
    head, *rows = out.splitlines()
    assert code == 0 and head.split() == ["track", "from", "to", "frames", "labels"]
    assert [row.split()[:6] for row in rows] == [[n, "0.00", "s", "0.36", "s", "10"] for n in ("1", "2")]
    assert "10 frames, 20 faces, 2 tracks. 0.40 s of video in " in err and " times real time, " in err


def test_a_clip_of_a_photograph(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through a real file and the real detector: one face, that goes right by 4 px a frame."""
    monkeypatch.undo()
    code, text, err = run(write_clip(tmp_path / "face.avi", portrait(12)), "--json")
    rows = [json.loads(line) for line in text.splitlines()]
    assert code == 0 and "12 frames, 12 faces, 1 tracks." in err
    assert [(row["frame"], row["track"]) for row in rows] == [(i, 1) for i in range(12)]
    assert rows[-1]["box"][0] - rows[0]["box"][0] == pytest.approx(4 * 11, abs=8)


def test_a_clip_without_a_face_says_what_to_do(run: Any, tmp_path: Path) -> None:
    code, _, err = run(write_clip(tmp_path / "empty.avi", [scene()] * 3))
    assert code == 0 and "No face was found in any frame. For small faces lower --min-face." in err


def test_csv_and_json_lines_are_equal(run: Any, clip: Path, tmp_path: Path) -> None:
    code, text, _ = run(clip, "--csv", "-o", tmp_path / "rows.jsonl")
    assert code == 0
    rows = list(csv.DictReader(io.StringIO(text)))
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(rows) == len(lines) == 20
    expected = ["frame", "time", "track", "x1", "y1", "x2", "y2", "label", "score"]
    assert list(rows[0]) == [*expected, *LABELS, *(f"raw {name}" for name in LABELS)]
    for row, line in zip(rows, lines, strict=True):
        assert [int(row[name]) for name in ("x1", "y1", "x2", "y2")] == line["box"]
        assert (int(row["frame"]), float(row["time"]), int(row["track"])) == (
            line["frame"],
            line["time"],
            line["track"],
        )
        assert (row["label"], float(row["score"])) == (line["label"], line["score"])
        for name in LABELS:
            assert float(row[name]) == line["scores"][name] and float(row[f"raw {name}"]) == line["raw"][name]
    code, text, _ = run(clip, "--json", "-o", tmp_path / "rows.csv")
    assert code == 0 and [json.loads(line) for line in text.splitlines()] == lines
    assert list(csv.DictReader((tmp_path / "rows.csv").open())) == rows


def test_options_reach_the_predictor(run: Any, clip: Path) -> None:
    def scores(*options: object) -> list[dict[str, Any]]:
        return [json.loads(line) for line in run(clip, "--json", *options)[1].splitlines()]

    assert all(line["scores"] == line["raw"] for line in scores("--smoothing", 0))
    assert any(line["scores"] != line["raw"] for line in scores())
    assert scores("--fps", 10)[-1]["time"] == 0.9
    assert len(scores("--detect-every", 4, "--batch-frames", 3)) == 20


@pytest.mark.parametrize("name", ["drawn.mp4", "drawn.avi", "drawn.mov"])
def test_the_drawn_video(run: Any, clip: Path, tmp_path: Path, name: str) -> None:
    assert run(clip, "--save", tmp_path / name)[0] == 0
    capture = cv2.VideoCapture(str(tmp_path / name))
    assert (capture.get(cv2.CAP_PROP_FPS), capture.get(cv2.CAP_PROP_FRAME_COUNT)) == (25, 10)
    plain = cv2.VideoCapture(str(clip))
    for i in range(10):
        drawn, before = (np.asarray(c.read()[1]).astype(int) for c in (capture, plain))
        changed = np.abs(drawn - before).max(2) > 60
        # The blue square's label stands above it; far from both squares nothing is drawn.
        assert changed[28:42, 160 - 3 * i : 184 - 3 * i].mean() > 0.3 and not changed[74:].any()
    assert {path.name for path in tmp_path.iterdir()} == {clip.name, name}


@pytest.mark.skipif(os.name == "nt", reason="names have no colons and files no such rights here")
def test_a_drawn_video_in_a_folder_of_a_time(
    run: Any, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("10:00:00").mkdir()
    before = os.umask(0o027)
    try:
        assert run(clip, "--save", "10:00:00/drawn.mp4")[0] == 0
    finally:
        os.umask(before)
    assert [(p.name, p.stat().st_mode & 0o777) for p in Path("10:00:00").iterdir()] == [("drawn.mp4", 0o640)]


def test_a_duration_that_the_picture_does_not_fill_is_a_note(run: Any, tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", walk(5))
    data = bytearray(path.read_bytes())
    # RFC 9559, 5.1.2.10: milliseconds, as where the sound is longer.
    struct.pack_into(">d", data, data.index(b"\x44\x89\x88") + 3, 3000.0)
    path.write_bytes(data)
    code, out, err = run(path, "--json")
    assert code == 0 and len({json.loads(line)["frame"] for line in out.splitlines()}) == 5
    assert "clip.mkv: 5 of about 75 frames could be read" in err and "damaged:" not in err


def test_a_damaged_file_is_told_and_its_rows_kept(run: Any, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", walk(40))
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    code, out, err = run(clip, "-o", tmp_path / "rows.csv", "--save", tmp_path / "drawn.avi")
    frames = {row["frame"] for row in csv.DictReader((tmp_path / "rows.csv").open())}
    assert code == 1 and f"is damaged: {len(frames)} of 40 frames could be read" in err
    assert 0 < len(frames) < 25 and out.startswith("track") and (tmp_path / "drawn.avi").exists()


def test_what_cannot_be_is_said_before_the_work(run: Any, clip: Path, tmp_path: Path, monkeypatch: Any) -> None:
    def work(*_: object, **__: object) -> None:
        raise AssertionError("the work began")

    monkeypatch.setattr("ferzoo.predict.predictor.Predictor.__init__", work)
    before = clip.read_bytes()
    os.link(clip, tmp_path / "link.avi")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "mine.csv").write_text("mine")
    for arguments, reason in (
        ((), "Nothing to predict"),
        ((clip, clip), "has to stand alone"),
        ((clip, "--camera", 0), "has to stand alone"),
        (("a.jpg", "--smoothing", 1), "--smoothing is for videos"),
        ((tmp_path / "gone.mp4",), "No such file"),
        ((tmp_path / "empty.mp4",), "is empty"),
        ((clip, "-o", tmp_path / "rows.txt"), "unknown suffix"),
        ((clip, "-o", tmp_path / "gone" / "rows.csv"), "no folder"),
        ((clip, "--save", tmp_path / "drawn.jpg"), "unknown suffix"),
        ((clip, "--save", clip), "overwritten"),
        ((clip, "--save", tmp_path / "link.avi"), "overwritten"),
        ((clip, "-o", tmp_path / "mine.csv"), "mine.csv: is there already. Choose another name"),
        ((clip, "-o", tmp_path / "r.csv", "--resume"), "--resume is for many images (-o rows.csv), not for a video"),
        (("--camera", 0, "--ray-workers", 2), "--ray-workers is for many images (-o rows.csv), not for a video"),
        ((clip, "--detect-every", 0), "--detect-every"),
        ((clip, "--max-gap", -1), "--max-gap"),
        (("--camera", "x"), "--camera"),
    ):
        code, out, err = run(*arguments)
        assert code == 2 and out == "" and reason in err, arguments
    assert clip.read_bytes() == before and (tmp_path / "mine.csv").read_text() == "mine"


def test_so_many_frames_are_not_held(run: Any, clip: Path) -> None:
    for option in ("--detect-every", "--batch-frames"):
        code, out, err = run(clip, option, 101)
        assert code == 2 and out == "" and f"{option[2:].replace('-', '_')} must be 1 to 100, got 101" in err


def test_a_folder_may_be_called_as_a_video(run: Any, tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").mkdir()
    Image.fromarray(walk(1)[0]).save(tmp_path / "clip.mp4" / "a.png")
    assert run(tmp_path / "clip.mp4")[0] == 0
    assert run(tmp_path / "clip.mp4", "-o", tmp_path / "rows.csv")[0] == 0
    assert len((tmp_path / "rows.csv").read_text().splitlines()) == 3


class Interrupt:
    """Finds squares in two frames; then somebody presses Ctrl-C."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, rgb: np.ndarray) -> Any:
        self.calls += 1
        if self.calls == 3:
            raise KeyboardInterrupt
        return find_squares(rgb)


class Endless:
    """A camera before which nothing moves."""

    def isOpened(self) -> bool:  # noqa: N802
        return True

    def get(self, what: int) -> float:
        return 30.0

    def read(self) -> tuple[bool, np.ndarray]:
        time.sleep(0.001)
        return True, walk(1)[0][:, :, ::-1]

    def release(self) -> None:
        pass


def test_ctrl_c_ends_a_camera_cleanly(run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    kind, seen = cv2.VideoCapture, Interrupt()
    monkeypatch.setattr(cv2, "VideoCapture", lambda source: Endless() if source == 0 else kind(source))
    monkeypatch.setattr(HaarDetector, "__call__", lambda self, rgb: seen(rgb))
    code, out, err = run("--camera", 0, "-o", tmp_path / "rows.csv", "--save", tmp_path / "drawn.avi")
    rows = list(csv.DictReader((tmp_path / "rows.csv").open()))
    assert code == 0 and out.startswith("track") and "2 frames, 4 faces" in err
    assert len(rows) == 4 and (tmp_path / "drawn.avi").exists()


def test_ctrl_c_keeps_the_rows_of_a_file(run: Any, clip: Path, tmp_path: Path, monkeypatch: Any) -> None:
    seen = Interrupt()
    monkeypatch.setattr(HaarDetector, "__call__", lambda self, rgb: seen(rgb))
    options = ("-o", tmp_path / "rows.csv", "--save", tmp_path / "drawn.avi", "--batch-frames", 1)
    code, _, err = run(clip, *options)
    assert code == 130 and "interrupted" in err
    assert [row["frame"] for row in csv.DictReader((tmp_path / "rows.csv").open())] == ["0", "0", "1", "1"]
    assert {path.name for path in tmp_path.iterdir()} == {"clip.avi", "rows.csv"}


def test_an_onnx_file_needs_no_torch(clip: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="comes with the extra export")
    mean_colour(tmp_path / "colours.onnx")
    code = f"""
import sys
from video_clips import find_squares
from ferzoo.cli.main import main
from ferzoo.predict.haar import HaarDetector
HaarDetector.__call__ = lambda self, rgb: find_squares(rgb)
assert main(["predict", {str(clip)!r}, "--model", {str(tmp_path / "colours.onnx")!r}, "--csv"]) == 0
print(sorted({{"torch", "torchvision", "timm"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
    *lines, modules = done.stdout.splitlines()
    rows = list(csv.DictReader(lines))
    assert modules == "[]" and len(rows) == 20
    assert [(row["track"], row["label"]) for row in rows] == [("1", "red"), ("2", "blue")] * 10


def mean_colour(path: Path) -> None:
    """Write an ONNX file whose logits are ten times the means of the colours."""
    onnx: Any = pytest.importorskip("onnx", reason="comes with the extra export")
    helper, floats = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("GlobalAveragePool", ["x"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("Mul", ["flat", "ten"], ["logits"]),
    ]
    ends = [helper.make_tensor_value_info("x", floats, ["n", 3, 8, 8])]
    ends.append(helper.make_tensor_value_info("logits", floats, ["n", 3]))
    ten = helper.make_tensor("ten", floats, [1], [10.0])
    graph = helper.make_graph(nodes, "colours", ends[:1], ends[1:], [ten])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    cfg = {"input_size": [3, 8, 8], "mean": [0, 0, 0], "std": [1, 1, 1], "label_names": ["red", "green", "blue"]}
    facts = {"architecture": "colours", "cfg": cfg, "ferzoo": {}, "num_classes": 3}
    helper.set_model_props(model, {METADATA: json.dumps({**facts, "preprocess": False, "softmax": False})})
    onnx.save(model, str(path))
