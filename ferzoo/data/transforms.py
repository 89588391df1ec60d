"""Preprocessing: timm's for evaluation, torchvision's augmentations for training."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

from ..errors import DataError
from ..registry.config import CFG_DEFAULTS

__all__ = ["eval_transform", "train_transform"]


def _check_channels(channels: int) -> None:
    if channels not in (1, 3):
        raise DataError(f"Grey faces make one channel or three equal ones, the network takes {channels}.")


def _mode(channels: int) -> Callable[[Image.Image], Image.Image]:
    """Grey by ITU-R 601, once or three times: FER-2013 has no colour to learn from."""
    _check_channels(channels)
    return T.Grayscale(num_output_channels=channels)


def _rgb(image: Image.Image) -> Image.Image:
    """Three channels, those of a grey face equal."""
    return image.convert("RGB")


def eval_transform(cfg: dict[str, Any], size: int | tuple[int, int] | None = None, grayscale: bool = True) -> Any:
    """Transform from a PIL image to a normalised tensor (C, H, W).

    Args:
        cfg: A pretrained cfg: `input_size`, `mean`, `std`, and `interpolation`, bicubic where it does not say, and
            `crop_pct`, 1.
        size: Height and width in pixels, the cfg's where None.
        grayscale: Take the colours away first; always so where the network takes one channel.
    """
    cfg = {**CFG_DEFAULTS, **cfg}
    channels, *cfg_size = cfg["input_size"]
    size = tuple(cfg_size) if size is None else (size, size) if isinstance(size, int) else size
    resize = create_transform(
        input_size=(channels, *size),
        is_training=False,
        interpolation=cfg["interpolation"],
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        crop_pct=cfg["crop_pct"],
        crop_mode="squash",
    )
    if not grayscale and channels == 3:
        return T.Compose([_rgb, resize])
    return T.Compose([_mode(channels), resize])


def train_transform(
    cfg: dict[str, Any],
    size: int,
    rotation: float = 15.0,
    translation: float = 0.05,
    scale: Sequence[float] = (0.85, 1.15),
    erasing: float = 0.25,
    flip: float = 0.5,
    grayscale: bool = True,
) -> Any:
    """Flip, rotate, shift, scale, normalise and erase at random.

    Args:
        cfg: As in `eval_transform`.
        size: Height and width in pixels.
        rotation: Largest angle in degrees.
        translation: Largest shift as a fraction of the side.
        scale: Smallest and largest scale.
        erasing: Probability of erasing a rectangle of 2 to 20 % of the area.
        flip: Probability of mirroring.
        grayscale: Take the colours away first; always so where the network takes one channel.
    """
    channels = cfg["input_size"][0]
    return T.Compose(
        [
            T.RandomHorizontalFlip(flip),
            _PadEdge(12),
            T.RandomAffine(
                rotation,
                translate=(translation, translation),
                scale=tuple(scale),
                interpolation=InterpolationMode.BILINEAR,
            ),
            _CropMargin(12),
            T.Resize((size, size), InterpolationMode.BICUBIC),
            *_tensor(channels, grayscale),
            T.Normalize(list(cfg["mean"]), list(cfg["std"])),
            T.RandomErasing(erasing, scale=(0.02, 0.2)),
        ]
    )


def _tensor(channels: int, grayscale: bool) -> list[Callable[[Any], Any]]:
    """To a tensor (channels, H, W); grey is made once, and repeated as a tensor."""
    if channels == 3 and not grayscale:
        return [_rgb, T.ToTensor()]
    _check_channels(channels)
    return [_mode(1), T.ToTensor(), _Repeat(channels)]


class _PadEdge:
    """Repeat the outermost pixels, as torchvision's `Pad` does, but faster."""

    def __init__(self, margin: int) -> None:
        self.margin = margin

    def __call__(self, image: Image.Image) -> Image.Image:
        pixels = np.asarray(image)
        rows, columns = (np.arange(-self.margin, side + self.margin).clip(0, side - 1) for side in pixels.shape[:2])
        return Image.fromarray(pixels[rows][:, columns])


class _Repeat:
    """Equal channels of a grey tensor (1, H, W)."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return image.expand(self.channels, -1, -1)


class _CropMargin:
    """Take off the margin that padding added, whatever the image's size."""

    def __init__(self, margin: int) -> None:
        self.margin = margin

    def __call__(self, image: Image.Image) -> Image.Image:
        return image.crop((self.margin, self.margin, image.width - self.margin, image.height - self.margin))
