"""Dual-direction attention, the head of DDAMFN (Zhang et al. 2023, Electronics 12(17):3595)."""

from __future__ import annotations

from typing import Any

import torch
from timm.models.repvit import ConvNorm

from ..errors import InputSizeError
from ..registry.register import register_block
from .coord_att import CoordAtt
from .gdconv import check_map

__all__ = ["DualDirectionAttention"]

# A leaf for symbolic tracing, which knows no sizes.
torch.fx.wrap("check_map")


@register_block("dual_direction_attention", example={"channels": 8, "map_size": (5, 4), "input_size": (2, 8, 5, 4)})
class DualDirectionAttention(CoordAtt):
    """Coordinate attention whose rows and columns are weighed by depthwise convolutions instead of averaged.

    Shape: (N, channels, *map_size) to attention of the same shape in (0, 1); the caller multiplies it.

    Args:
        channels: Channels in and out.
        map_size: Height and width of the map, 7 and 7 at 112 px.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        InputSizeError: If a side of the map is not known, and in the forward pass for a map of another size.
    """

    def __init__(
        self,
        channels: int,
        map_size: tuple[int, int] = (7, 7),
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(channels, **dd)
        if min(map_size) < 1:
            raise InputSizeError(
                f"Dual-direction attention is as large as the map, and must know its size; got {tuple(map_size)}. "
                "Build the network with img_size, the input's height and width."
            )
        self.map_size = tuple(map_size)
        height, width = self.map_size
        # timm's class takes any kernel that nn.Conv2d takes; its annotation says int.
        self.rows = ConvNorm(channels, channels, (1, width), groups=channels, **dd)  # type: ignore[arg-type]
        self.columns = ConvNorm(channels, channels, (height, 1), groups=channels, **dd)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the attention map of `x`."""
        if not torch.jit.is_scripting():
            x = check_map(x, self.map_size)
        gate_h, gate_w = self.gates(self.rows(x).squeeze(3), self.columns(x).squeeze(2))
        return gate_w * gate_h

    def attention_map(self, x: torch.Tensor) -> torch.Tensor:
        """Return what `forward` returns, (N, channels, *map_size) in (0, 1)."""
        return self.forward(x)
