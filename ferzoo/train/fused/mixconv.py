"""MixConv bottlenecks and LFN's stem in training by loops that numba compiles.

They make fewer passes over memory than PyTorch does on a CPU. A block's widest maps are kept in bfloat16, everything
else in float32.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.models.repvit import ConvNorm
from torch import nn

from ...blocks.mixconv import MixConvBottleneck
from .functions import AttendProject, ExpandMix, Normalize, NormMix
from .maps import applies, is_depthwise

__all__ = ["NumbaBottleneck", "NumbaStem", "is_stem"]


class NumbaBottleneck(MixConvBottleneck):
    """A MixConv bottleneck that in training computes by numba's loops; in evaluation it is the block that it was."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, out_chs, H', W') of (N, in_chs, H, W), best in channels_last."""
        parts: Any = self  # PyTorch types what a module holds as a tensor or a module
        if not applies(self, x, parts.expand.bn, parts.project.bn):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return self._train(x.permute(0, 2, 3, 1).float().contiguous())

    def _train(self, maps: torch.Tensor) -> torch.Tensor:
        parts: Any = self
        expand, project = parts.expand, parts.project
        weights = (expand.conv.weight, expand.bn.weight, expand.bn.bias, expand.act.weight)
        convs = parts.mix.convs
        taps = (conv.weight.flatten(1).t().contiguous() for conv in convs)
        mixed, rows, columns = ExpandMix.apply(maps, *weights, expand.bn, convs[0].stride[0], *taps)
        gates = self._gates(rows, columns)
        residual = maps if self.residual else None
        affine = (project.bn.weight, project.bn.bias)
        out: torch.Tensor = AttendProject.apply(mixed, *gates, project.c.weight, *affine, residual, project.bn)
        return out.permute(0, 3, 1, 2)

    def _gates(self, rows: torch.Tensor, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gates (N, H, C) and (N, W, C): `CoordAtt.gates` with the channels last."""
        att, (n, height, channels) = self.att, rows.shape
        strips = torch.cat([rows, columns], dim=1).view(-1, channels)
        shared = att.act(att.bn1(F.linear(strips, att.conv1.weight.flatten(1), att.conv1.bias)[..., None, None]))
        shared = shared.view(n, -1, shared.shape[1])
        parts = ((shared[:, :height], att.conv_h), (shared[:, height:], att.conv_w))
        of_rows, of_columns = (
            att.gate(F.linear(part, conv.weight.flatten(1), conv.bias)).contiguous() for part, conv in parts
        )
        return of_rows, of_columns


class NumbaStem(nn.Sequential):
    """A Conv2d_BN and a depthwise one, `conv` and `conv_dw`, whose norms and second convolution are numba's loops."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the two give in turn."""
        parts: Any = self
        if not applies(self, x, parts.conv.bn, parts.conv_dw.bn):
            return super().forward(x)
        conv, norm, depthwise = parts.conv.c, parts.conv.bn, parts.conv_dw
        maps = conv(x).permute(0, 2, 3, 1)
        taps = depthwise.c.weight.flatten(1).t().contiguous()
        mixed = NormMix.apply(maps, norm.weight, norm.bias, taps, norm)
        out: torch.Tensor = Normalize.apply(mixed, depthwise.bn.weight, depthwise.bn.bias, depthwise.bn)
        return out.permute(0, 3, 1, 2)


def is_stem(module: nn.Module) -> bool:
    """Whether a module is a Conv2d_BN and a depthwise one of stride 1, `conv` and `conv_dw`."""
    if type(module) is not nn.Sequential or [name for name, _ in module.named_children()] != ["conv", "conv_dw"]:
        return False
    parts: Any = module
    first, second = parts.conv, parts.conv_dw
    if type(first) is not ConvNorm or type(second) is not ConvNorm or not isinstance(second.c, nn.Conv2d):
        return False
    return is_depthwise(second.c) and second.c.stride == second.c.dilation == (1, 1)
