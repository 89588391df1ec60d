"""RepVGGDW of RepViT (Wang et al. 2024, arXiv 2307.09283, section 3.2)."""

from __future__ import annotations

import torch
from timm.models.repvit import RepVggDw

from ..registry.register import register_block

__all__ = ["rep_vgg_dw"]


@register_block(example={"channels": 8})
def rep_vgg_dw(
    channels: int,
    kernel_size: int = 3,
    device: torch.device | str | None = None,
    dtype: torch.dtype | None = None,
) -> RepVggDw:
    """RepVGGDW, timm's layer: BN(Conv2d_BN depthwise(x) + depthwise 1x1 with bias(x) + x).

    `ferzoo.fuse` folds it into one depthwise convolution. Shape: (N, channels, H, W) to the same.

    Args:
        channels: Channels in and out.
        kernel_size: Odd size of the larger depthwise kernel.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """
    return RepVggDw(channels, kernel_size, device=device, dtype=dtype)
