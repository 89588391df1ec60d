"""ferzoo: a plugin-based model zoo for facial expression recognition on top of timm.

Importing it imports neither torch nor timm: each public name loads what it needs when first used.
"""

from __future__ import annotations

import importlib

# Type checkers take the name for typing's; importing typing would be most of the time of `import ferzoo`.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import errors, testing
    from .deploy.export import export
    from .deploy.fuse import fuse
    from .deploy.profile import profile
    from .errors import FerzooError
    from .hub.push import push_to_hub
    from .predict.explain import explain
    from .predict.predictor import Predictor
    from .registry.factory import (
        create_block,
        create_loss,
        create_model,
        list_blocks,
        list_losses,
        list_models,
        list_plugins,
        load_plugins,
    )
    from .registry.register import register_block, register_loss, register_model
    from .train import TrainPackage
    from .train.evaluate import evaluate

    train: TrainPackage

__version__ = "0.1.0"

_LAZY = {
    "FerzooError": ".errors",
    "Predictor": ".predict.predictor",
    "create_block": ".registry.factory",
    "create_loss": ".registry.factory",
    "create_model": ".registry.factory",
    "evaluate": ".train.evaluate",
    "explain": ".predict.explain",
    "export": ".deploy.export",
    "fuse": ".deploy.fuse",
    "list_blocks": ".registry.factory",
    "list_losses": ".registry.factory",
    "list_models": ".registry.factory",
    "list_plugins": ".registry.factory",
    "load_plugins": ".registry.factory",
    "profile": ".deploy.profile",
    "push_to_hub": ".hub.push",
    "register_block": ".registry.register",
    "register_loss": ".registry.register",
    "register_model": ".registry.register",
}

__all__ = [
    "FerzooError",
    "Predictor",
    "__version__",
    "create_block",
    "create_loss",
    "create_model",
    "errors",
    "evaluate",
    "explain",
    "export",
    "fuse",
    "list_blocks",
    "list_losses",
    "list_models",
    "list_plugins",
    "load_plugins",
    "profile",
    "push_to_hub",
    "register_block",
    "register_loss",
    "register_model",
    "testing",
    "train",
]

#: Public names that are modules or packages; `train` can also be called.
_MODULES = ("errors", "testing", "train")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    if name not in _LAZY:
        raise AttributeError(f"module 'ferzoo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
