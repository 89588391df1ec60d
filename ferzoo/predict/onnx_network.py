"""A network in an ONNX file, ready to classify crops. Neither torch nor torchvision is imported."""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator, Sequence

import numpy as np
from PIL import Image

from ..errors import CheckpointError
from ..registry.config import CFG_DEFAULTS
from ..registry.exported import OnnxFile

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
        kind = str(self.file.cfg.get("interpolation") or CFG_DEFAULTS["interpolation"])
        try:
            self._resample = Image.Resampling[kind.upper()]
        except KeyError as error:
            raise CheckpointError(f"{self.file.path} wants an interpolation that Pillow lacks: {kind}.") from error

    @contextlib.contextmanager
    def limited(self, threads: int | None) -> Iterator[None]:
        """Nothing to do: the session was opened with its threads."""
        yield

    def transform(self, crop: Image.Image) -> np.ndarray:
        """Preprocess a crop as `ferzoo.data.transforms.eval_transform` does, to (C, H, W), float32."""
        if self.file.preprocess:
            return np.asarray(crop.convert("RGB"))
        cfg = self.file.cfg
        channels, height, width = cfg["input_size"]
        grey = channels == 1 or self.file.ferzoo.get("grayscale", False)
        resized = [math.floor(side / cfg.get("crop_pct", CFG_DEFAULTS["crop_pct"])) for side in (width, height)]
        picture = crop.convert("L" if grey else "RGB").resize((resized[0], resized[1]), self._resample)
        left, top = round((resized[0] - width) / 2), round((resized[1] - height) / 2)
        pixels = np.asarray(picture.crop((left, top, left + width, top + height)), np.float32) / np.float32(255)
        planes = np.broadcast_to(pixels, (channels, height, width)) if grey else pixels.transpose(2, 0, 1)
        mean, std = (np.asarray(cfg[key], np.float32)[:, None, None] for key in ("mean", "std"))
        return ((planes - mean) / std).astype(np.float32)

    def __call__(self, crops: Sequence[np.ndarray]) -> tuple[np.ndarray, None]:
        """Classify preprocessed crops.

        Args:
            crops: One or more arrays that `transform` gave.

        Returns:
            Probabilities (N, classes), float64, and None, for a file gives no embeddings.

        Raises:
            CheckpointError: If the outputs are not finite.
        """
        # Pictures that are resized inside have sizes of their own.
        batches = [crop[None] for crop in crops] if self.file.preprocess else [np.stack(list(crops))]
        scores = np.concatenate([self.file(batch) for batch in batches]).astype(np.float64)
        if not self.file.softmax:
            scores = np.exp(scores - scores.max(1, keepdims=True))
        if not np.isfinite(scores).all():
            raise CheckpointError(f"{self.file.path} gives NaN or infinity: its weights are damaged.")
        return scores / scores.sum(1, keepdims=True), None
