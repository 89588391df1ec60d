"""What a batch and an argument must look like, and errors that say what to do where they do not."""

from __future__ import annotations

from numbers import Integral
from typing import Any

import torch

from ..errors import InputSizeError

__all__ = ["MIN_SIZE", "check_input", "whole"]

#: Smallest height and width that every network takes, in pixels.
MIN_SIZE = 32


def check_input(x: torch.Tensor, in_chans: int, img_size: tuple[int, int] | None, regions: int = 0) -> torch.Tensor:
    """Return `x` where it fits the network.

    Args:
        x: Batch (N, C, H, W); or (N, `regions`, C, H, W) where the network takes regions.
        in_chans: Channels that the network takes.
        img_size: The one height and width that it takes, None for any from `MIN_SIZE` up.
        regions: Pictures of one face that it takes in place of the face, 0 for none.

    Raises:
        InputSizeError: If the shape does not fit; names the sizes and the way out.
    """
    cut = bool(regions) and x.dim() == 5 and x.shape[1] == regions
    if x.dim() != 4 and not cut:
        other = f" or (N, {regions}, {in_chans}, H, W)" if regions else ""
        raise InputSizeError(f"Expected a batch (N, {in_chans}, H, W){other}, got a tensor of shape {_shape(x)}.")
    channels, height, width = x.shape[-3:]
    if channels != in_chans:
        raise InputSizeError(
            f"The network takes {in_chans} channel(s), the batch {_shape(x)} has {channels}. "
            f"Convert the images, or build the network with in_chans={channels}."
        )
    if img_size is not None:
        if height != img_size[0] or width != img_size[1]:
            raise InputSizeError(
                f"The network was built for {img_size[0]}x{img_size[1]} px, the batch is {height}x{width} px. "
                f"Resize the images, or build the network with img_size=({height}, {width})."
            )
    elif height < MIN_SIZE or width < MIN_SIZE:
        raise InputSizeError(f"The network takes {MIN_SIZE} px and more a side, the batch is {height}x{width} px.")
    return x


def _shape(x: torch.Tensor) -> tuple[int, ...]:
    return tuple(int(side) for side in x.shape)  # they are tensors while torch.jit traces


def whole(name: str, value: Any, least: int) -> int:
    """A whole number that a constructor was given.

    Args:
        name: The argument's name.
        value: What was given.
        least: The smallest that there may be.

    Raises:
        ValueError: If it is none, or smaller.
    """
    if not isinstance(value, Integral):
        raise ValueError(f"{name} must be a whole number, got {value!r}.")
    if value < least:
        raise ValueError(f"{name} must be {least} or more, got {value}.")
    return int(value)
