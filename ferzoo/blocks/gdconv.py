"""Global depthwise convolution head of MobileFaceNet (Chen et al. 2018, arXiv 1804.07573)."""

from __future__ import annotations

from typing import Any

import torch
import torch.fx
from timm.models.repvit import ConvNorm
from torch import nn

from ..errors import InputSizeError
from ..registry.register import register_block

__all__ = ["GDConvHead"]


def check_map(x: torch.Tensor, map_size: tuple[int, ...]) -> torch.Tensor:
    """Return `x` where it has the size of the global convolution.

    Raises:
        InputSizeError: If it has another.
    """
    if tuple(x.shape[2:]) != tuple(map_size):
        raise InputSizeError(
            f"A global convolution of {map_size[0]}x{map_size[1]} takes a map of that size, got {tuple(x.shape[2:])}."
        )
    return x


# A leaf for symbolic tracing, which knows no sizes.
torch.fx.wrap("check_map")


@register_block("gdconv_head", example={"channels": 8, "map_size": (5, 4), "embed_dim": 6, "input_size": (2, 8, 5, 4)})
class GDConvHead(nn.Module):
    """A depthwise Conv2d_BN as large as the map, then a Linear embedding with BatchNorm1d.

    Shape: (N, channels, *map_size) to (N, embed_dim), or (N, channels) without an embedding. The
    embedding is raw: whoever compares faces divides it by its L2 norm.

    Args:
        channels: Input channels.
        map_size: Height and width of the map, 7 and 7 at 112 px.
        embed_dim: Width of the embedding, 0 for none.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        InputSizeError: If a side of the map is not known, and in the forward pass for a map of another size.
    """

    def __init__(
        self,
        channels: int,
        map_size: tuple[int, int] = (7, 7),
        embed_dim: int = 256,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        if min(map_size) < 1:
            raise InputSizeError(
                f"A global convolution is as large as the map, and must know its size; got {tuple(map_size)}. "
                "Build the network with img_size, the input's height and width."
            )
        self.map_size = tuple(map_size)
        # timm's class takes any kernel that nn.Conv2d takes; its annotation says int.
        self.conv = ConvNorm(channels, channels, self.map_size, groups=channels, **dd)  # type: ignore[arg-type]
        self.fc = nn.Linear(channels, embed_dim, bias=False, **dd) if embed_dim else nn.Identity()
        self.bn = nn.BatchNorm1d(embed_dim, **dd) if embed_dim else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the raw embedding of the map."""
        if not torch.jit.is_scripting():
            x = check_map(x, self.map_size)
        return self.bn(self.fc(self.conv(x).flatten(1)))
