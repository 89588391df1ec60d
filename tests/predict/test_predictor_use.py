"""A `Predictor` in other processes, in several threads, without torch, and with a single image to stream."""

from __future__ import annotations

import copy
import io
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from mean_colour import MeanColour
from PIL import Image

import ferzoo
from ferzoo.errors import CheckpointError, ImageError, VideoError
from ferzoo.predict import haar
from ferzoo.predict.haar import HaarDetector, limit_opencv
from ferzoo.predict.predictor import Predictor
from ferzoo.predict.video import TrackedFace, VideoFrame
from ferzoo.predict.video_output import RowFile

IMAGE = np.random.default_rng(2).integers(0, 256, (48, 48, 3), dtype=np.uint8)


def test_a_detector_may_work_in_place() -> None:
    def dim(rgb: np.ndarray) -> list[list[int]]:
        rgb //= 4
        return [[0, 0, 48, 48]]

    picture = IMAGE.copy()
    (found,) = Predictor(MeanColour(), detector=dim)(picture)
    (expected,) = Predictor(MeanColour(), detector=lambda rgb: [[0, 0, 48, 48]])(IMAGE)
    assert found.scores == pytest.approx(expected.scores) and (picture == IMAGE).all()


@pytest.mark.parametrize("number", [np.int64(2), np.uint8(2)])
def test_numbers_of_numpy(number: Any) -> None:
    predictor = Predictor(MeanColour(), detect=False, batch_size=number, threads=number, margin=np.float32(0.5))
    values = predictor.batch_size, predictor.threads, predictor.margin
    assert values == (2, 2, 0.5) and [type(value) for value in values] == [int, int, float]
    assert len(predictor(IMAGE)) == 1


@pytest.mark.parametrize("kind", ["array", "grey", "pil", "path"])
def test_one_image_to_stream(tmp_path: Path, kind: str) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    given = {"array": IMAGE, "grey": IMAGE[:, :, 0], "pil": Image.fromarray(IMAGE), "path": tmp_path / "a.png"}[kind]
    predictor = Predictor(MeanColour(), detect=False)
    (only,) = predictor.stream(given)
    assert only.source is given if kind != "path" else only.source == given
    assert (only.width, only.height) == (48, 48) and only.faces == predictor(given)


def test_many_images_to_stream() -> None:
    predictor = Predictor(MeanColour(), detect=False)
    several = np.empty(3, dtype=object)
    several[:] = [IMAGE] * 3
    for many in (np.stack([IMAGE] * 3), [IMAGE] * 3, iter([IMAGE] * 3), several):
        assert [len(one.faces) for one in predictor.stream(many)] == [1, 1, 1]


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_no_images(kind: type) -> None:
    data = io.BytesIO()
    Image.fromarray(IMAGE).save(data, "png")
    predictor = Predictor(MeanColour(), detect=False)
    with pytest.raises(ImageError, match=rf"not {kind.__name__}\. The bytes of a file: PIL.Image.open\(io.BytesIO"):
        predictor(kind(data.getvalue()))
    (only,) = predictor.stream(kind(data.getvalue()))
    assert kind.__name__ in str(only.error)


def test_an_open_file_is_no_image(tmp_path: Path) -> None:
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    predictor = Predictor(MeanColour(), detect=False)
    with (tmp_path / "a.png").open("rb") as file:
        for opened in (file, io.BytesIO(file.read())):
            name = type(opened).__name__
            with pytest.raises(ImageError, match=rf"not {name}\. An open file: PIL.Image.open\(file\)"):
                predictor(opened)
            (only,) = predictor.stream(opened)  # type: ignore[arg-type]
            assert name in str(only.error)


def test_a_grabber_with_a_method_read_is_no_open_file() -> None:
    class Grabber:
        def read(self) -> tuple[bool, np.ndarray]:
            return True, IMAGE

        def __iter__(self) -> Iterator[np.ndarray]:
            return (self.read()[1] for _ in range(3))

    predictor = Predictor(MeanColour(), detect=False)
    assert [len(one.faces) for one in predictor.stream(Grabber())] == [1, 1, 1]
    assert [len(frame.faces) for frame in predictor.video(Grabber(), fps=25)] == [1, 1, 1]


@pytest.mark.parametrize("method", [None, "gradcam"])
def test_a_network_of_timms_for_other_channels(method: str | None) -> None:
    def predict(channels: int) -> Any:
        torch.manual_seed(0)
        model = timm.create_model("test_resnet", in_chans=channels, num_classes=2)
        assert model.pretrained_cfg["input_size"][0] == 3, "it is told by nobody"
        model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, 32, 32)}
        predictor = Predictor(model, detect=False)
        if method is None:
            return predictor(IMAGE)
        pytest.importorskip("captum", reason="comes with the extra explain")
        return [one.face for one in ferzoo.explain(IMAGE, predictor, method)]

    (face,) = predict(1)
    assert list(face.scores) == ["class 0", "class 1"]
    with pytest.raises(CheckpointError, match="ResNet takes 4 channels; faces are grey, 1, or in colour, 3"):
        predict(4)


@pytest.mark.parametrize("taken", [3, 4], ids=["expanded", "taken apart"])
def test_a_grey_network_whose_convolution_takes_more(taken: int) -> None:
    class Grey(torch.nn.Module):
        pretrained_cfg = {"input_size": (1, 32, 32), "mean": (0.5,), "std": (0.5,), "first_conv": "first"}
        num_classes = 2

        def __init__(self) -> None:
            super().__init__()
            self.first, self.head = torch.nn.Conv2d(taken, 2, 1), torch.nn.Flatten()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            assert x.shape[1] == 1
            x = x.expand(-1, 3, -1, -1) if taken == 3 else torch.nn.functional.pixel_unshuffle(x, 2)
            return self.first(x).mean((2, 3))

    assert len(Predictor(Grey(), detect=False)(IMAGE)) == 1


@pytest.mark.parametrize("again", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy])
@pytest.mark.parametrize("kind", ["network", "folder"])
def test_copies_give_the_same(checkpoint: Path, astronaut: Path, kind: str, again: Any) -> None:
    pytest.importorskip("cv2", reason="comes with the extra faces")
    predictor = Predictor(MeanColour() if kind == "network" else checkpoint, min_face=40, threads=1)
    expected = predictor(astronaut)
    copied = again(predictor)
    found = copied(astronaut)
    assert copied.labels == predictor.labels and found[0].box == expected[0].box
    assert list(found[0].scores.values()) == pytest.approx(list(expected[0].scores.values()), abs=1e-6)
    detector = copied.detector
    assert (detector.min_face, detector.threads) == (40, 1) and detector is not predictor.detector


def test_opencv_gets_its_threads_back(monkeypatch: pytest.MonkeyPatch) -> None:
    cv2: Any = pytest.importorskip("cv2", reason="comes with the extra faces")
    before = cv2.getNumThreads()
    cv2.setNumThreads(3)
    try:
        first, second = threading.Event(), threading.Event()

        def one() -> None:
            with limit_opencv(1):
                first.set()
                second.wait(60)

        thread = threading.Thread(target=one)
        thread.start()
        first.wait(60)
        with limit_opencv(2):  # begins while the other is inside, and ends after it
            assert cv2.getNumThreads() == 1
            second.set()
            thread.join()
            assert cv2.getNumThreads() == 2
        assert cv2.getNumThreads() == 3
        with pytest.raises(KeyError), limit_opencv(1):
            raise KeyError
        assert cv2.getNumThreads() == 3
        seen = []
        monkeypatch.setattr(haar, "limit_opencv", lambda count: seen.append(count) or limit_opencv(count))
        HaarDetector(threads=1)(IMAGE)
        HaarDetector()(IMAGE)
        assert seen == [1, None] and cv2.getNumThreads() == 3
    finally:
        cv2.setNumThreads(before)


@pytest.mark.parametrize("missing", ["torch", "timm"])
def test_without_torch(missing: str, tmp_path: Path) -> None:
    """Whatever is asked for, the answer says what to install, or what to give instead."""
    (tmp_path / "x.png").write_bytes(b"")
    code = f"""
import sys
sys.modules[{missing!r}] = None
import ferzoo
from ferzoo.cli.main import main
from ferzoo.errors import FerzooError
for model in ("lfnsb", "x.png", "a.xml", "a.pt", None):
    try:
        ferzoo.Predictor(model, detect=False)
    except FerzooError as error:
        print(type(error).__name__, error)
sys.exit(main(["predict", "x.png", "--no-detect"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    lines = done.stdout.splitlines()
    needs = f"needs the package {missing}: pip install torch timm. Or give an .onnx file, which"
    assert done.returncode == 2 and needs in done.stderr and "Traceback" not in done.stderr
    assert lines[0].startswith("FerzooError The network 'lfnsb'") and lines[1].startswith(
        "FerzooError The network 'x.png'"
    )
    assert all(needs in line and "ferzoo runs .onnx alone" in line for line in lines[:2])
    assert all(line.startswith("CheckpointError") and "ferzoo runs .onnx alone" in line for line in lines[2:4])
    assert lines[4] == "OptionError model must be a name with weights, a path or a network, got NoneType."


def test_an_array_without_dimensions_is_one_thing() -> None:
    with pytest.raises(ImageError, match="An image array must be uint8"):
        ferzoo.Predictor("lanmsff", detect=False)(np.array("photo.jpg"))


def test_rows_of_a_video_on_a_full_disk(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs Linux")
    face = TrackedFace((0, 0, 2, 2), "a", {"a": 1.0}, None, None, track=1, raw={"a": 1.0})
    frame, path = VideoFrame(0, 0.0, [face], IMAGE), tmp_path / "rows.jsonl"
    with (
        pytest.raises(VideoError, match=r"rows\.jsonl cannot be written: No space left"),
        RowFile(str(path), ["a"]) as rows,
    ):
        rows.write(frame)
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, rows._file.fileno())
        os.close(full)
        for _ in range(10_000):
            rows.write(frame)


def test_a_full_standard_output() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs Linux")
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "ferzoo.cli.main", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (2, "ferzoo list: standard output: No space left on device\n")
