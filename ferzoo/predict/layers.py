"""The layers of a network whose maps can be looked at, found by their names and seen through hooks that go again."""

from __future__ import annotations

import contextlib
import copy
import fnmatch
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

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


class _Shared(TorchFunctionMode):
    """Within it, what copies a tensor gets the tensor itself."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return args[0] if func is torch.Tensor.__deepcopy__ else func(*args, **(kwargs or {}))


def private(model: nn.Module) -> nn.Module:
    """A network of the same tensors in evaluation mode, whose modes are no other thread's, nor are hooks put on it.

    Args:
        model: The network; it is left as it is, and the hooks that it has are called for the copy, too. In evaluation
            mode no forward pass writes to its tensors.

    Raises:
        FerzooError: If its modules cannot be copied.
    """
    tables = (value for module in model.modules() for key, value in vars(module).items() if key.endswith("_hooks"))
    hooks = (hook for table in tables if isinstance(table, Mapping) for hook in table.values())
    try:
        with _Shared():  # which torch does not ask of parameters
            return copy.deepcopy(model, {id(each): each for each in (*model.parameters(), *hooks)}).eval()
    except Exception as error:  # somebody else's module may hold anything
        raise FerzooError(
            f"{type(model).__name__} cannot be copied, as is done to look into it: {first_line(error)}. Take what "
            "cannot be copied out of the network."
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
