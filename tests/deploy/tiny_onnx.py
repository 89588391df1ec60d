"""A network of one convolution as an ONNX file that says what ferzoo's exports say, made without an exporter."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper

from ferzoo.registry.exported import METADATA

SIDE = 32


def tiny_weights(width: int = 4) -> np.ndarray:
    """Weights (width, 3, 3, 3) of the convolution."""
    return np.random.default_rng(0).normal(size=(width, 3, 3, 3)).astype(np.float32)


def tiny_network(width: int = 4) -> torch.nn.Module:
    """The same network in torch."""
    convolution = torch.nn.Conv2d(3, width, 3, bias=False)
    convolution.weight.data = torch.from_numpy(tiny_weights(width))
    return torch.nn.Sequential(convolution, torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()).eval()


def write_tiny(path: Path, width: int = 4) -> Path:
    """Write it; it takes (N, 3, 32, 32)."""
    nodes = [
        helper.make_node("Conv", ["faces", "weight"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("faces", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(tiny_weights(width), "weight")],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    cfg = {"input_size": [3, SIDE, SIDE], "mean": [0.5] * 3, "std": [0.5] * 3}
    facts = {"architecture": "tiny", "cfg": cfg, "ferzoo": {}, "num_classes": width, "preprocess": False}
    proto.metadata_props.add(key=METADATA, value=json.dumps({**facts, "softmax": False}))
    onnx.save(proto, path)
    return path
