"""What blocks that compute by numba's loops share: memory as numba reads it, statistics and tiles."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...errors import MissingExtraError

__all__ = ["applies", "bits", "compiled", "rows_of", "statistics", "tile_width"]

#: Numbers of a tile at the most: nine of them are 14 KB.
TILE = 400


def compiled() -> Any:
    """Module of the compiled loops.

    Raises:
        MissingExtraError: If numba is not installed.
    """
    try:
        from . import loops
    except ImportError as error:
        raise MissingExtraError("fused_blocks=true", "cpu", "Or leave it out: PyTorch computes the same.") from error
    return loops


def applies(layer: nn.Module, x: torch.Tensor, *norms: nn.Module) -> bool:
    """Whether numba's loops compute a layer: in training, on a CPU, and in no greater precision than float32.

    Args:
        layer: The layer.
        x: Its input.
        norms: Its BatchNorms that the loops compute: each must train too, and have weights.
    """
    if not layer.training or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.bfloat16):
        return False
    return all(type(norm) is nn.BatchNorm2d and norm.training and norm.affine for norm in norms)


def bits(x: torch.Tensor) -> Any:
    """The memory of a bfloat16 tensor as a uint16 array of its shape."""
    return x.detach().view(torch.uint16).numpy()


def rows_of(x: torch.Tensor) -> torch.Tensor:
    """(N, H, W, C) as (N, H * W, C)."""
    return x.flatten(1, 2)


def tile_width(width: int, channels: int) -> int:
    """Columns over which weights are repeated: a divisor of the width, so that a tile is long and fits the L1 cache."""
    return max(t for t in range(1, width + 1) if width % t == 0 and t * channels <= max(TILE, channels))


def statistics(z: torch.Tensor, norm: nn.BatchNorm2d) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and reciprocal deviation (C,) of a map (N, H, W, C), which the norm's running ones take up."""
    count = z.numel() // z.shape[-1]
    if count == 1:
        raise ValueError("Expected more than 1 value per channel when training: take larger batches or images.")
    mean, variance = torch.empty(z.shape[-1]), torch.empty(z.shape[-1])
    compiled().moments(bits(rows_of(z)), mean.numpy(), variance.numpy())
    if norm.track_running_stats:
        kept: Any = norm  # PyTorch types them as tensors that may be None
        running_mean, running_var, batches = kept.running_mean, kept.running_var, kept.num_batches_tracked
        batches.add_(1)
        momentum = 1.0 / batches.item() if norm.momentum is None else norm.momentum
        running_mean.lerp_(mean, momentum)
        running_var.lerp_(variance * (count / max(1, count - 1)), momentum)
    return mean, (variance + norm.eps).rsqrt()
