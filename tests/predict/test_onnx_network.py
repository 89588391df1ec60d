"""`Predictor` on an ONNX file: the same faces, without torch."""

from __future__ import annotations

import copy
import csv
import io
import pickle
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from mean_colour import MeanColour
from PIL import Image

import ferzoo
from ferzoo.cli.main import main
from ferzoo.deploy import export as module
from ferzoo.errors import WeightsNotFoundError
from ferzoo.predict.onnx_network import OnnxNetwork
from ferzoo.predict.scoring import score
from ferzoo.predict.scoring_job import Settings
from ferzoo.predict.scoring_pipeline import Pipeline

pytest.importorskip("onnxruntime", reason="comes with the extra export")
pytest.importorskip("onnx", reason="comes with the extra export")
PHOTO = Path(module.__file__).with_name("face.jpg")


@pytest.fixture
def files(lanmsff_onnx: Path, lanmsff_whole_onnx: Path) -> tuple[str, Path, Path]:
    return "lanmsff", lanmsff_onnx, lanmsff_whole_onnx


def test_it_gives_what_torch_gives(files: tuple[str, Path, Path]) -> None:
    name, raw, whole = files
    rng = np.random.default_rng(3)
    pictures = [Image.open(PHOTO), *(rng.integers(0, 256, (61 + i, 70, 3), dtype=np.uint8) for i in range(3))]
    expected = ferzoo.Predictor(name, detect=False)(pictures)
    for file, limit in ((raw, 1e-5), (whole, 0.02)):
        found = ferzoo.Predictor(file, detect=False, threads=1)(pictures)
        for (a,), (b,) in zip(expected, found, strict=True):
            assert a.scores.keys() == b.scores.keys()
            assert max(abs(a.scores[key] - b.scores[key]) for key in a.scores) < limit
        assert found[0][0].label == expected[0][0].label == "happiness"


class Grey(MeanColour):
    """A network of three channels that was trained on faces without colours."""

    ferzoo_cfg: ClassVar[dict[str, bool]] = {"grayscale": True}

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return x


def test_it_takes_the_colours_away_where_the_network_does(tmp_path: Path) -> None:
    """As LFNSB, which has three channels, all of them grey."""
    network = Grey().eval()
    ferzoo.export(network, tmp_path / "net.onnx")
    rng = np.random.default_rng(5)
    coloured = [Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)) for _ in range(3)]
    expected, found = (ferzoo.Predictor(one, detect=False)(coloured) for one in (network, tmp_path / "net.onnx"))
    grey = ferzoo.Predictor(tmp_path / "net.onnx", detect=False)([picture.convert("L") for picture in coloured])
    for (a,), (b,), (c,) in zip(expected, found, grey, strict=True):
        assert max(abs(a.scores[key] - b.scores[key]) for key in a.scores) < 1e-5
        assert b.scores == c.scores


@pytest.mark.parametrize("again", [lambda one: pickle.loads(pickle.dumps(one)), copy.deepcopy])
def test_copies_give_the_same(files: tuple[str, Path, Path], again: Any) -> None:
    predictor = ferzoo.Predictor(files[1], detect=False, threads=1)
    picture = Image.effect_noise((48, 48), 60).convert("RGB")
    (found,), (expected,) = again(predictor)(picture), predictor(picture)
    assert found.scores == pytest.approx(expected.scores, abs=1e-6)


def test_few_packages_are_imported(files: tuple[str, Path, Path]) -> None:
    """What ferzoo depends on may be missing, but for what the page on deployment names."""
    code = f"""
import sys, ferzoo
[face] = ferzoo.Predictor({str(files[1])!r}, detect=False)({str(PHOTO)!r})
assert face.label == "happiness", face
missing = {{"torch", "torchvision", "timm", "huggingface_hub", "safetensors", "fvcore", "yaml", "onnx", "cv2"}}
print(sorted(missing & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


def test_what_a_file_cannot_do(files: tuple[str, Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="leave out embedding, dtype, device"):
        ferzoo.Predictor(files[1], detect=False, embedding=True, dtype="bfloat16", device="cuda")
    with pytest.raises(WeightsNotFoundError, match="There is no file"):
        ferzoo.Predictor(tmp_path / "none.onnx", detect=False)


def test_the_command_takes_it(files: tuple[str, Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(PHOTO), "--no-detect", "--model", str(files[1])]) == 0
    assert "happiness" in capsys.readouterr().out


@pytest.mark.parametrize("whole", [False, True])
def test_scoring_crops_from_many_threads(
    whole: bool, files: tuple[str, Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two threads are in the network at once, and the rows are those that one gives."""
    file, crops = files[1 + whole], tmp_path / "crops"
    crops.mkdir()
    rng = np.random.default_rng(7)
    for i in range(22):
        Image.fromarray(rng.integers(0, 256, (52, 49, 3), dtype=np.uint8)).save(crops / f"{i:02}.png")
    meeting, callers = threading.Barrier(2), list[int]()
    run = OnnxNetwork.run

    def met(self: OnnxNetwork, batches: list[np.ndarray]) -> object:
        callers.append(threading.get_ident())
        if len(callers) <= 2 and workers == 2 and threads == 2:
            meeting.wait(timeout=60)
        return run(self, batches)

    monkeypatch.setattr(OnnxNetwork, "run", met)
    rows = {}
    for workers, threads in ((1, 1), (2, 2), (2, 3), (3, 2)):
        callers.clear()
        out = tmp_path / f"{workers}{threads}.csv"
        score(crops, out, file, detect=False, batch_size=5, workers=workers, threads=threads)
        rows[workers, threads] = out.read_bytes()
        # A file that resizes by itself takes one picture at a time anyway: groups are small, as pictures are large.
        assert len(callers) == (6 if whole and workers <= threads else 5)
        # With fewer threads for the network than image threads it is called from this one.
        assert (threading.get_ident() in callers) == (workers > threads)
    if not whole:
        assert len(set(rows.values())) == 1
        return
    # ONNX Runtime resizes in as many parts as it has threads: the sixth decimal may differ (docs/scoring.md).
    one, *others = (list(csv.reader(io.StringIO(text.decode()))) for text in rows.values())
    for other in others:
        assert [row[:7] for row in other] == [row[:7] for row in one]
        for found, expected in zip(other[1:], one[1:], strict=True):
            scores = [[float(score) for score in row[7:-1]] for row in (found, expected)]
            assert scores[0] == pytest.approx(scores[1], abs=2e-6)


@pytest.mark.parametrize(
    ("detect", "workers", "threads", "own"), [(False, 2, 2, 1), (False, 2, 5, 4), (False, 3, 2, 2), (True, 2, 2, 2)]
)
def test_the_threads_of_a_session_that_scores(
    detect: bool, workers: int, threads: int, own: int, files: tuple[str, Path, Path]
) -> None:
    """Threads that call it compute, too."""
    settings = Settings(files[1], detect, (lambda rgb: []) if detect else None, threads=threads, workers=workers)
    session = Pipeline(settings).predictor.network.file._session
    assert session.get_session_options().intra_op_num_threads == own
