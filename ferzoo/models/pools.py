"""The plain pool that several networks end in."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["AveragePool"]


class AveragePool(nn.Module):
    """Global average pool to a vector (N, C)."""

    def __init__(self, **dd: Any) -> None:
        """Take `device` and `dtype` like every pool; there is nothing to place."""
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean over space."""
        return x.mean((2, 3))
