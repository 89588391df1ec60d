"""Whether a network that was read back is the one that was written: in its tensors, and in what it computes."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from ..errors import CheckpointError
from ..models.modes import eval_mode

__all__ = ["compare", "compare_outputs"]

_ADVICE = "Give the arguments that it was built with as model_args."
#: Largest relative difference of outputs: the order of sums may differ, with the layout in memory.
_TOLERANCE = 1e-3


def compare(model: nn.Module, tensors: Mapping[str, torch.Tensor], origin: str) -> None:
    """See that a network holds given tensors, bit for bit.

    Args:
        model: The network, in float32.
        tensors: What it must hold.
        origin: Where it was loaded from, for the message.

    Raises:
        CheckpointError: If a tensor is missing or differs; names some.
    """
    own = model.state_dict()
    other = [k for k in tensors if k not in own or not torch.equal(own[k].cpu(), tensors[k].to(own[k].dtype))]
    counters = {k for k in own if k.endswith("num_batches_tracked")}
    other += [k for k in own if k not in tensors and k not in counters]
    if other:
        raise CheckpointError(
            f"The network read back from {origin} differs in {', '.join(sorted(other)[:5])}. {_ADVICE}"
        )


def compare_outputs(again: nn.Module, model: nn.Module, size: tuple[int, ...]) -> None:
    """See that two networks of the same tensors compute the same of a batch of noise, in evaluation mode.

    Arguments that change no tensor, as a stride or a kind of pooling, show here alone.

    Args:
        again: The network that was read back, on the CPU in float32.
        model: The one that was written, of any type and on any device.
        size: Channels, height and width of the input.

    Raises:
        CheckpointError: If shapes or values differ, or the second network does not take the batch.
    """
    x = torch.randn(2, *size, generator=torch.Generator().manual_seed(0))
    try:
        written = copy.deepcopy(model).cpu().float()
        written.load_state_dict(again.state_dict())  # rounded, where it was written so
        wanted = _output(written, x)
    except Exception:  # it cannot be copied, or takes something else than its cfg says: nothing to compare
        return
    try:
        found = _output(again, x)
    except Exception as error:  # a network can fail in any way
        raise CheckpointError(f"The network read back does not take what the first takes: {error} {_ADVICE}") from error
    if not isinstance(wanted, torch.Tensor) or not isinstance(found, torch.Tensor):
        return
    if wanted.shape != found.shape:
        raise CheckpointError(
            f"The network read back gives {tuple(found.shape)} where the network gives {tuple(wanted.shape)}. {_ADVICE}"
        )
    difference = ((wanted - found).norm() / wanted.norm().clamp_min(1e-12)).item()
    if not difference <= _TOLERANCE:
        raise CheckpointError(
            f"The network read back holds the same tensors and computes something else: its outputs differ by "
            f"{100 * difference:.2g} %. {_ADVICE} What is random in evaluation mode, or kept outside of the state "
            "dict, cannot be pushed."
        )


@torch.no_grad()
def _output(model: nn.Module, x: torch.Tensor) -> object:
    with eval_mode(model):
        return model(x)
