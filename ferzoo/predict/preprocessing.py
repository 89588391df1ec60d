"""From the picture of a face to what a network takes, in two steps and without torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from ..errors import CheckpointError
from ..registry.config import CFG_DEFAULTS

__all__ = ["Preprocessing"]


class Preprocessing:
    """The same values as `ferzoo.data.transforms.eval_transform`, to the last bit.

    A face keeps its bytes until the batch is made, which is normalised as a whole: image threads then do little that
    holds Python's lock, and waiting faces take little memory.
    """

    def __init__(self, cfg: Mapping[str, Any], grayscale: bool) -> None:
        """Read what a cfg states.

        Args:
            cfg: A pretrained cfg: `input_size`, `mean`, `std`, and `interpolation`, bicubic where it does not say, and
                `crop_pct`, 1.
            grayscale: Take the colours away first; always so where the network takes one channel.

        Raises:
            CheckpointError: If Pillow lacks the interpolation, or mean or std do not fit the channels.
        """
        cfg = {**CFG_DEFAULTS, **{name: value for name, value in cfg.items() if value is not None}}
        channels, height, width = cfg["input_size"]
        self._mode = "L" if grayscale or channels == 1 else "RGB"
        self._size = width, height
        # As timm does: the picture is made larger by 1 / crop_pct, and its middle is cut out.
        self._resized = math.floor(width / cfg["crop_pct"]), math.floor(height / cfg["crop_pct"])
        kinds = {kind.name.lower(): kind for kind in Image.Resampling}
        if (kind := str(cfg["interpolation"]).lower()) not in kinds:
            raise CheckpointError(f"The cfg wants the interpolation {kind!r}, Pillow has {', '.join(kinds)}.")
        self._resample = kinds[kind]
        self._mean, self._std = (np.asarray(cfg[name], np.float32).reshape(1, -1, 1, 1) for name in ("mean", "std"))
        for name, values in (("mean", self._mean), ("std", self._std)):
            if values.size not in (1, channels):
                raise CheckpointError(f"The cfg has {values.size} values of {name} for {channels} channels.")
        self._channels = channels

    def pixels(self, crop: Image.Image) -> np.ndarray:
        """What the network sees of a face, uint8: (H, W) where the colours are taken away, else (H, W, 3)."""
        picture = crop.convert(self._mode).resize(self._resized, self._resample)
        (width, height), (whole_width, whole_height) = self._size, self._resized
        if self._resized != self._size:
            left, top = round((whole_width - width) / 2), round((whole_height - height) / 2)
            picture = picture.crop((left, top, left + width, top + height))
        return np.asarray(picture)

    def batch(self, pixels: Sequence[np.ndarray]) -> np.ndarray:
        """Faces that `pixels` gave as one normalised batch (N, C, H, W), float32."""
        values = np.stack(pixels).astype(np.float32) / np.float32(255)
        planes = values[:, None] if values.ndim == 3 else values.transpose(0, 3, 1, 2)
        planes = np.broadcast_to(planes, (len(planes), self._channels, *planes.shape[2:]))
        return np.ascontiguousarray((planes - self._mean) / self._std)
