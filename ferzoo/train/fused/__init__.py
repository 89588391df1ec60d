"""Blocks and layers that train faster on a CPU, put in the place of those they compute the same as."""

from __future__ import annotations

from torch import nn

from ...blocks.conv_bn import ConvBnPReLU
from ...blocks.mixconv import MixConvBottleneck
from ...blocks.pwfs import PWFS
from ...blocks.two_path import ConvBnReLU
from .dense import MatmulConv2d
from .layers import NumbaConvBnPReLU, NumbaConvBnReLU, NumbaDepthwise3x3, NumbaPWFS
from .maps import compiled
from .mixconv import NumbaBottleneck, NumbaStem, is_stem

__all__ = ["use_fused_blocks"]

#: What replaces which where autocast makes the maps bfloat16.
_UNDER_AMP: dict[type[nn.Module], type[nn.Module]] = {
    ConvBnReLU: NumbaConvBnReLU,
    ConvBnPReLU: NumbaConvBnPReLU,
    PWFS: NumbaPWFS,
}


def use_fused_blocks(model: nn.Module, amp: bool) -> int:
    """Let blocks and layers of a network compute faster in training, in place, most by numba's loops.

    MixConv bottlenecks and LFN's stem always do; with `amp`, where the maps are bfloat16, so do LANMSFF's and
    MobileFaceNet's blocks, 3x3 depthwise convolutions and PWFS, and dense convolutions of small maps as matrix products
    of PyTorch's. Names and weights stay, and so does evaluation.

    Args:
        model: A network in training, float32 on the CPU; subclasses of blocks and layers are left alone.
        amp: Whether it trains under autocast.

    Returns:
        How many blocks and layers there were.

    Raises:
        MissingExtraError: If numba is not installed.
    """
    compiled()
    count = 0
    inside: set[nn.Module] = set()
    for module in model.modules():
        kind = None if module in inside else _kind(module, amp)
        if kind:
            module.__class__ = kind
            count += 1
        if isinstance(module, NumbaBottleneck | NumbaStem):  # they compute what is inside them themselves
            inside |= set(module.modules())
    return count


def _kind(module: nn.Module, amp: bool) -> type[nn.Module] | None:
    """The class that a module is to have, None for its own."""
    if type(module) is MixConvBottleneck:
        return NumbaBottleneck
    if is_stem(module):
        return NumbaStem
    if not amp:
        return None
    if type(module) is nn.Conv2d:
        return next((kind for kind in (NumbaDepthwise3x3, MatmulConv2d) if kind.fits(module)), None)
    return _UNDER_AMP.get(type(module))
