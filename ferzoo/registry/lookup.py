"""From an entry to what its module registered, with a check that the module keeps what the entry promises."""

from __future__ import annotations

import importlib
import operator
from collections.abc import Callable
from types import ModuleType
from typing import Any

from ..errors import PluginConflictError, RegistrationError
from . import entry_points as ep
from .register import Registered, registered

__all__ = ["find_registered", "load_model"]


def load_model(entry: ep.Entry) -> None:
    """Import the module of a model's entry and see that it registered the name with timm.

    Raises:
        PluginLoadError: If the module fails to import.
        PluginConflictError: If timm owns the name.
        RegistrationError: If the module does not hold what the entry promises.
    """
    from timm.models import is_model, model_entrypoint

    name = entry.name
    if is_model(name) and model_entrypoint(name).__module__.startswith("timm."):
        raise PluginConflictError(
            f"{entry} claims the model {name!r}, which timm owns. Use timm.create_model for timm's, "
            f"and ask the author of {entry.distribution} to rename theirs."
        )
    module = ep.load(entry)
    fn = model_entrypoint(name) if is_model(name) else None
    if fn is None or not (_attribute(entry, module) is fn if entry.attribute else _holds(module, fn)):
        raise RegistrationError(
            f"{entry} lists the model {name!r}, but {entry.value} registers no such model: "
            "decorate a function of that name with ferzoo.register_model."
        )


def find_registered(kind: str, name: str) -> Registered:
    """The `Registered` block or loss behind a name, importing its module.

    Args:
        kind: ``"block"`` or ``"loss"``.
        name: The registered name.

    Raises:
        UnknownNameError: If nobody registered it; names the nearest.
        PluginLoadError: If its module fails to import.
        PluginConflictError: If several packages claim it.
        RegistrationError: If the module does not hold what its entry point promises.
    """
    plural = {"block": "blocks", "loss": "losses"}[kind]
    entry = ep.find(kind, name, hint=f"See `ferzoo list --{plural}`.")
    if kind == "block":
        # As a whole: threads that import two of its modules first can deadlock.
        importlib.import_module("timm.models")
    module = ep.load(entry)
    items = registered(kind).values()
    if entry.attribute:
        target = _attribute(entry, module)
        fitting = [item for item in items if item.make is target]
    else:
        mine = [item for item in items if _holds(module, item.make)]
        fitting = [item for item in mine if item.name == name]
        fitting += [item for item in mine if _normal(item.name) == _normal(name)]
    if not fitting:
        raise RegistrationError(
            f"{entry} lists the {kind} {name!r}, but {entry.value} registers no such {kind}: "
            f'decorate it with ferzoo.register_{kind}("{name}").'
        )
    return fitting[0]


def _attribute(entry: ep.Entry, module: ModuleType) -> Any:
    try:
        return operator.attrgetter(entry.attribute)(module)
    except AttributeError:
        return None


def _holds(module: ModuleType, make: Callable[..., Any]) -> bool:
    """Whether a module, or one below it, defines an object, or the module has it from elsewhere."""
    inside = f"{make.__module__}.".startswith(f"{module.__name__}.")
    return inside or any(value is make for value in vars(module).values())


def _normal(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()
