"""MassAtt, the mass attention of LANMSFF (Ezati et al. 2024, arXiv 2403.14318, section 3.2)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..registry.register import register_block

__all__ = ["MassAtt"]


def _pad_same_stride2(x: torch.Tensor) -> torch.Tensor:
    """Pad for a 3x3 convolution of stride 2 as TensorFlow's "same": evenly on odd sizes, else at the end."""
    top, left = x.shape[2] % 2, x.shape[3] % 2
    return F.pad(x, [left, 1, top, 1])


@register_block("mass_att", example={"channels": 8})
class MassAtt(nn.Module):
    """Channel attention times an hourglass spatial attention.

    Shape: (N, channels, H, W) to attention of the same shape in (0, 1); the caller multiplies it with
    the input. Where a side is no multiple of 4 the last map is cropped at the top left.

    Args:
        channels: Input channels.
        ratio: Reduction of the channel attention's hidden layer.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: If nothing is left of the channels after the reduction.
    """

    def __init__(
        self,
        channels: int,
        ratio: int = 4,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        if not 1 <= ratio <= channels:
            raise ValueError(f"MassAtt needs a ratio from 1 to its {channels} channels, got {ratio}.")
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.fc1 = nn.Linear(channels, channels // ratio, **dd)
        self.fc2 = nn.Linear(channels // ratio, channels, **dd)
        self.down1 = nn.Conv2d(1, 2, 3, 2, **dd)
        self.down2 = nn.Conv2d(2, 4, 3, 2, **dd)
        self.up1 = nn.ConvTranspose2d(4, 4, 3, 2, **dd)
        self.up2 = nn.ConvTranspose2d(4, 1, 3, 2, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the attention map of `x`."""
        channel = torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean((2, 3))))))
        y = F.relu(self.down1(_pad_same_stride2(x.mean(1, keepdim=True))))
        y = F.relu(self.down2(_pad_same_stride2(y)))
        # A transposed "same" convolution is exactly twice the size: the last row and column go.
        y = F.relu(self.up1(y)[:, :, :-1, :-1])
        y = torch.sigmoid(self.up2(y))[:, :, : x.shape[2], : x.shape[3]]
        return channel[:, :, None, None] * y

    def attention_map(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the caller multiplies `x` with: the output itself."""
        return self.forward(x)
