"""The layers of a network whose maps can be looked at, found by their names and seen through hooks that go again."""

from __future__ import annotations

import contextlib
import copy
import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from ..errors import FerzooError, UnknownNameError, first_line

__all__ = ["chosen", "hooked", "private", "the_map", "with_gradients"]


def chosen(layers: Mapping[str, nn.Module], pattern: str, model: nn.Module) -> dict[str, nn.Module]:
    """The layers that a name or a pattern means.

    Args:
        layers: Those that there are, by name.
        pattern: A name, or a pattern where ``*`` and ``?`` stand for characters.
        model: The network, for the message.

    Raises:
        UnknownNameError: If there is none; names the nearest.
    """
    found = {name: layer for name, layer in layers.items() if name == pattern or fnmatch.fnmatchcase(name, pattern)}
    if found:
        return found
    known = list(layers)
    some = ", ".join(known if len(known) <= 6 else [*known[:3], "...", *known[-3:]])
    raise UnknownNameError("layer", pattern, known, f"{type(model).__name__} has {some}.")


def private(model: nn.Module) -> nn.Module:
    """A network of the same tensors in evaluation mode, whose modes and hooks are no other thread's.

    Args:
        model: The network; it is left as it is. In evaluation mode no forward pass writes to its tensors.

    Raises:
        FerzooError: If its modules cannot be copied.
    """
    tensors = [*model.parameters(), *model.buffers()]
    # Those that are neither, too: what an old weight_norm has worked out cannot be copied.
    tensors += [value for module in model.modules() for value in vars(module).values() if torch.is_tensor(value)]
    try:
        return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors}).eval()
    except Exception as error:  # somebody else's module may hold anything
        raise FerzooError(
            f"{type(model).__name__} cannot be copied, as is done to look into it: {first_line(error)}. Take what "
            "cannot be copied out of the network, and out of its hooks."
        ) from error


@contextlib.contextmanager
def with_gradients() -> Iterator[None]:
    """Gradients within the block, whatever the caller has switched off."""
    # A caller's inference mode or no_grad would keep them away.
    with torch.inference_mode(False), torch.enable_grad():
        yield


@contextlib.contextmanager
def hooked(
    layers: Iterable[nn.Module], add: Callable[[nn.Module], torch.utils.hooks.RemovableHandle]
) -> Iterator[None]:
    """Hooks within the block: `add` registers that of one layer and returns its handle."""
    handles: list[torch.utils.hooks.RemovableHandle] = []
    try:
        handles += map(add, layers)
        yield
    finally:
        for handle in handles:
            handle.remove()


def the_map(outputs: list[Any], name: str) -> torch.Tensor:
    """The one map (N, C, H, W) that a layer gave in one pass.

    Raises:
        FerzooError: If it gave none, several, or something that is no map.
    """
    if len(outputs) != 1:
        often = f"used {len(outputs)} times" if outputs else "not used"
        raise FerzooError(f"The layer {name!r} is {often} in a forward pass: choose another.")
    (output,) = outputs
    if not isinstance(output, torch.Tensor) or output.ndim != 4 or 0 in output.shape:
        what = tuple(output.shape) if isinstance(output, torch.Tensor) else type(output).__name__
        raise FerzooError(f"The layer {name!r} gives {what} and no map (N, channels, height, width): choose another.")
    return output
