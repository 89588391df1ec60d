"""LFN and LFNSB: a lightweight FER network, and the same with Spatial Bias (Chen & Huang 2024, Computation 12:201).

The widths are those that reproduce the paper's parameters and FLOPs; its Table 1 prints others.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.repvit import ConvNorm, RepVggDw
from torch import nn

from ..blocks.gdconv import GDConvHead
from ..blocks.mixconv import MixConvBottleneck
from ..blocks.spatial_bias import SpatialBias
from ..registry.register import register_model
from .base import FerModel
from .build import StateDict, build_model, convert_state_dict, default_cfgs_for
from .released import MOBILEFACENET_PARTS, backbone_renames, gdconv_renames

__all__ = ["LFN", "checkpoint_filter_fn", "lfn", "lfnsb", "lfnsb_concat"]

#: Channel splits and kernel sizes of a MixConv.
Mix = tuple[tuple[int, ...], tuple[int, ...]]
#: (out, repeats, (splits, kernel sizes) of the downsampling and of the residual bottlenecks) a stage.
STAGES: tuple[tuple[int, int, Mix, Mix], ...] = (
    (64, 9, ((64, 32), (3, 5)), ((96,), (3,))),
    (128, 16, ((128, 64), (3, 5)), ((192,), (3,))),
    (256, 6, ((256, 256, 256), (3, 5, 7)), ((172, 170), (3, 5))),
)


class BiasVector(nn.Module):
    """Spatial Bias as the whole head: the context maps flattened to a vector."""

    def __init__(self, channels: int, maps: int = 64, size: int = 2, **dd: Any) -> None:
        """Take the map's channels, the number of context maps and the side of their grid."""
        super().__init__()
        self.spatial_bias = SpatialBias(channels, maps, size, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, maps * size * size)."""
        return self.spatial_bias(x).flatten(1)


class BiasConcat(nn.Module):
    """Spatial Bias upsampled and concatenated to the map, then a global depthwise convolution."""

    def __init__(self, channels: int, map_size: tuple[int, int], maps: int = 64, size: int = 2, **dd: Any) -> None:
        """Take the map's channels and size, the number of context maps and the side of their grid."""
        super().__init__()
        self.map_size = map_size
        self.spatial_bias = SpatialBias(channels, maps, size, **dd)
        self.gdconv = GDConvHead(channels + maps, map_size, 0, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, channels + maps)."""
        bias = F.interpolate(self.spatial_bias(x), size=self.map_size, mode="bilinear", align_corners=False)
        return self.gdconv(torch.cat([x, bias], dim=1))


class LFN(FerModel):
    """The LFN backbone with one of three heads.

    Takes (N, in_chans, H, W). With the head ``"bias"`` any size from 32 px up works; the other two hold a
    convolution as large as the last map and work at `img_size` alone.

    Args:
        head: ``"embed"`` (GDConv and a 256-d embedding: `lfn`), ``"bias"`` (Spatial Bias: `lfnsb`) or
            ``"concat"`` (both, as the paper's text says: `lfnsb_concat`).
        num_classes: Classes; 0 for the vector before the classifier.
        in_chans: Channels of the input.
        global_pool: ``"head"`` for the network's own head, ``""`` for the 4-D map.
        drop_rate: Dropout before the classifier.
        img_size: Input height and width where the head has to know it.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    native_pool = "head"

    def __init__(
        self,
        head: str = "embed",
        num_classes: int = 8,
        in_chans: int = 3,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        img_size: int | tuple[int, int] = 112,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(num_classes, in_chans, global_pool, drop_rate, img_size, fixed_size=head != "bias", **dd)
        self.head_kind = head
        width = 64
        self.stem = nn.Sequential(
            OrderedDict(
                conv=ConvNorm(in_chans, width, 3, 2, 1, **dd),
                conv_dw=ConvNorm(width, width, 3, 1, 1, groups=width, **dd),
            )
        )
        self.feature_info = [{"num_chs": width, "reduction": 2, "module": "stem"}]
        for out, repeats, down, same in STAGES:
            blocks = [MixConvBottleneck(width, out, *down, stride=2, **dd)]
            blocks += [MixConvBottleneck(out, out, *same, residual=True, **dd) for _ in range(repeats)]
            self.add_stage(blocks, out)
            width = out
        self.final_conv = RepVggDw(width, 3, **dd)
        if head == "bias":
            self.init_head(partial(BiasVector, width), width, 256)
        elif head == "embed":
            self.init_head(partial(GDConvHead, width, self.map_size, 256), width, 256)
        else:
            self.init_head(partial(BiasConcat, width, self.map_size), width, width + 64)


_RENAMES = [
    *backbone_renames([*MOBILEFACENET_PARTS[:-1], "conv6_sep"]),
    *backbone_renames([f"features.{i}" for i in range(9)]),
    (r"^sb\.feature_reduction\.0\.", "pool.spatial_bias.reduce.c."),
    (r"^sb\.feature_reduction\.1\.", "pool.spatial_bias.reduce.bn."),
    (r"^sb\.sb_conv\.", "pool.spatial_bias.mix."),
    (r"^fc\.", "head."),
]


def checkpoint_filter_fn(state_dict: StateDict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Take this network's names and the authors' released ones; check that nothing else differs.

    Args:
        state_dict: Tensors by name.
        model: The network that they are for.

    Raises:
        CheckpointError: If names are missing or unexpected, or a shape differs; lists them.
    """
    if getattr(model, "head_kind", "") == "embed":
        return convert_state_dict(state_dict, model, [*_RENAMES, *gdconv_renames("pool")])
    # The release of LFNSB holds a BatchNorm over the classes that its forward never calls.
    renames = [*_RENAMES, *gdconv_renames("pool.gdconv")]
    return convert_state_dict(state_dict, model, renames, unused=[r"^bn\."])


default_cfgs = default_cfgs_for(
    {"lfn": {"fixed_input_size": True}, "lfnsb": {}, "lfnsb_concat": {"fixed_input_size": True}},
    first_conv="stem.conv.c",
    pool_size=(7, 7),
    paper_name="A Lightweight Model Enhancing Facial Expression Recognition with Spatial Bias and Cosine-Harmony Loss",
    origin_url="https://doi.org/10.3390/computation12100201",
    license="apache-2.0",
)


def _create_lfn(variant: str, head: str, pretrained: bool, **kwargs: Any) -> nn.Module:
    return build_model(LFN, variant, pretrained, checkpoint_filter_fn, head=head, **kwargs)


@register_model
def lfn(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """LFN: MixConv bottlenecks with coordinate attention, RepVGGDW, GDConv and a 256-d embedding."""
    return _create_lfn("lfn", "embed", pretrained, **kwargs)


@register_model
def lfnsb(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """LFNSB as released: LFN with Spatial Bias as its head; any input size from 32 px up."""
    return _create_lfn("lfnsb", "bias", pretrained, **kwargs)


@register_model
def lfnsb_concat(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """LFNSB as the paper's text describes it: Spatial Bias concatenated to the map, then GDConv."""
    return _create_lfn("lfnsb_concat", "concat", pretrained, **kwargs)
