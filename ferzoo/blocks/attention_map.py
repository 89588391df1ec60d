"""How a block shows where it looks: the one method that `ferzoo explain` asks of it."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch

__all__ = ["AttentionMap"]


@runtime_checkable
class AttentionMap(Protocol):
    """A block that weighs the places of a map, and tells the weights.

    `ferzoo.explain` draws every block of a network that has this method, from whatever package it comes: nothing has to
    be inherited or listed. The block's registered name is the name of the method (``method="coord_att"``); a class that
    is not registered goes by its name in snake case. The block stores nothing: `attention_map` is called with the
    input that the network gives to the block's `forward`, in evaluation mode and without gradients, from a hook of the
    block: it may call `self.forward`, and not the block itself.

    Example:
        >>> class Gate(nn.Module):
        ...     def attention_map(self, x):
        ...         return self.conv(x).sigmoid()
        ...
        ...     def forward(self, x):
        ...         return x * self.attention_map(x)
    """

    def attention_map(self, x: torch.Tensor) -> torch.Tensor:
        """Return the weights of a map.

        Args:
            x: The input of `forward`, (N, C, H, W).

        Returns:
            Weights (N, 1 or more, h, w), finite; they are averaged over the second axis.
        """
        ...
