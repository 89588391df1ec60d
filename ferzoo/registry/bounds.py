"""A limit on how large a network may become while it is built."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from ..errors import CheckpointError

__all__ = ["bounded"]

#: The largest networks of timm have some thousands.
_MOST_MODULES = 50_000


class _Left(threading.local):
    """What this thread's network may still grow by; None where there is no limit."""

    parameters: int | None = None
    modules: int = 0
    refusal: str = ""


_left = _Left()


@contextmanager
def bounded(parameters: int, refusal: str) -> Iterator[None]:
    """Within it this thread can build no network with more values in its parameters.

    It ends as the first parameter too many is registered, which torch's layers do before they fill it: memory that is
    only reserved costs nothing.

    Args:
        parameters: The most values.
        refusal: What to say where it becomes larger, or has more modules than any network.

    Raises:
        CheckpointError: If it does.
    """
    _watch()
    _left.parameters, _left.modules, _left.refusal = parameters, _MOST_MODULES, refusal
    try:
        yield
    finally:
        _left.parameters = None


@lru_cache(maxsize=1)
def _watch() -> None:
    """Be told of every parameter and module; for good, as torch's lists of hooks may not change while they are read."""
    from torch.nn.modules import module as hooks

    def parameter(_: Any, __: str, value: Any) -> None:
        if _left.parameters is not None and value is not None:
            _left.parameters -= value.numel()
            if _left.parameters < 0:
                raise CheckpointError(_left.refusal)

    def module(*_: Any) -> None:
        if _left.parameters is not None:
            _left.modules -= 1
            if _left.modules < 0:
                raise CheckpointError(_left.refusal)

    hooks.register_module_parameter_registration_hook(parameter)
    hooks.register_module_module_registration_hook(module)
