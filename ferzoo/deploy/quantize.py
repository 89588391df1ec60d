"""int8 post-training quantisation of an ONNX file, by ONNX Runtime's own tools."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import FerzooError, MissingExtraError
from .quiet import quietly

__all__ = ["LEAST_AGREEMENT", "LEAST_FACES", "OPERATORS", "check_faces", "quantize"]

#: Operators whose inputs and outputs become int8; those left, at the head, cost little and keep the scores.
OPERATORS = ("Conv", "Add", "AveragePool", "Relu", "Mul", "Resize")
#: Real faces that the ranges are taken from, at least.
LEAST_FACES = 16
#: Share of the calibration faces that must keep their label.
LEAST_AGREEMENT = 0.8


def quantize(path: Path, batches: Sequence[np.ndarray]) -> None:
    """Replace an ONNX file by the same network in int8.

    Weights are int8 with a scale an output channel, in seven of the eight bits: processors without VNNI add pairs of
    products in 16 bits, which full weights overflow. Activations are uint8 with the smallest and largest value seen.
    The file holds pairs of QuantizeLinear and DequantizeLinear, which runtimes fuse.

    Args:
        path: The file.
        batches: Inputs as the network takes them, made of real faces.

    Raises:
        MissingExtraError: Without onnx or ONNX Runtime.
    """
    try:
        from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
        from onnxruntime.quantization.shape_inference import quant_pre_process
    except ImportError as error:
        raise MissingExtraError("Quantising", "export") from error
    import onnx

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        """Gives the batches one after another, as the tools ask for them."""

        def __init__(self, name: str) -> None:
            self.left = ({name: batch} for batch in batches)

        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(self.left, None)

    original = onnx.load(path)
    # The tools advise to prepare the network, which is done here.
    with quietly(""), tempfile.TemporaryDirectory(dir=path.parent, prefix=".int8-") as folder:
        prepared, done = Path(folder) / "prepared.onnx", Path(folder) / "done.onnx"
        quant_pre_process(str(path), str(prepared), skip_symbolic_shape=True)
        quantize_static(
            str(prepared),
            str(done),
            Reader(original.graph.input[0].name),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=list(OPERATORS),
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            reduce_range=True,
        )
        proto: Any = onnx.load(done)
        del proto.metadata_props[:]
        proto.metadata_props.extend(original.metadata_props)
        proto.doc_string, proto.producer_name = "", original.producer_name
        path.write_bytes(proto.SerializeToString())


def check_faces(count: int) -> None:
    """Check that there are enough faces to take ranges from.

    Raises:
        FerzooError: If there are fewer than `LEAST_FACES`.
    """
    if count < LEAST_FACES:
        raise FerzooError(f"int8 takes its ranges from {LEAST_FACES} real faces or more, got {count}.")
