"""A small residual network of depthwise separable convolutions (MobileNets, Howard et al. 2017, arXiv 1704.04861)."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

import torch
from torch import nn

from ferzoo import register_model
from ferzoo.models.base import FerModel
from ferzoo.models.build import StateDict, build_model, convert_state_dict, default_cfgs_for

__all__ = ["ExampleNet", "checkpoint_filter_fn", "ferzoo_example_net"]


class MeanPool(nn.Module):
    """Global average pool, (N, C, H, W) to (N, C)."""

    def __init__(self, **dd: Any) -> None:
        """Take `device` and `dtype` as every pool does; there is nothing to place."""
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean over space."""
        return x.mean((2, 3))


class SeparableConv(nn.Module):
    """Depthwise 3x3 and pointwise convolution, each with BatchNorm; a shortcut where the shape stays.

    Shape: (N, in_chs, H, W) to (N, out_chs, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_chs: int, out_chs: int, stride: int = 1, **dd: Any) -> None:
        """Take the widths, the stride, and `device` and `dtype`."""
        super().__init__()
        self.residual = stride == 1 and in_chs == out_chs
        self.conv_dw = nn.Conv2d(in_chs, in_chs, 3, stride, 1, groups=in_chs, bias=False, **dd)
        self.bn1 = nn.BatchNorm2d(in_chs, **dd)
        self.conv_pw = nn.Conv2d(in_chs, out_chs, 1, bias=False, **dd)
        self.bn2 = nn.BatchNorm2d(out_chs, **dd)
        self.act = nn.ReLU()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's map."""
        y = self.bn2(self.conv_pw(self.act(self.bn1(self.conv_dw(x)))))
        return self.act(x + y if self.residual else y)


class ExampleNet(FerModel):
    """Stem and three stages of separable convolutions, average pool, classifier.

    Args:
        num_classes: Classes; 0 for the vector before the classifier.
        in_chans: Channels of the input.
        global_pool: ``"avg"``, or ``""`` for the 4-D map.
        drop_rate: Dropout before the classifier.
        widths: Channels of the stem and of each stage.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        num_classes: int = 8,
        in_chans: int = 3,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        widths: tuple[int, ...] = (16, 24, 48, 96),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(num_classes, in_chans, global_pool, drop_rate, **dd)
        conv = nn.Conv2d(in_chans, widths[0], 3, 2, 1, bias=False, **dd)
        self.stem = nn.Sequential(OrderedDict(conv=conv, bn=nn.BatchNorm2d(widths[0], **dd), act=nn.ReLU()))
        self.feature_info = [{"num_chs": widths[0], "reduction": 2, "module": "stem"}]
        stages = []
        for i, (before, width) in enumerate(zip(widths, widths[1:], strict=False)):
            stages.append(nn.Sequential(SeparableConv(before, width, 2, **dd), SeparableConv(width, width, **dd)))
            self.feature_info.append({"num_chs": width, "reduction": 4 * 2**i, "module": f"stages.{i}"})
        self.stages = nn.Sequential(*stages)
        self.init_head(partial(MeanPool), widths[-1], widths[-1])


def checkpoint_filter_fn(state_dict: StateDict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Take this network's names, and check that nothing is missing or left over.

    Args:
        state_dict: Tensors by name.
        model: The network that they are for.
    """
    return convert_state_dict(state_dict, model)


default_cfgs = default_cfgs_for(
    {"ferzoo_example_net": {}}, input_size=(3, 64, 64), first_conv="stem.conv", license="apache-2.0"
)


@register_model
def ferzoo_example_net(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """A small network of separable convolutions for 64 px faces."""
    return build_model(ExampleNet, "ferzoo_example_net", pretrained, checkpoint_filter_fn, **kwargs)
