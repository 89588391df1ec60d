"""MixConv bottlenecks in other operations: the same features at any size, and graphs without changes of layout."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

import ferzoo
from ferzoo.blocks.mixconv import MixConv, MixConvBottleneck
from ferzoo.deploy.bottleneck import BlockedBottleneck, ChannelsLastBottleneck, merged_depthwise
from ferzoo.deploy.fuse import fold, fuse, fuse_for_onnxruntime, fuse_for_openvino


def trained(block: nn.Module) -> nn.Module:
    """A block whose BatchNorms and slopes are not those of the start."""
    torch.manual_seed(3)
    for key, tensor in block.state_dict().items():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif key.endswith(("running_mean", "act.weight", "bias")):
            tensor.uniform_(-0.5, 1.5)
    return block.eval()


@pytest.mark.parametrize("make", [fuse, fuse_for_onnxruntime, fuse_for_openvino])
@pytest.mark.parametrize(
    "arguments",
    [
        {"in_chs": 8, "out_chs": 8, "splits": (13, 7), "kernel_sizes": (3, 5), "residual": True},
        {"in_chs": 6, "out_chs": 10, "splits": (16, 16, 16), "kernel_sizes": (7, 3, 5), "stride": 2},
        {"in_chs": 8, "out_chs": 8, "splits": (96,), "kernel_sizes": (3,), "residual": True},
    ],
)
@pytest.mark.parametrize("size", [(14, 14), (9, 12), (1, 5)])
def test_block_gives_the_same(make, arguments, size) -> None:
    block = trained(MixConvBottleneck(**arguments)).double()
    new = make(nn.Sequential(block))[0]
    assert isinstance(new, ChannelsLastBottleneck if make is fuse else BlockedBottleneck)
    x = torch.randn(3, arguments["in_chs"], *size, dtype=torch.float64)
    with torch.no_grad():
        assert torch.allclose(new(x), block(x), atol=1e-12)
    assert {p.dtype for p in new.parameters()} == {torch.float64}


def test_a_block_whose_batchnorms_stay_is_left_alone() -> None:
    class Twice(nn.Module):
        """Calls its block twice: folding by the graph is not for it."""

        def __init__(self) -> None:
            super().__init__()
            self.block = MixConvBottleneck(8, 8, (6, 4), (3, 5), residual=True)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.block(self.block(x))

    model = Twice()
    trained(model)
    fused = fuse(model)
    x = torch.randn(2, 8, 6, 6)
    with torch.no_grad():
        assert torch.allclose(fused(x), model(x), atol=1e-5)


@pytest.mark.parametrize("channels", [0, 32])
def test_merged_depthwise(channels: int) -> None:
    mix = MixConv((5, 3, 4), (3, 7, 5), stride=2)
    merged = merged_depthwise(mix, channels)
    x = torch.randn(2, max(12, channels), 11, 8)
    with torch.no_grad():
        assert torch.allclose(merged(x)[:, :12], mix(x[:, :12]), atol=1e-6)
        assert not merged(x)[:, 12:].any()


def test_the_original_keeps_its_weights() -> None:
    model = ferzoo.create_model("lfnsb").eval()
    before = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    for make in (fold, fuse, fuse_for_onnxruntime, fuse_for_openvino):
        for tensor in make(model).state_dict().values():
            tensor.zero_()
    assert all(torch.equal(tensor, before[key]) for key, tensor in model.state_dict().items())


def test_the_file_for_onnxruntime_has_no_change_of_layout(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx", reason="comes with the extra export")
    model = ferzoo.create_model("lfnsb", num_classes=4).eval()
    model.stages = nn.Sequential(*(stage[:2] for stage in model.stages))
    counts = []
    for rewrite in (False, True):
        ferzoo.export(model, tmp_path / "net.onnx", size=64, rewrite=rewrite)
        counts.append(Counter(node.op_type for node in onnx.load(tmp_path / "net.onnx").graph.node))
    plain, quick = counts
    blocks = 6
    assert plain["PRelu"] == blocks and plain["Concat"] >= blocks
    # Exporters of older torch leave a few operations on shapes, which runtimes compute once.
    assert not {"PRelu", "Split", "Slice", "Unsqueeze"} & quick.keys() and quick["Concat"] < blocks
    assert quick["Resize"] == quick["Mul"] == 2 * blocks and quick["Transpose"] <= 2


def test_the_default_network_is_exported_whole(tmp_path: Path) -> None:
    """All its blocks, with the weights that ship, and on a real face."""
    for extra in ("onnxruntime", "onnxscript"):
        pytest.importorskip(extra, reason="comes with the extra export")
    done = ferzoo.export("lfnsb", tmp_path / "lfnsb.onnx")
    assert done.relative < 1e-4 and done.faces == 1
