"""MobileFaceNet (Chen et al. 2018, arXiv 1804.07573), the face network that MFN and LFN grew from."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

import torch
from timm.models.repvit import ConvNorm
from torch import nn

from ..blocks.conv_bn import ConvBnPReLU
from ..blocks.gdconv import GDConvHead
from ..registry.register import register_model
from .base import FerModel
from .build import StateDict, build_model, convert_state_dict, default_cfgs_for
from .released import MOBILEFACENET_PARTS, backbone_renames, gdconv_renames

__all__ = ["MobileFaceNet", "checkpoint_filter_fn", "mobilefacenet"]

#: (out, hidden of the downsampling bottleneck, repeats and hidden of the residual ones) a stage.
STAGES = ((64, 128, 4, 128), (128, 256, 6, 256), (128, 512, 2, 256))


class Bottleneck(nn.Module):
    """1x1 and depthwise 3x3 convolutions with BN and PReLU, then a linear 1x1 Conv2d_BN.

    Shape: (N, in_chs, H, W) to (N, out_chs, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(
        self, in_chs: int, out_chs: int, hidden: int, stride: int = 1, residual: bool = False, **dd: Any
    ) -> None:
        """Take the widths, the stride, whether the input is added, and `device` and `dtype`."""
        super().__init__()
        self.residual = residual
        self.expand = ConvBnPReLU(in_chs, hidden, **dd)
        self.conv_dw = ConvBnPReLU(hidden, hidden, 3, stride, groups=hidden, **dd)
        self.project = ConvNorm(hidden, out_chs, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's map."""
        y = self.project(self.conv_dw(self.expand(x)))
        return x + y if self.residual else y


class MobileFaceNet(FerModel):
    """MobileFaceNet: inverted bottlenecks with PReLU and a global depthwise convolution.

    Takes (N, in_chans, *img_size). With `num_classes=0` it gives the raw embedding (N, embed_dim).

    Args:
        num_classes: Classes; 0 for the embedding.
        in_chans: Channels of the input.
        global_pool: ``"head"`` for the network's own head, ``""`` for the 4-D map (N, 512, h, w).
        drop_rate: Dropout before the classifier.
        img_size: Input height and width, which the head has to know.
        embed_dim: Width of the embedding; the paper's is 128.
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
        for out, hidden_down, repeats, hidden in STAGES:
            blocks = [Bottleneck(width, out, hidden_down, 2, **dd)]
            blocks += [Bottleneck(out, out, hidden, residual=True, **dd) for _ in range(repeats)]
            self.add_stage(blocks, out)
            width = out
        self.feature_info[-1]["num_chs_norm"] = last
        self.final_conv = ConvBnPReLU(width, last, **dd)
        self.init_head(partial(GDConvHead, last, self.map_size, embed_dim), last, embed_dim)


_RENAMES = [*backbone_renames(MOBILEFACENET_PARTS), *gdconv_renames("pool")]


def checkpoint_filter_fn(state_dict: StateDict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Take this network's names and those of the widely used PyTorch release; check the rest.

    Args:
        state_dict: Tensors by name.
        model: The network that they are for.

    Raises:
        CheckpointError: If names are missing or unexpected, or a shape differs; lists them.
    """
    return convert_state_dict(state_dict, model, _RENAMES)


default_cfgs = default_cfgs_for(
    {"mobilefacenet": {}},
    fixed_input_size=True,
    first_conv="stem.conv.conv",
    pool_size=(7, 7),
    paper_name="MobileFaceNets: Efficient CNNs for Accurate Real-Time Face Verification on Mobile Devices",
    paper_ids="arXiv:1804.07573",
    license="apache-2.0",
)


@register_model
def mobilefacenet(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """MobileFaceNet with a 256-d embedding: 1.07M parameters without classifier."""
    return build_model(MobileFaceNet, "mobilefacenet", pretrained, checkpoint_filter_fn, **kwargs)
