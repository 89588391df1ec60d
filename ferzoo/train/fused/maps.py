"""What blocks that compute by numba's loops share: memory as numba reads it, statistics and tiles."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ...errors import MissingExtraError
from ..bfloat16 import is_autocast

__all__ = [
    "applies",
    "applies_in_bfloat16",
    "bits",
    "compiled",
    "is_depthwise",
    "normalization",
    "rows_of",
    "statistics",
    "tile",
]

#: Numbers of a tile at the most: the nine of a 3x3 kernel are 14 KB.
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
    """Whether a layer computes its own way: in training, on a CPU, and in no greater precision than float32.

    Args:
        layer: The layer.
        x: Its input.
        norms: Its BatchNorms that it computes: each must train too, and have weights.
    """
    if not layer.training or x.device.type != "cpu" or x.dtype not in (torch.float32, torch.bfloat16):
        return False
    return all(type(norm) is nn.BatchNorm2d and norm.training and norm.affine for norm in norms)


def applies_in_bfloat16(layer: nn.Module, x: torch.Tensor, *norms: nn.Module) -> bool:
    """Whether a layer computes its own way, and autocast makes the maps bfloat16; arguments as of `applies`."""
    return is_autocast() and applies(layer, x, *norms)


def bits(x: torch.Tensor) -> Any:
    """The memory of a bfloat16 tensor as a uint16 array of its shape."""
    return x.detach().view(torch.uint16).numpy()


def rows_of(x: torch.Tensor) -> torch.Tensor:
    """(N, H, W, C) as (N, H * W, C)."""
    return x.flatten(1, 2)


def is_depthwise(conv: nn.Conv2d) -> bool:
    """Whether a convolution is depthwise, without bias, its kernel square and odd, and at stride 1 keeps the size."""
    size, dilation = conv.kernel_size[0], conv.dilation[0]
    square = size % 2 == 1 and conv.kernel_size == (size, size) and conv.dilation == (dilation, dilation)
    same = conv.padding == (dilation * (size // 2),) * 2 and conv.padding_mode == "zeros"
    return square and same and conv.bias is None and conv.groups == conv.in_channels == conv.out_channels


def tile(taps: torch.Tensor, width: int) -> torch.Tensor:
    """Taps (T, C) repeated over columns, (T, tile, C): long loops, and 3x3 weights that stay in the L1 cache.

    The columns of a tile divide the width.
    """
    channels = taps.shape[1]
    columns = max(t for t in range(1, width + 1) if width % t == 0 and t * channels <= max(TILE, channels))
    return taps[:, None].expand(-1, columns, -1).contiguous()


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
        running_var.lerp_(variance * (count / (count - 1)), momentum)
    return mean, (variance + norm.eps).rsqrt()


def normalization(
    z: torch.Tensor, gain: torch.Tensor, bias: torch.Tensor, norm: nn.BatchNorm2d
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Mean, reciprocal deviation, scale and shift (C,): the norm of a map is scale * z + shift."""
    mean, rstd = statistics(z, norm)
    scale = (gain * rstd).detach()
    return mean, rstd, scale, (bias - mean * scale).detach()
