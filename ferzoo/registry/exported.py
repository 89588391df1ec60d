"""Networks in ONNX files that `ferzoo.export` wrote, run by ONNX Runtime. Nothing here imports torch."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError, MissingExtraError, WeightsNotFoundError, first_line

__all__ = ["METADATA", "OnnxFile", "is_exported"]

#: Key of an ONNX file's metadata under which its facts stand, as JSON.
METADATA = "ferzoo"


def is_exported(source: Any) -> bool:
    """Whether this names an ONNX file."""
    return isinstance(source, str | os.PathLike) and os.fspath(source).lower().endswith(".onnx")


class OnnxFile:
    """An exported network with its classes and preprocessing.

    Attributes:
        path: The file.
        architecture: Name of the network.
        cfg: timm's pretrained cfg: input size, mean, std, label names and so on.
        ferzoo: What timm's cfg has no field for, as `grayscale`.
        num_classes: Classes.
        preprocess: The preprocessing is inside: it takes RGB pictures (N, H, W, 3), uint8, of any size.
        softmax: The outputs are probabilities, not logits.
    """

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None) -> None:
        """Open the file.

        Args:
            path: File that `ferzoo.export` or `ferzoo export` wrote.
            threads: CPU threads; None for as many as there are cores.

        Raises:
            MissingExtraError: Without ONNX Runtime.
            WeightsNotFoundError: If there is no such file.
            CheckpointError: If it is no network that ferzoo exported.
        """
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise WeightsNotFoundError(f"There is no file {self.path}.")
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("Running an ONNX file", "export") from error
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        if threads:
            options.intra_op_num_threads = threads
        try:
            self._session = onnxruntime.InferenceSession(
                os.fspath(self.path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime has a class for each of its refusals, and raises plain ones, too
            raise CheckpointError(f"{self.path} cannot be opened: {first_line(error)}") from error
        stated = self._session.get_modelmeta().custom_metadata_map.get(METADATA)
        try:
            facts = json.loads(stated or "")
            self.architecture = str(facts["architecture"])
            self.cfg: dict[str, Any] = dict(facts["cfg"])
            self.ferzoo: dict[str, Any] = dict(facts["ferzoo"])
            self.num_classes = int(facts["num_classes"])
            self.preprocess, self.softmax = bool(facts["preprocess"]), bool(facts["softmax"])
        except (ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{self.path} does not say what its classes and its input are: export it with `ferzoo export`."
            ) from error
        self._input = self._session.get_inputs()[0].name

    def __call__(self, batch: np.ndarray) -> np.ndarray:
        """Run the network.

        Args:
            batch: Normalised faces (N, C, H, W), float32; RGB pictures (N, H, W, 3), uint8, where `preprocess`.

        Returns:
            Logits (N, classes), float32; probabilities where `softmax`.

        Raises:
            CheckpointError: If the batch has another shape or type than the network takes.
        """
        try:
            return np.asarray(self._session.run(None, {self._input: np.ascontiguousarray(batch)})[0])
        except Exception as error:
            raise CheckpointError(
                f"{self.path} does not take a batch of shape {batch.shape} and type {batch.dtype}: {first_line(error)}"
            ) from error
