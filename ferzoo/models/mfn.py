"""MFN, the mixed feature network: MobileFaceNet with MixConv and coordinate attention (Zhang et al. 2023, DDAMFN)."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

import torch
from torch import nn

from ..blocks.conv_bn import ConvBnPReLU
from ..blocks.gdconv import GDConvHead
from ..blocks.mixconv import MixConvBottleneck
from ..registry.register import register_model
from .base import FerModel
from .build import StateDict, build_model, convert_state_dict, default_cfgs_for
from .released import MOBILEFACENET_PARTS, backbone_renames, gdconv_renames

__all__ = ["MFN", "checkpoint_filter_fn", "mfn"]

#: Channel splits and kernel sizes of a MixConv.
Mix = tuple[tuple[int, ...], tuple[int, ...]]
#: (out, repeats, (splits, kernel sizes) of the downsampling and of the residual bottlenecks) a stage.
STAGES: tuple[tuple[int, int, Mix, Mix], ...] = (
    (64, 9, ((64, 32, 32), (3, 5, 7)), ((96, 32), (3, 5))),
    (128, 16, ((128, 64, 64), (3, 5, 7)), ((192, 64), (3, 5))),
    (256, 6, ((256, 256, 256, 256), (3, 5, 7, 9)), ((172, 170, 170), (3, 5, 7))),
)


class MFN(FerModel):
    """The backbone of DDAMFN with MobileFaceNet's head.

    Takes (N, in_chans, *img_size). With `num_classes=0` it gives the raw embedding (N, embed_dim).

    Args:
        num_classes: Classes; 0 for the embedding.
        in_chans: Channels of the input.
        global_pool: ``"head"`` for the network's own head, ``""`` for the 4-D map (N, 512, h, w).
        drop_rate: Dropout before the classifier.
        img_size: Input height and width, which the head has to know.
        embed_dim: Width of the embedding.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    native_pool = "head"

    def __init__(
        self,
        num_classes: int = 8,
        in_chans: int = 3,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        img_size: int | tuple[int, int] = 112,
        embed_dim: int = 256,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(num_classes, in_chans, global_pool, drop_rate, img_size, **dd)
        width, last = 64, 512
        self.stem = nn.Sequential(
            OrderedDict(
                conv=ConvBnPReLU(in_chans, width, 3, 2, **dd),
                conv_dw=ConvBnPReLU(width, width, 3, groups=width, **dd),
            )
        )
        self.feature_info = [{"num_chs": width, "reduction": 2, "module": "stem"}]
        for out, repeats, down, same in STAGES:
            blocks = [MixConvBottleneck(width, out, *down, stride=2, **dd)]
            blocks += [MixConvBottleneck(out, out, *same, residual=True, **dd) for _ in range(repeats)]
            self.add_stage(blocks, out)
            width = out
        self.feature_info[-1]["num_chs_norm"] = last
        self.final_conv = ConvBnPReLU(width, last, **dd)
        self.init_head(partial(GDConvHead, last, self.map_size, embed_dim), last, embed_dim)


_RENAMES = [*backbone_renames(MOBILEFACENET_PARTS), *gdconv_renames("pool")]


def checkpoint_filter_fn(state_dict: StateDict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Take this network's names and the authors' released ones; check that nothing else differs.

    The release holds a BatchNorm and a PReLU after every MixConv that its forward never calls.

    Args:
        state_dict: Tensors by name.
        model: The network that they are for.

    Raises:
        CheckpointError: If names are missing or unexpected, or a shape differs; lists them.
    """
    return convert_state_dict(state_dict, model, _RENAMES, unused=[r"\.conv_dw\.(bn|prelu)\."])


default_cfgs = default_cfgs_for(
    {"mfn": {}},
    fixed_input_size=True,
    first_conv="stem.conv.conv",
    pool_size=(7, 7),
    paper_name="A Dual-Direction Attention Mixed Feature Network for Facial Expression Recognition",
    origin_url="https://github.com/SainingZhang/DDAMFN",
    license="apache-2.0",
)


@register_model
def mfn(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """MFN: mixed depthwise convolutions and coordinate attention in MobileFaceNet's frame."""
    return build_model(MFN, "mfn", pretrained, checkpoint_filter_fn, **kwargs)
