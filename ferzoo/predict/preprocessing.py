"""From the picture of a face to what a network takes, in two steps and without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..errors import CheckpointError
from ..registry.config import center_margin, with_defaults

__all__ = ["Preprocessing"]

#: Those of timm.
_INTERPOLATIONS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


class Preprocessing:
    """The same values as `ferzoo.data.transforms.eval_transform`, to the last bit.

    A face keeps its bytes until the batch is made, which is normalised as a whole: image threads then do little that
    holds Python's lock, and waiting faces take little memory.
    """

    def __init__(self, cfg: Mapping[str, Any], grayscale: bool, name: str) -> None:
        """Read what a cfg states.

        Args:
            cfg: A pretrained cfg: `input_size`, `mean`, `std`, and `interpolation`, bicubic where it does not say, and
                `crop_pct`, 1.
            grayscale: Take the colours away first; always so where the network takes one channel.
            name: Of the network, for errors.

        Raises:
            CheckpointError: If the cfg lacks one of them, or has a value that no network of faces has.
        """
        cfg = with_defaults(cfg)
        if missing := [key for key in ("input_size", "mean", "std") if key not in cfg]:
            raise CheckpointError(f"The cfg of {name} does not state {', '.join(missing)}.")
        channels, height, width = cfg["input_size"]
        if channels not in (1, 3):
            raise CheckpointError(f"{name} takes {channels} channels; faces are grey, 1, or in colour, 3.")
        if (kind := str(cfg["interpolation"]).lower()) not in _INTERPOLATIONS:
            raise CheckpointError(f"{name} wants the interpolation {kind!r}; there is {', '.join(_INTERPOLATIONS)}.")
        mean, std = (np.asarray(cfg[key], np.float32).reshape(-1, 1) for key in ("mean", "std"))
        for key, values in (("mean", mean), ("std", std)):
            if len(values) not in (1, channels):
                raise CheckpointError(f"{name} has {len(values)} values of {key} for {channels} channels.")
        if not (std > 0).all():
            raise CheckpointError(f"{name} has a std that is not above 0: {', '.join(f'{v:g}' for v in std[:, 0])}.")
        self._mode = "L" if grayscale or channels == 1 else "RGB"
        # As timm does: the picture is made larger by 1 / crop_pct, and its middle is cut out.
        resized = [math.floor(side / cfg["crop_pct"]) for side in (width, height)]
        self._resize = (resized[0], resized[1]), Image.Resampling[kind.upper()]
        left, top = center_margin(resized[0], width), center_margin(resized[1], height)
        self._middle = (left, top, left + width, top + height)
        #: The value of each byte in each channel, (C, 256).
        self._values = np.broadcast_to(
            (np.arange(256, dtype=np.float32) / np.float32(255) - mean) / std, (channels, 256)
        )

    def pixels(self, crop: Image.Image) -> np.ndarray:
        """What the network sees of a face, uint8: (H, W) where the colours are taken away, else (H, W, 3)."""
        picture = crop.convert(self._mode).resize(*self._resize)
        return np.asarray(picture if self._middle == (0, 0, *picture.size) else picture.crop(self._middle))

    def batch(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Faces that `pixels` gave as one normalised batch (N, C, H, W), float32."""
        faces = np.stack(pixels)
        grey = faces.ndim == 3
        if grey:
            faces = faces.astype(np.intp)  # once for every channel: `take` wants indices of this type
        batch = np.empty((len(faces), len(self._values), *faces.shape[1:3]), np.float32)
        for i, values in enumerate(self._values):
            if grey and i and np.array_equal(values, self._values[i - 1]):
                batch[:, i] = batch[:, i - 1]
            else:
                batch[:, i] = values.take(faces if grey else faces[..., i].astype(np.intp), mode="clip")
        return batch
