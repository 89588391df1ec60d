"""Formats but ONNX: which batches and pictures they take, what they say of themselves; and what is checked of all."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ferzoo
from ferzoo.cli.main import main
from ferzoo.deploy.bench_networks import find_network
from ferzoo.deploy.formats import FORMATS, check_export, check_target, format_of
from ferzoo.deploy.whole import Whole
from ferzoo.errors import CheckpointError, FerzooError
from ferzoo.registry.exported import METADATA, OPENED_BY, OnnxFile
from ferzoo.registry.load import load_model
from ferzoo.train.recipe import Recipe

#: Those that this machine need not compile.
KINDS = [kind for kind in FORMATS if kind != "aotinductor"]
CFG = {"architecture": "tiny", "input_size": (3, 16, 16), "mean": (0.4, 0.5, 0.6), "std": (0.5,) * 3}
CFG["label_names"] = ("calm", "glad", "sad", "cross")


def needs(kind: str) -> None:
    if kind in ("onnx", "openvino"):
        pytest.importorskip("onnxscript", reason="comes with the extra export")
        pytest.importorskip("onnxruntime", reason="comes with the extra export")
    if kind == "openvino":
        pytest.importorskip("openvino", reason="comes with the extra openvino")


def tiny() -> Any:
    """A network of one convolution, whose outputs are large where faces differ."""
    torch.manual_seed(3)
    model: Any = nn.Sequential(nn.Conv2d(3, 4, 16), nn.Flatten()).eval()
    model[0].weight.data.normal_()
    model.pretrained_cfg, model.num_classes = CFG, 4
    return model


@pytest.mark.parametrize("kind", KINDS)
def test_any_batch(kind: str, tmp_path: Path) -> None:
    needs(kind)
    model, path = tiny(), tmp_path / f"net{FORMATS[kind].suffix}"
    ferzoo.export(model, path)
    run = FORMATS[kind].load(path)
    for count in (1, 5000):
        x = torch.randn(count, 3, 16, 16)
        with torch.no_grad():
            assert torch.allclose(run(x), model(x), atol=1e-3)


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("kind", KINDS)
def test_pictures_of_any_size(kind: str, interpolation: str, tmp_path: Path) -> None:
    needs(kind)
    model, path = tiny(), tmp_path / f"net{FORMATS[kind].suffix}"
    model.pretrained_cfg = {**CFG, "interpolation": interpolation}
    ferzoo.export(model, path, preprocess=True)
    run, eager = FORMATS[kind].load(path), Whole(model, model.pretrained_cfg, preprocess=True).eval()
    for shape in ((1, 1, 1), (1, 4, 4), (2, 7, 3), (1, 200, 150), (2, 3, 20_000), (1, 20_000, 2), (5000, 4, 5)):
        x = torch.randint(0, 256, (*shape, 3), dtype=torch.uint8)
        with torch.no_grad():
            expected = eager(x)
            error = (run(x) - expected).abs().amax(1) / expected.abs().max()
        # A value halfway between two grey levels may go either way.
        assert error.median() < 1e-4 and error.max() < 0.01, (shape, error)


def of_openvino(path: Path) -> str:
    import openvino

    return openvino.Core().read_model(path).get_rt_info(METADATA).value


def of_torchscript(path: Path) -> str:
    files = {"ferzoo.json": ""}
    torch.jit.load(str(path), _extra_files=files)
    return files["ferzoo.json"]


def of_program(path: Path) -> str:
    files = {"ferzoo.json": ""}
    torch.export.load(str(path), extra_files=files)
    return files["ferzoo.json"]


@pytest.mark.parametrize(
    ("kind", "read"), [("openvino", of_openvino), ("torchscript", of_torchscript), ("torch", of_program)]
)
def test_a_file_says_what_it_is(kind: str, read: Callable[[Path], str], tmp_path: Path) -> None:
    needs(kind)
    path = tmp_path / f"net{FORMATS[kind].suffix}"
    ferzoo.export(tiny(), path, softmax=True)
    facts = json.loads(read(path))
    cfg = {key: list(value) if isinstance(value, tuple) else value for key, value in CFG.items()}
    assert facts["cfg"] == cfg and facts["ferzoo"] == {"grayscale": False}
    assert facts["version"] == ferzoo.__version__ and facts["architecture"] == "tiny" and facts["num_classes"] == 4
    assert (facts["preprocess"], facts["softmax"]) == (False, True)


@pytest.mark.parametrize("suffix", OPENED_BY)
def test_files_that_others_run(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"net{suffix}").write_bytes(b"whatever it holds")
    openers: list[Callable[[str], object]] = [
        load_model,
        lambda name: load_model(Path(name)),
        ferzoo.create_model,
        lambda name: ferzoo.Predictor(name, detect=False),
        find_network,
        lambda name: ferzoo.export(name, "other.onnx"),
    ]
    for name in (f"net{suffix}", f"./net{suffix}", f"NET{suffix.upper()}", f"lanmsff{suffix}"):
        for opener in openers:
            with pytest.raises(CheckpointError, match=r"of exported files ferzoo runs \.onnx alone") as caught:
                opener(name)
            assert f"{suffix} with {OPENED_BY[suffix]}" in str(caught.value)


def test_every_format_but_onnx_has_an_opener() -> None:
    assert set(OPENED_BY) == {form.suffix for form in FORMATS.values()} - {".onnx"}


def test_a_folder_may_end_as_an_export_does(tmp_path: Path) -> None:
    (tmp_path / "runs.pt").mkdir()
    with pytest.raises(CheckpointError, match=r"runs\.pt has no config\.json"):
        load_model(tmp_path / "runs.pt")


@pytest.fixture
def unbuilt(monkeypatch: pytest.MonkeyPatch) -> None:
    """No network is loaded: what is wrong is seen before."""

    def load(*_: object) -> None:
        raise AssertionError("a network was loaded")

    monkeypatch.setattr("ferzoo.deploy.export.load_model", load)
    monkeypatch.setattr("ferzoo.registry.load.load_model", load)


@pytest.mark.usefixtures("unbuilt")
def test_where_no_file_can_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out.onnx").mkdir()
    (tmp_path / "net.bin").mkdir()
    (tmp_path / "t.txt").write_text("a file", encoding="utf-8")
    wrong = {
        "out.onnx": "is a folder: give the path of a file",
        "net.xml": r"net\.bin is a folder",
        "t.txt/x.onnx": r"cannot be written: .*t\.txt is no folder",
        "t.txt/deep/x.pt": r"cannot be written: .*t\.txt is no folder",
    }
    for name, message in wrong.items():
        with pytest.raises(FerzooError, match=message):
            ferzoo.export("lanmsff", tmp_path / name)
    assert main(["export", "lanmsff", str(tmp_path / "out.onnx")]) == 2
    assert "out.onnx is a folder" in capsys.readouterr().err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["net.bin", "out.onnx", "t.txt"]


def test_names_that_are_no_text(tmp_path: Path) -> None:
    """Bytes of another encoding, or of UTF-8 in a locale without it."""
    name = f"{tmp_path}/\udcfc.onnx"
    Path(name).touch()
    for refused in (
        lambda: ferzoo.export(tiny(), name),
        lambda: ferzoo.export(tiny(), f"{tmp_path}/\udcfc.pt2"),
        lambda: OnnxFile(name),
        lambda: Recipe.load(None, ["out=\udcfc"]),
    ):
        with pytest.raises(FerzooError, match=r"\\udcfc.*' holds bytes that are no text in .*: take another name"):
            refused()


def test_where_a_file_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.onnx").write_bytes(b"what was there")
    for path in ("x.onnx", "there.onnx", "new/folder/x.onnx", str(tmp_path / "other" / "x.onnx")):
        assert check_export("lanmsff", path) == "onnx"
    assert [p.name for p in tmp_path.iterdir()] == ["there.onnx"]


@pytest.mark.parametrize("name", ["net.onnx", "net.xml", "late.xml", "net.pt", "net.pt2"])
def test_a_full_disk(name: str, largest_file: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file may become longer than 2 kB."""
    # Before the limit, as PyTorch 2.6 writes a longer file of its own when its compiler is imported.
    importlib.import_module("torch._dynamo")
    needs(format_of(Path(name)))
    monkeypatch.chdir(tmp_path)
    Path(name).write_text("what was there", encoding="utf-8")
    limit, why = largest_file(2000), "File too large"
    if name == "late.xml":  # OpenVINO's own file is the one that does not fit
        import openvino

        save, why = openvino.save_model, "OpenVINO's writer fails, as it does on a full disk"

        def save_on_a_full_disk(*args: Any, **kwargs: Any) -> None:
            with limit:
                save(*args, **kwargs)

        monkeypatch.setattr(openvino, "save_model", save_on_a_full_disk)
    with pytest.raises(FerzooError) as caught, contextlib.nullcontext() if name == "late.xml" else limit:
        ferzoo.export(tiny(), name)
    assert str(caught.value) == f"{name} cannot be written: {why}. Choose another place."
    assert [(p.name, p.read_text(encoding="utf-8")) for p in tmp_path.iterdir()] == [(name, "what was there")]


def test_what_the_system_refuses_is_said_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(tmp_path / ".export-something"))

    monkeypatch.setattr("tempfile.mkdtemp", refuse)
    with pytest.raises(FerzooError, match=r"net\.pt cannot be written: Permission denied\. Choose") as caught:
        ferzoo.export(tiny(), tmp_path / "net.pt")
    assert ".export-" not in str(caught.value) and not list(tmp_path.iterdir())


def test_other_files_that_are_missing_are_not_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def write(*_: object) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", "the-compiler")

    monkeypatch.setitem(FORMATS, "torch", dataclasses.replace(FORMATS["torch"], write=write))
    with pytest.raises(FerzooError, match=r"tiny cannot be exported to torch: .*'the-compiler'\. Nothing was written"):
        ferzoo.export(tiny(), tmp_path / "net.pt2")
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="folders have no such rights here")
@pytest.mark.parametrize("rights", [0o555, 0o600])
def test_a_folder_that_is_not_ones_own(rights: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if os.geteuid() == 0:  # who may write anywhere
        monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != tmp_path)
    tmp_path.chmod(rights)
    try:
        with pytest.raises(FerzooError, match="does not allow it. Choose another place"):
            check_target(tmp_path / "deep" / "x.onnx")
    finally:
        tmp_path.chmod(0o755)
