"""Exported files: what they give, what they say of themselves, and what is refused."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from test_formats import of_torchscript, tiny

import ferzoo
from ferzoo.cli.main import main
from ferzoo.data.transforms import eval_transform
from ferzoo.deploy import export as module
from ferzoo.deploy import formats
from ferzoo.deploy.formats import FORMATS, format_of
from ferzoo.errors import CheckpointError, FerzooError, UnknownNameError
from ferzoo.registry import entry_points as ep
from ferzoo.registry.exported import OnnxFile
from ferzoo.registry.load import load_model

pytest.importorskip("onnxruntime", reason="comes with the extra export")
onnx = pytest.importorskip("onnx", reason="comes with the extra export")
PHOTO = Path(module.__file__).with_name("face.jpg")


def needs(kind: str) -> None:
    if kind == "openvino":
        pytest.importorskip("openvino", reason="comes with the extra openvino")


def network(name: str = "lanmsff", **kwargs: Any) -> torch.nn.Module:
    """A network whose running statistics are not those of the start."""
    torch.manual_seed(5)
    model = ferzoo.create_model(name, **kwargs).eval()
    for key, tensor in model.state_dict().items():
        if key.endswith(("running_mean", "running_var")):
            tensor.uniform_(0.5, 1.5)
    return model


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A file that the command wrote into a new folder, and what it said."""
    path, said = tmp_path_factory.mktemp("onnx") / "deep" / "net.onnx", io.StringIO()
    with contextlib.redirect_stdout(said):
        assert main(["export", "lanmsff", str(path), "--faces", str(PHOTO), "--json"]) == 0
    return path, json.loads(said.getvalue())


@pytest.fixture
def exported(command: tuple[Path, Any]) -> Path:
    return command[0]


@pytest.mark.usefixtures("shrunk")  # exporters take long for deep networks
@pytest.mark.parametrize("name", sorted(ep.entries("model")))
def test_every_network_becomes_onnx(name: str, tmp_path: Path) -> None:
    model: Any = network(name, num_classes=5, img_size=64)
    done = ferzoo.export(model, tmp_path / "net.onnx", size=None if model.img_size else 64)
    file = OnnxFile(done.path)
    x = torch.randn(4, *file.cfg["input_size"])
    with torch.no_grad():
        expected = model(x)
    found = torch.from_numpy(file(x.numpy()))
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()
    assert done.relative < 1e-4 and file.num_classes == 5 and file.architecture == name
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in ("onnx", "aotinductor")])
@pytest.mark.parametrize("preprocess", [False, True])
def test_every_format_gives_what_the_network_gives(kind: str, preprocess: bool, tmp_path: Path) -> None:
    needs(kind)
    model = network("lanmsff" if preprocess else "lfnsb_fast", num_classes=3)
    path = tmp_path / f"net{FORMATS[kind].suffix}"
    done = ferzoo.export(model, path, kind, size=48, preprocess=preprocess, softmax=preprocess)
    run = FORMATS[kind].load(path)
    if preprocess:
        x = torch.randint(0, 256, (2, 75, 61, 3), dtype=torch.uint8)
        cfg = {**model.pretrained_cfg, "input_size": (1, 48, 48)}
        faces = torch.stack([eval_transform(cfg)(Image.fromarray(picture.numpy())) for picture in x])
        with torch.no_grad():
            expected = model(faces).softmax(1)
        # Pillow rounds between its two passes: single grey levels differ.
        assert (run(x) - expected).abs().max() < 0.02
    else:
        x = torch.randn(3, 3, 48, 48)
        with torch.no_grad():
            assert (run(x) - model(x)).abs().max() < 1e-4
    assert done.format == kind and done.size_bytes >= path.stat().st_size


def test_the_file_says_what_it_is(exported: Path) -> None:
    proto = onnx.load(exported)
    onnx.checker.check_model(proto, full_check=True)
    [opset] = [entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx")]
    assert opset >= 18 and len(proto.graph.input) == 1
    batch, *sides = proto.graph.input[0].type.tensor_type.shape.dim
    assert batch.dim_param and [d.dim_value for d in sides] == [1, 48, 48]
    facts = {entry.key: json.loads(entry.value) for entry in proto.metadata_props}
    expected = ferzoo.create_model("lanmsff", pretrained=True).pretrained_cfg
    assert facts["label_names"] == list(expected["label_names"])
    assert facts["ferzoo"]["cfg"]["mean"] == list(expected["mean"]) and "file" not in facts["ferzoo"]["cfg"]
    text = exported.read_bytes()
    assert str(Path(ferzoo.__file__).parent).encode() not in text and b"torch/nn" not in text


def test_the_shipped_weights_are_what_is_exported(exported: Path) -> None:
    model = ferzoo.create_model("lanmsff", pretrained=True).eval()
    x = torch.randn(2, *model.pretrained_cfg["input_size"])
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(OnnxFile(exported)(x.numpy())), model(x), atol=1e-4)


def test_a_network_of_timms(tmp_path: Path) -> None:
    model = timm.create_model("test_resnet", num_classes=4).eval()
    model.pretrained_cfg = {**model.pretrained_cfg, "label_names": ["a", "b", "c", "d"]}
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    assert ferzoo.export(model, tmp_path / "r.onnx", size=64).relative < 1e-4
    after = model.state_dict()
    assert before.keys() == after.keys() and all(torch.equal(tensor, after[key]) for key, tensor in before.items())


@pytest.mark.parametrize("preprocess", [False, True])
def test_a_network_of_timms_for_grey_faces(preprocess: bool, tmp_path: Path) -> None:
    model = timm.create_model("test_efficientnet", num_classes=3, in_chans=1).eval()
    assert model.pretrained_cfg["input_size"][0] == 3, "it is told by nobody"
    done = ferzoo.export(model, tmp_path / "g.pt", size=np.int64(64), preprocess=preprocess)
    cfg = json.loads(of_torchscript(done.path))["cfg"]
    assert cfg["input_size"] == [1, 64, 64] and len(cfg["mean"]) == len(cfg["std"]) == 1
    assert done.input == ("RGB pictures (N, H, W, 3), uint8" if preprocess else "faces (N, 1, 64, 64), float32")


def test_commands_take_the_file(exported: Path) -> None:
    model: Any = load_model(exported)
    original: Any = ferzoo.create_model("lanmsff", pretrained=True).eval()
    assert model.num_classes == 8 and model.ferzoo_cfg["grayscale"] is True
    x = torch.randn(2, 1, 48, 48)
    with torch.no_grad():
        assert torch.allclose(model(x), original(x), atol=1e-4)
    with pytest.raises(FerzooError, match="Faces are PIL images, got a str"):
        ferzoo.export("lanmsff", exported.with_name("x.onnx"), faces=["a.jpg"])
    with pytest.raises(FerzooError, match="nothing to count"):
        ferzoo.profile(model)
    with pytest.raises(FerzooError, match="is exported already"):
        ferzoo.export(exported, "other.onnx")
    with pytest.raises(CheckpointError, match="is an export: push the network"):
        ferzoo.push_to_hub(exported, "me/x", dry_run="nowhere")
    with pytest.raises(CheckpointError, match="does not take a batch of shape"):
        OnnxFile(exported)(np.zeros((1, 3, 48, 48), np.float32))


def test_a_file_with_probabilities_and_one_with_pictures(tmp_path: Path) -> None:
    model = tiny()
    model[0].weight.data /= 20  # no class takes all
    ferzoo.export(model, tmp_path / "p.onnx", softmax=True)
    x = torch.randn(2, *model.pretrained_cfg["input_size"])
    with torch.no_grad():
        expected = model(x).softmax(1)
    assert torch.allclose(torch.from_numpy(OnnxFile(tmp_path / "p.onnx")(x.numpy())), expected, atol=1e-5)
    assert torch.allclose(load_model(tmp_path / "p.onnx")(x).softmax(1), expected, atol=1e-5)
    ferzoo.export(model, tmp_path / "w.onnx", preprocess=True)
    with pytest.raises(CheckpointError, match="only ferzoo predict takes"):
        load_model(tmp_path / "w.onnx")


def test_a_file_that_gives_something_else_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net.onnx").write_bytes(b"what was there")
    good = formats.FORMATS["onnx"]

    def wrong(path: Path) -> Any:
        run = good.load(path)
        return lambda x: run(x) * (1 + 2 * module.LIMIT)

    changed = dataclasses.replace(good, load=wrong)
    monkeypatch.setitem(formats.FORMATS, "onnx", changed)
    with pytest.raises(FerzooError, match=r"gives other outputs than the network.*Nothing was written"):
        ferzoo.export(tiny(), tmp_path / "net.onnx")
    assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
    assert (tmp_path / "net.onnx").read_bytes() == b"what was there"


@pytest.mark.parametrize(
    ("path", "name", "message"),
    [
        ("net", None, "the suffix says the format, one of .onnx"),
        ("net.pth", None, "the suffix says the format"),
        ("net.onnx", "onyx", "Did you mean 'onnx'"),
        ("net.onnx", "openvino", "openvino ends in .xml"),
    ],
)
def test_formats_that_are_none(path: str, name: str | None, message: str) -> None:
    with pytest.raises((FerzooError, UnknownNameError), match=message):
        format_of(Path(path), name)


def test_networks_that_cannot_be_exported(tmp_path: Path) -> None:
    with pytest.raises(FerzooError, match="does not say input_size, mean, std"):
        ferzoo.export(torch.nn.Linear(2, 2), tmp_path / "x.onnx")
    with pytest.raises(FerzooError, match="no classifier"):
        ferzoo.export(ferzoo.create_model("lanmsff", num_classes=0), tmp_path / "x.onnx")
    odd = network()
    odd.pretrained_cfg = {**odd.pretrained_cfg, "interpolation": "lanczos"}
    with pytest.raises(FerzooError, match="'lanczos' cannot go inside"):
        ferzoo.export(odd, tmp_path / "x.onnx", preprocess=True)
    odd.pretrained_cfg = {**odd.pretrained_cfg, "label_names": ("a", "b")}
    with pytest.raises(FerzooError, match="names 2 of its 8 classes: set label_names"):
        ferzoo.export(odd, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


class Odd(torch.nn.Module):
    """A network whose outputs are none, or none of any batch."""

    def __init__(self, forward: Any) -> None:
        super().__init__()
        self.convolution, self.last, self.num_classes = torch.nn.Conv2d(3, 4, 16), forward, 4
        self.pretrained_cfg = {"input_size": (3, 16, 16), "mean": (0.5,) * 3, "std": (0.5,) * 3}

    def forward(self, x: torch.Tensor) -> Any:
        return self.last(self.convolution(x).flatten(1))


@pytest.mark.parametrize("softmax", [False, True])
@pytest.mark.parametrize(
    ("last", "message"),
    [
        (lambda x: (x, x), r"odd gives a tuple for 2 faces, not its logits \(2, 4\) alone"),
        (lambda x: x[:, :3], r"odd gives a tensor \(2, 3\) for 2 faces, not its logits \(2, 4\) alone"),
        (lambda x: x * float("nan"), "odd gives NaN or infinity: its weights are damaged"),
        (lambda x: x.no_such(), "odd cannot be run on faces of 3x16x16: 'Tensor' object has no attribute 'no_such'"),
    ],
    ids=["two", "too few", "no numbers", "an error"],
)
def test_networks_that_give_no_logits(last: Any, message: str, softmax: bool, tmp_path: Path) -> None:
    with pytest.raises(FerzooError, match=message):
        ferzoo.export(Odd(last), tmp_path / "x.pt", softmax=softmax)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["x.onnx", "x.pt"])
def test_networks_that_depend_on_the_batch(name: str, tmp_path: Path) -> None:
    odd = Odd(lambda x: torch.cat([x[i : i + 1] for i in range(len(x))]))
    with pytest.raises(FerzooError, match=r"does not run on every batch.*\. Nothing was written") as caught:
        ferzoo.export(odd, tmp_path / name)
    assert str(tmp_path) not in str(caught.value) and not list(tmp_path.iterdir())


@pytest.mark.parametrize("size", [0, -3, 4.5, 100_000])
def test_sizes_that_are_none(size: Any, tmp_path: Path) -> None:
    with pytest.raises(FerzooError, match=f"size is height and width in pixels, 1 to 4,096; got {size}"):
        ferzoo.export(tiny(), tmp_path / "x.pt", size=size)


def test_a_network_built_for_another_size(tmp_path: Path) -> None:
    args: dict[str, Any] = {"depth": 1, "embed_dim": 16, "num_heads": 2, "img_size": 32, "num_classes": 3}
    model = timm.create_model("vit_tiny_patch16_224", **args)
    with pytest.raises(FerzooError, match=r"cannot be run on faces of 3x224x224: .*Give the size in pixels"):
        ferzoo.export(model, tmp_path / "x.pt")
    assert ferzoo.export(model, tmp_path / "x.pt", size=32).relative < 1e-4


@pytest.mark.parametrize(("kind", "name"), [("onnx", "A.ONNX"), ("torchscript", "A.PT"), ("openvino", "A.XML")])
def test_suffixes_in_upper_case(kind: str, name: str, tmp_path: Path) -> None:
    needs(kind)
    done = ferzoo.export(tiny(), tmp_path / name)
    assert (done.path, done.format) == (str(tmp_path / name), kind)
    files = {path.name for path in tmp_path.iterdir()}
    assert files == {name, "A.bin"} if kind == "openvino" else {name}


@pytest.mark.parametrize("content", [b"", b"no onnx", b"{}"])
def test_files_that_are_no_export(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"x\.onnx"):
        OnnxFile(tmp_path / "x.onnx")


def test_somebody_elses_onnx_is_refused(exported: Path, tmp_path: Path) -> None:
    proto = onnx.load(exported)
    del proto.metadata_props[:]
    onnx.save(proto, tmp_path / "x.onnx")
    with pytest.raises(CheckpointError, match="export it with `ferzoo export`"):
        OnnxFile(tmp_path / "x.onnx")


def test_the_command(command: tuple[Path, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, said = command
    assert said["faces"] == 2 and said["relative"] < 1e-4 and said["size_bytes"] == path.stat().st_size
    assert main(["export", "lanmsff", str(tmp_path / "net.tflite")]) == 2
    assert "the suffix says the format" in capsys.readouterr().err
