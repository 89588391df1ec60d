"""The network under check: how to build it again, and one built with a batch and its output."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from .report import randomise

__all__ = ["ModelSubject", "batch"]


def batch(size: tuple[int, ...], dtype: torch.dtype | None = None) -> torch.Tensor:
    """A standard normal batch, the same at every call."""
    return torch.randn(size, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(dtype or torch.float32)


@dataclass
class ModelSubject:
    """A network as the checks see it."""

    name: str
    entrypoint: Callable[..., nn.Module]
    #: Arguments of every build.
    kwargs: dict[str, Any]
    cfg: dict[str, Any]
    in_chans: int
    size: tuple[int, int]
    #: The network takes no size but the one that it was built for.
    fixed_size: bool

    def build(self, seed: int = 0, **kwargs: Any) -> Any:
        """A fresh network, the same at every call with one seed; typed by what the checks find in it."""
        torch.default_generator.manual_seed(seed)
        return self.entrypoint(**{**self.kwargs, "in_chans": self.in_chans, **kwargs})

    def batch(self, length: int, in_chans: int | None = None, dtype: torch.dtype | None = None) -> torch.Tensor:
        """A batch that fits the network."""
        return batch((length, in_chans or self.in_chans, *self.size), dtype)

    @cached_property
    def model(self) -> Any:
        """The network in eval mode with random statistics; a check that changes it copies it first."""
        return randomise(self.build()).eval()

    @property
    def x(self) -> torch.Tensor:
        """A batch of three, a fresh one at every call: a network may change it in place."""
        return self.batch(3)

    @cached_property
    @torch.no_grad()
    def output(self) -> torch.Tensor:
        """The network's logits for `x`."""
        return self.model(self.x)

    @property
    def other_x(self) -> torch.Tensor:
        """A batch of two that `x` does not hold, a fresh one at every call."""
        return self.batch(5)[3:]

    @cached_property
    @torch.no_grad()
    def other_output(self) -> torch.Tensor:
        """The network's logits for `other_x`."""
        return self.model(self.other_x)
