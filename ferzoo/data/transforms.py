"""Preprocessing: timm's for evaluation, torchvision's augmentations for training."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from timm.data.transforms_factory import create_transform
from torchvision import transforms as T
from torchvision.transforms import InterpolationMode

from ..errors import DataError
from ..registry.config import with_defaults

__all__ = ["eval_transform", "train_transform"]

#: Sources are reduced before they are augmented to this many times the input's side, but never below 48 px, the side
#: of FER-2013's faces, whose pixels are all augmented.
HEADROOM, LEAST = 1.25, 48


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
    cfg = with_defaults(cfg)
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
    erasing_area: Sequence[float] = (0.02, 0.2),
) -> Any:
    """Flip, rotate, shift, scale, normalise and erase at random.

    A larger source is reduced first, so that its size costs no more than that. Where a face is turned or shifted away,
    its outermost pixels are repeated, a quarter of the longer side far.

    Args:
        cfg: As in `eval_transform`.
        size: Height and width in pixels.
        rotation: Largest angle in degrees.
        translation: Largest shift as a fraction of the side with its margins, 1.5 times that of the face.
        scale: Smallest and largest scale.
        erasing: Probability of erasing a rectangle.
        flip: Probability of mirroring.
        grayscale: Take the colours away first; always so where the network takes one channel.
        erasing_area: Smallest and largest share of the face that the rectangle covers.
    """
    channels = cfg["input_size"][0]
    return T.Compose(
        [
            _Reduce(max(LEAST, math.ceil(HEADROOM * size))),
            T.RandomHorizontalFlip(flip),
            _InMargin(
                T.RandomAffine(
                    rotation,
                    translate=(translation, translation),
                    scale=tuple(scale),
                    interpolation=InterpolationMode.BILINEAR,
                )
            ),
            T.Resize((size, size), InterpolationMode.BICUBIC),
            *_tensor(channels, grayscale),
            T.Normalize(list(cfg["mean"]), list(cfg["std"])),
            T.RandomErasing(erasing, scale=tuple(erasing_area)),
        ]
    )


def _tensor(channels: int, grayscale: bool) -> list[Callable[[Any], Any]]:
    """To a tensor (channels, H, W); grey is made once, and repeated as a tensor."""
    if channels == 3 and not grayscale:
        return [_rgb, T.ToTensor()]
    _check_channels(channels)
    return [_mode(1), T.ToTensor(), _Repeat(channels)]


class _Reduce:
    """Reduce an image whose shorter side is longer than `side` to it; height to width stays."""

    def __init__(self, side: int) -> None:
        self.side = side

    def __call__(self, image: Image.Image) -> Image.Image:
        shorter = min(image.size)
        if shorter <= self.side:
            return image
        width, height = (round(side * self.side / shorter) for side in image.size)
        # Pillow's documentation: hardly to be told from a plain bicubic resize, and much faster.
        return image.resize((width, height), Image.Resampling.BICUBIC, reducing_gap=3.0)


class _InMargin:
    """Transform an image with its outermost pixels repeated a quarter of its longer side far, and take the margin off.

    The pixels are those of torchvision's `Pad`, but faster.
    """

    def __init__(self, transform: Callable[[Image.Image], Image.Image]) -> None:
        self.transform = transform

    def __call__(self, image: Image.Image) -> Image.Image:
        pixels = np.asarray(image)
        margin = round(max(image.size) / 4)
        rows, columns = (np.arange(-margin, side + margin).clip(0, side - 1) for side in pixels.shape[:2])
        turned = self.transform(Image.fromarray(pixels[rows][:, columns]))
        return turned.crop((margin, margin, margin + image.width, margin + image.height))


class _Repeat:
    """Equal channels of a grey tensor (1, H, W)."""

    def __init__(self, channels: int) -> None:
        self.channels = channels

    def __call__(self, image: torch.Tensor) -> torch.Tensor:
        return image.expand(self.channels, -1, -1)
