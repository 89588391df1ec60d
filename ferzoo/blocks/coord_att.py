"""Coordinate attention (Hou et al. 2021, arXiv 2103.02907), without transposes."""

from __future__ import annotations

import torch
from timm.layers.coord_attn import CoordAttn

from ..registry.register import register_block

__all__ = ["CoordAtt"]


@register_block("coord_att", example={"channels": 16})
class CoordAtt(CoordAttn):
    """Coordinate attention: a gate a row and a gate a column, multiplied with the input.

    timm's layer with the widths and biases of the papers, and a forward that pools by means and
    broadcasts the gates: the same numbers, and a graph without transposes or expands.
    Shape: (N, channels, H, W) to the same.

    Args:
        channels: Channels in and out.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self, channels: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None
    ) -> None:
        """See the class."""
        super().__init__(channels, rd_channels=max(8, channels // 32), bias=True, device=device, dtype=dtype)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return `x` times its row and column gates."""
        gate_h, gate_w = self.gates(x.mean(3), x.mean(2))
        return x * gate_w * gate_h

    def gates(self, rows: torch.Tensor, columns: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Gates (N, C, H, 1) and (N, C, 1, W) of what a row (N, C, H) and a column (N, C, W) hold."""
        height, width = rows.shape[2], columns.shape[2]
        # One BatchNorm sees both strips together: in training its statistics depend on it.
        strips = torch.cat([rows, columns], dim=2).unsqueeze(3)
        rows, columns = torch.split(self.act(self.bn1(self.conv1(strips))), [height, width], dim=2)
        return self.gate(self.conv_h(rows)), self.gate(self.conv_w(columns)).squeeze(3).unsqueeze(2)

    def attention_map(self, x: torch.Tensor) -> torch.Tensor:
        """Return what `forward` multiplies `x` with, (N, channels, H, W) in (0, 1)."""
        gate_h, gate_w = self.gates(x.mean(3), x.mean(2))
        return gate_w * gate_h
