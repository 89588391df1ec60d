"""int8 files: what becomes int8, what they keep, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from test_formats import tiny

import ferzoo
from ferzoo.data.transforms import eval_transform
from ferzoo.deploy import export as module
from ferzoo.errors import FerzooError
from ferzoo.registry.exported import OnnxFile

pytest.importorskip("onnxruntime", reason="comes with the extra export")
onnx = pytest.importorskip("onnx", reason="comes with the extra export")


@pytest.fixture(scope="module")
def faces() -> list[Image.Image]:
    """The face that comes with ferzoo, turned and lit in 24 ways."""
    face = Image.open(Path(module.__file__).with_name("face.jpg")).convert("RGB")
    turned = [face.rotate(angle) for angle in range(-12, 12, 2)]
    return [
        *turned,
        *(Image.fromarray((np.asarray(face) * light).astype(np.uint8)) for light in np.linspace(0.5, 1, 12)),
    ]


def test_an_int8_file(faces: list[Image.Image], tmp_path: Path) -> None:
    narrow, original = tmp_path / "narrow.onnx", ferzoo.create_model("lanmsff", pretrained=True).eval()
    done = ferzoo.export("lanmsff", narrow, int8=faces)
    assert done.agreement is not None and done.agreement >= 0.8
    in_float32 = 4 * sum(tensor.numel() for tensor in original.state_dict().values())
    assert narrow.stat().st_size < in_float32 / 2
    proto = onnx.load(narrow)
    onnx.checker.check_model(proto)
    count = Counter(node.op_type for node in proto.graph.node)
    assert count["QuantizeLinear"] > 20 and count["Conv"] > 10
    weights = [t for t in proto.graph.initializer if t.data_type == onnx.TensorProto.INT8 and len(t.dims) == 4]
    assert len(weights) >= count["Conv"] - 2
    # Two products of uint8 and seven bits fit into int16, in which processors with AVX2 alone add them.
    assert 60 <= max(abs(onnx.numpy_helper.to_array(t).astype(int)).max() for t in weights) <= 64

    file = OnnxFile(narrow)
    assert file.cfg["label_names"] == list(original.pretrained_cfg["label_names"]) and file.ferzoo["grayscale"] is True
    x = torch.stack([eval_transform(original.pretrained_cfg)(face) for face in faces])
    with torch.no_grad():
        expected = original(x).softmax(1)
    found = torch.from_numpy(file(x.numpy())).softmax(1)
    assert (found - expected).abs().max() < 0.2
    assert not torch.allclose(found, expected, atol=1e-5), "it is float32"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["narrow.onnx"]


def test_what_is_refused(faces: list[Image.Image], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(FerzooError, match="16 real faces or more, got 3"):
        ferzoo.export("lanmsff", tmp_path / "x.onnx", int8=faces[:3])
    with pytest.raises(FerzooError, match="got 0"):
        ferzoo.export("lanmsff", tmp_path / "x.onnx", int8=iter(()))
    with pytest.raises(FerzooError, match="int8 is for ONNX files"):
        ferzoo.export("lanmsff", tmp_path / "x.pt2", int8=faces)
    monkeypatch.setattr(module, "LEAST_AGREEMENT", 1.1)
    with pytest.raises(FerzooError, match=r"keep their label, less than 110%.*Nothing was written"):
        ferzoo.export(tiny(), tmp_path / "x.onnx", int8=faces)
    assert not list(tmp_path.iterdir())
