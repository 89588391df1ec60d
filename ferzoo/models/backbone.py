"""Weights of a backbone alone, for a network that puts a head of its own on it."""

from __future__ import annotations

from collections.abc import Collection

from torch import nn

from ..errors import CheckpointError
from .build import StateDict

__all__ = ["take_backbone"]


def take_backbone(
    model: nn.Module, state_dict: StateDict, source: str, needed: Collection[str], unused: Collection[str] = ()
) -> None:
    """Copy a backbone's tensors into a network; all others of the network stay.

    Args:
        model: The network.
        state_dict: Tensors by the network's names.
        source: Whose they are, for the message.
        needed: The network's names that a whole backbone gives.
        unused: What names of the backbone's own head begin with.

    Raises:
        CheckpointError: If the backbone is another: a tensor does not fit, or one that is needed is not there.
    """
    own = model.state_dict()
    state = {name: tensor for name, tensor in state_dict.items() if not name.startswith(tuple(unused))}
    odd = [name for name, tensor in state.items() if name not in own or tensor.shape != own[name].shape]
    odd += [name for name in needed if name not in state]
    if odd:
        raise CheckpointError(
            f"{source} is not the backbone of {type(model).__name__}: {', '.join(odd[:4])}"
            f"{f' and {len(odd) - 4} more' if len(odd) > 4 else ''} do not fit or are not there."
        )
    model.load_state_dict({**own, **state})
