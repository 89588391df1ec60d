"""What a batch must look like, and an error that says what to do where it does not."""

from __future__ import annotations

import torch

from ..errors import InputSizeError

__all__ = ["MIN_SIZE", "check_input"]

#: Smallest height and width that every network takes, in pixels.
MIN_SIZE = 32


def check_input(x: torch.Tensor, in_chans: int, img_size: tuple[int, int] | None) -> torch.Tensor:
    """Return `x` where it fits the network.

    Args:
        x: Batch (N, C, H, W).
        in_chans: Channels that the network takes.
        img_size: The one height and width that it takes, None for any from `MIN_SIZE` up.

    Raises:
        InputSizeError: If the shape does not fit; names the sizes and the way out.
    """
    if x.dim() != 4:
        raise InputSizeError(f"Expected a batch (N, {in_chans}, H, W), got a tensor of shape {tuple(x.shape)}.")
    if x.shape[1] != in_chans:
        raise InputSizeError(
            f"The network takes {in_chans} channel(s), the batch {tuple(x.shape)} has {x.shape[1]}. "
            f"Convert the images, or build the network with in_chans={x.shape[1]}."
        )
    height, width = x.shape[2], x.shape[3]
    if img_size is not None:
        if height != img_size[0] or width != img_size[1]:
            raise InputSizeError(
                f"The network was built for {img_size[0]}x{img_size[1]} px, the batch is {height}x{width} px. "
                f"Resize the images, or build the network with img_size=({height}, {width})."
            )
    elif height < MIN_SIZE or width < MIN_SIZE:
        raise InputSizeError(f"The network takes {MIN_SIZE} px and more a side, the batch is {height}x{width} px.")
    return x
