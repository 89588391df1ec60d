"""LFNSB-fast: LFNSB's frame and head, of the few operations that runtimes are quick at."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from timm.models.repvit import ConvNorm, RepVggDw
from torch import nn

from ..blocks.coord_att import CoordAtt
from ..blocks.fused_bottleneck import FusedBottleneck, RepBottleneck
from ..registry.register import register_model
from .base import FerModel
from .build import StateDict, build_model, convert_state_dict, default_cfgs_for
from .lfn import BiasVector

__all__ = ["LFNFast", "checkpoint_filter_fn", "lfnsb_fast"]

#: (out, fused bottlenecks, bottlenecks with RepVGGDW) a stage; the first fused one halves the map.
STAGES = ((48, 3, 0), (96, 4, 0), (192, 1, 3))


class LFNFast(FerModel):
    """Fused bottlenecks in the first two stages, RepVGGDW in the last, and Spatial Bias as the head.

    LFNSB spends most of its time in runtimes not on arithmetic, but on 34 coordinate attentions, PReLUs and layout
    changes between them. Here two convolutions with a ReLU between them make a block, a dense 3x3 and a 1x1 one, where
    the map is large and the width small. Takes (N, in_chans, H, W) of any size from 32 px up; 64 px by
    default, for faces that were 48 px.

    Args:
        num_classes: Classes; 0 for the vector before the classifier.
        in_chans: Channels of the input.
        global_pool: ``"head"`` for the network's own head, ``""`` for the 4-D map.
        drop_rate: Dropout before the classifier.
        attention: Coordinate attention at the end of every stage.
        img_size: Taken as timm's tools pass it; any size works, whatever is said here.
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
        attention: bool = False,
        img_size: int | tuple[int, int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(num_classes, in_chans, global_pool, drop_rate, img_size, fixed_size=False, **dd)
        width = 32
        self.stem = nn.Sequential(
            ConvNorm(in_chans, width, 3, 2, 1, **dd),
            nn.ReLU(),
            FusedBottleneck(width, width, 2 * width, **dd),
        )
        self.feature_info = [{"num_chs": width, "reduction": 2, "module": "stem"}]
        for out, fused, rep in STAGES:
            blocks: list[nn.Module] = [FusedBottleneck(width, out, 2 * out, 2, **dd)]
            blocks += [FusedBottleneck(out, out, 2 * out, **dd) for _ in range(fused - 1)]
            blocks += [RepBottleneck(out, 2 * out, **dd) for _ in range(rep)]
            if attention:
                blocks.append(CoordAtt(out, **dd))
            self.add_stage(blocks, out)
            width = out
        self.final_conv = RepVggDw(width, 3, **dd)
        self.init_head(partial(BiasVector, width), width, 256)


def checkpoint_filter_fn(state_dict: StateDict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Check that a checkpoint has this network's names, and nothing else.

    Args:
        state_dict: Tensors by name.
        model: The network that they are for.

    Raises:
        CheckpointError: If names are missing or unexpected, or a shape differs; lists them.
    """
    return convert_state_dict(state_dict, model)


default_cfgs = default_cfgs_for(
    {"lfnsb_fast": {}},
    input_size=(3, 64, 64),
    first_conv="stem.0.c",
    pool_size=(4, 4),
    license="apache-2.0",
)


@register_model
def lfnsb_fast(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """LFNSB-fast: LFNSB's faster sibling, 64 px faces, few and large operations."""
    return build_model(LFNFast, "lfnsb_fast", pretrained, checkpoint_filter_fn, **kwargs)
