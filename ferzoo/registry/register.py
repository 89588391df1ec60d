"""Decorators for plugin modules: a checked wrapper over timm's `register_model`, and blocks and losses."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload

from ..errors import PluginConflictError, RegistrationError

__all__ = ["Registered", "register_block", "register_loss", "register_model", "registered", "registered_name"]

T = TypeVar("T", bound=Callable[..., Any])


@dataclass(frozen=True)
class Registered:
    """A block or loss as its module registered it."""

    kind: str
    name: str
    make: Callable[..., Any]
    #: Arguments that build a small one, and `input_size`, for the conformance checks.
    example: dict[str, Any] = field(default_factory=dict)

    @property
    def module(self) -> str:
        """Dotted name of the module that registered it."""
        return self.make.__module__


_registered: dict[tuple[str, str], Registered] = {}


def registered(kind: str) -> dict[str, Registered]:
    """What imported modules have registered so far, by name."""
    return {name: item for (k, name), item in _registered.items() if k == kind}


def registered_name(kind: str, make: Callable[..., Any]) -> str:
    """Name that a class or function is registered under, or that it would get."""
    names = [name for name, item in registered(kind).items() if item.make is make]
    return names[0] if names else _snake_case(make.__name__)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _register(kind: str, target: Any, example: dict[str, Any] | None) -> Any:
    def add(make: T, name: str = "") -> T:
        name = name or _snake_case(make.__name__)
        item = Registered(kind, name, make, dict(example or {}))
        before = _registered.get((kind, name))
        # The same definition again is a reload, and a module that is gone failed to import: no collisions.
        same = before and (before.module, before.make.__qualname__) == (item.module, make.__qualname__)
        if before and not same and before.module in sys.modules:
            raise PluginConflictError(
                f"The {kind} {name!r} of {item.module} is already registered by {before.module}. Rename one of them."
            )
        _registered[kind, name] = item
        return make

    if callable(target):
        return add(target)
    if target is not None and not isinstance(target, str):
        raise RegistrationError(f"register_{kind} takes a name or nothing, got {target!r}.")
    return lambda make: add(make, target or "")


@overload
def register_block(target: T) -> T: ...
@overload
def register_block(target: str | None = None, *, example: dict[str, Any] | None = None) -> Callable[[T], T]: ...
def register_block(target: Any = None, *, example: dict[str, Any] | None = None) -> Any:
    """Register a block: a class or function that returns an `nn.Module`.

    Use it bare, or with a name; without one the name is the function's, or the class's in snake case.

    Args:
        target: The name, or the decorated object where the decorator is bare.
        example: Arguments that build a small block, and optionally `input_size` with the batch, for
            `ferzoo.testing.check_block`.

    Raises:
        PluginConflictError: If another module registered the name.
    """
    return _register("block", target, example)


@overload
def register_loss(target: T) -> T: ...
@overload
def register_loss(target: str | None = None, *, example: dict[str, Any] | None = None) -> Callable[[T], T]: ...
def register_loss(target: Any = None, *, example: dict[str, Any] | None = None) -> Any:
    """Register a loss: a class or function that returns an `nn.Module`; used as `register_block`.

    Args:
        target: The name, or the decorated object where the decorator is bare.
        example: Arguments that build a small loss, and optionally `input_shapes`, for `ferzoo.testing.check_loss`.

    Raises:
        PluginConflictError: If another module registered the name.
    """
    return _register("loss", target, example)


@overload
def register_model(target: T) -> T: ...
@overload
def register_model(target: str | None = None) -> Callable[[T], T]: ...
def register_model(target: Any = None) -> Any:
    """Register a model's entrypoint with timm, after checking what timm does not.

    Use it bare, or with the name; timm takes the name from the function, so the two must agree.

    Args:
        target: Function `(pretrained=False, **kwargs)` named as the model, in a module that defined
            `default_cfgs` with an entry for it above the decorator; or that name.

    Raises:
        PluginConflictError: If timm or another module owns the name.
        RegistrationError: If the module has no `default_cfgs` for the name yet, an `__all__` that is no
            list, a file name that timm uses for a module of its own, or an entrypoint that does not take
            `pretrained` and keyword arguments.
    """
    if callable(target):
        return _register_model(target)
    if target is not None and not isinstance(target, str):
        raise RegistrationError(f"register_model takes a name or nothing, got {target!r}.")

    def add(fn: T) -> T:
        if target and target != fn.__name__:
            raise RegistrationError(
                f"The model {target!r} of {fn.__module__} must be made by a function of that name, because timm "
                f"takes the name from it: rename {fn.__name__}."
            )
        return _register_model(fn)

    return add


def _register_model(fn: T) -> T:
    from timm.models import is_model, list_models, list_modules, model_entrypoint
    from timm.models import register_model as timm_register_model

    name, module = fn.__name__, sys.modules[fn.__module__]
    if is_model(name):
        owner = model_entrypoint(name).__module__
        if owner != fn.__module__ and owner in sys.modules:
            who = "timm" if owner.startswith("timm.") else owner
            raise PluginConflictError(
                f"The model {name!r} of {fn.__module__} is already registered by {who}. Rename the function."
            )
    parameters = inspect.signature(fn).parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in parameters) or not any(p.name == "pretrained" for p in parameters):
        raise RegistrationError(f"{fn.__module__}.{name} must be defined as {name}(pretrained=False, **kwargs).")
    if name not in getattr(module, "default_cfgs", {}):
        raise RegistrationError(
            f"{fn.__module__} must define default_cfgs = generate_default_cfgs({{{name!r}: ...}}) above the "
            f"decorator of {name}: timm reads it at registration."
        )
    if not isinstance(getattr(module, "__all__", []), list):
        raise RegistrationError(f"__all__ of {fn.__module__} must be a list, because timm appends {name!r} to it.")
    short = fn.__module__.rpartition(".")[2]
    if short in list_modules():
        others = (model_entrypoint(m).__module__ for m in list_models(module=short, include_tags=False))
        if any(other.startswith("timm.") for other in others) and not fn.__module__.startswith("timm."):
            raise RegistrationError(
                f"timm has a module {short!r} and keys models by the file's name: rename {fn.__module__}."
            )
    return timm_register_model(fn)
