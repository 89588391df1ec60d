"""Networks in ONNX files that `ferzoo.export` wrote, run by ONNX Runtime. Nothing here imports torch."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import CheckpointError, MissingExtraError, WeightsNotFoundError, first_line, no_text

__all__ = ["METADATA", "OPENED_BY", "OnnxFile", "is_exported", "refuse_other_exports"]

#: Key of an ONNX file's metadata under which its facts stand, as JSON.
METADATA = "ferzoo"
#: What opens the exports that ferzoo does not run, by their suffixes.
OPENED_BY = {
    ".xml": "OpenVINO (openvino.Core().compile_model)",
    ".pt": "torch.jit.load",
    ".pt2": "torch.export.load, or torch._inductor.aoti_load_package where its format is aotinductor",
}


def is_exported(source: Any) -> bool:
    """Whether this names an ONNX file."""
    return isinstance(source, str | os.PathLike) and os.fspath(source).lower().endswith(".onnx")


def refuse_other_exports(source: str | os.PathLike[str]) -> None:
    """Refuse a file of another format than ONNX that `ferzoo.export` writes, by its suffix.

    Args:
        source: What a network is asked for by; a folder and a name with a prefix, as ``"hf-hub:"``, pass.

    Raises:
        CheckpointError: If it names such a file; says what opens it.
    """
    name = os.fspath(source)
    suffix = Path(name).suffix.lower()
    if suffix in OPENED_BY and not re.match("[A-Za-z][A-Za-z_-]+:", name) and not os.path.isdir(name):
        raise CheckpointError(
            f"{name} cannot be opened here: of exported files ferzoo runs .onnx alone. Open an export that ends in "
            f"{suffix} with {OPENED_BY[suffix]}; or name the network that it was made from, or export that to .onnx."
        )


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
        self.path, self._threads = Path(path).expanduser(), threads
        if not self.path.is_file():
            raise WeightsNotFoundError(f"There is no file {self.path}.")
        if why := no_text(self.path):
            raise CheckpointError(why)
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

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy, in another process too, opens the file anew."""
        return type(self), (self.path.absolute(), self._threads)

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
