"""Training and evaluation mode of a network that is somebody else's."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from torch import nn

__all__ = ["eval_mode"]


@contextlib.contextmanager
def eval_mode(model: nn.Module) -> Iterator[None]:
    """Evaluation mode within the block; after it every module is in the mode that it was in, frozen ones too."""
    before = [(module, module.training) for module in model.modules()]
    try:
        model.eval()
        yield
    finally:
        model.train(before[0][1])  # some modules do more then than to set the flag
        for module, training in before:
            module.training = training
