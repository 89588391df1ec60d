"""The multi-scale block of MA-Net's global branch (Zhao et al. 2021, IEEE TIP 30:6544-6556)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from timm.models.repvit import ConvNorm
from timm.models.resnet import downsample_conv
from torch import nn

from ..registry.register import register_block

__all__ = ["MultiScale"]

#: Parts that the channels are split in.
SCALES = 4


@register_block("multi_scale", example={"in_chs": 8, "out_chs": 16, "stride": 2})
class MultiScale(nn.Module):
    """A residual block whose four channel groups pass their maps on, forward and backward.

    3x3 convolution, BN and ReLU to `out_chs`, split in four. Forward: y1 = f1(s1), yk = fk(ReLU(y(k-1)) + sk), with a
    3x3 convolution and BN each; backward the same from the last split to the first, with convolutions of its own. Each
    four are concatenated in the order of the channels; both and the shortcut are added; ReLU.
    Shape: (N, in_chs, H, W) to (N, out_chs, ceil(H / stride), ceil(W / stride)).

    Args:
        in_chs: Input channels.
        out_chs: Output channels, a multiple of 4.
        stride: Stride of the first convolution and of the shortcut.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: If the output channels cannot be split in four.
    """

    def __init__(
        self,
        in_chs: int,
        out_chs: int,
        stride: int = 1,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        if out_chs < SCALES or out_chs % SCALES:
            raise ValueError(f"MultiScale splits its channels in {SCALES}: out_chs={out_chs} is no multiple of it.")
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        part = out_chs // SCALES
        self.conv = ConvNorm(in_chs, out_chs, 3, stride, 1, **dd)
        self.ahead = nn.ModuleList(ConvNorm(part, part, 3, 1, 1, **dd) for _ in range(SCALES))
        # In the order of their use: the first is that of the last split.
        self.back = nn.ModuleList(ConvNorm(part, part, 3, 1, 1, **dd) for _ in range(SCALES))
        same = in_chs == out_chs and stride == 1
        self.shortcut = nn.Identity() if same else downsample_conv(in_chs, out_chs, 1, stride, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's map."""
        splits = F.relu(self.conv(x)).chunk(4, dim=1)
        ahead: list[torch.Tensor] = []
        for i, conv in enumerate(self.ahead):
            ahead.append(conv(F.relu(ahead[i - 1]) + splits[i] if i else splits[0]))
        back: list[torch.Tensor] = []
        for i, conv in enumerate(self.back):
            back.insert(0, conv(F.relu(back[0]) + splits[3 - i] if i else splits[3]))
        return F.relu(torch.cat(ahead, dim=1) + torch.cat(back, dim=1) + self.shortcut(x))
