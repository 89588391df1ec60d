"""From a registered name, or a class or function, to what a check builds."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from ..registry.lookup import find_registered
from ..registry.register import Registered, registered

__all__ = ["built_by"]


def built_by(kind: str, target: str | Callable[..., nn.Module]) -> tuple[str, Callable[..., nn.Module], dict[str, Any]]:
    """Name, builder and example arguments of a block or loss.

    Args:
        kind: ``"block"`` or ``"loss"``.
        target: A registered name, or a class or function that returns an `nn.Module`.

    Raises:
        TypeError: If it is neither.
        UnknownNameError: If the name is not registered; names the nearest.
    """
    item: Registered | None
    if isinstance(target, str):
        item = find_registered(kind, target)
    else:
        item = next((i for i in registered(kind).values() if i.make is target), None)
    make: Any = item.make if item else target
    if not callable(make) or isinstance(make, nn.Module):
        raise TypeError(f"check_{kind} takes a name, or a class or function that builds a {kind}, got {make!r:.80}.")
    name = item.name if item else getattr(make, "__name__", f"The {kind}")
    return name, make, dict(item.example) if item else {}
