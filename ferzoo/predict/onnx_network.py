"""A network in an ONNX file, ready to classify crops. Neither torch nor torchvision is imported."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from ..errors import CheckpointError
from ..registry.exported import OnnxFile
from .preprocessing import Preprocessing

__all__ = ["OnnxNetwork"]


class OnnxNetwork:
    """The same as `ferzoo.predict.network.Network` for a file that `ferzoo.export` wrote."""

    def __init__(self, path: str | os.PathLike[str], threads: int | None = None) -> None:
        """Open the file; `threads` are those of ONNX Runtime, all cores where None."""
        self.file = OnnxFile(path, threads)
        names = tuple(str(name) for name in self.file.cfg.get("label_names") or ())
        self.labels = names or tuple(f"class {i}" for i in range(self.file.num_classes))
        if len(self.labels) != self.file.num_classes or len(set(self.labels)) < len(self.labels):
            raise CheckpointError(f"{self.file.path} names {len(names)} of its {self.file.num_classes} classes.")
        grayscale = bool(self.file.ferzoo.get("grayscale", False))
        self._preprocessing = (
            None if self.file.preprocess else Preprocessing(self.file.cfg, grayscale, str(self.file.path))
        )

    @contextlib.contextmanager
    def limited(self, threads: int | None) -> Iterator[None]:
        """Nothing to do: the session was opened with its threads."""
        yield

    def pixels(self, crop: Image.Image) -> np.ndarray:
        """What the network takes of a crop, uint8: as `Preprocessing.pixels`, or all of it where that is inside."""
        return self._preprocessing.pixels(crop) if self._preprocessing else np.asarray(crop.convert("RGB"))

    def batch(self, crops: Sequence[np.ndarray]) -> list[np.ndarray]:
        """What the file takes of crops that `pixels` gave: one batch, or each picture alone where it resizes itself."""
        return [self._preprocessing.batch(crops)] if self._preprocessing else [crop[None] for crop in crops]

    def __call__(self, crops: Sequence[np.ndarray]) -> tuple[np.ndarray, None]:
        """Classify one or more crops that `pixels` gave; see `run`."""
        return self.run(self.batch(crops))

    def run(self, batches: Sequence[np.ndarray]) -> tuple[np.ndarray, None]:
        """Classify what `batch` gave.

        Returns:
            Probabilities (N, classes), float64, and None, for a file gives no embeddings.

        Raises:
            CheckpointError: If the outputs are not finite.
        """
        scores = np.concatenate([self.file(batch) for batch in batches]).astype(np.float64)
        if not self.file.softmax:
            scores = np.exp(scores - scores.max(1, keepdims=True))
        if not np.isfinite(scores).all():
            raise CheckpointError(f"{self.file.path} gives NaN or infinity: its weights are damaged.")
        return scores / scores.sum(1, keepdims=True), None
