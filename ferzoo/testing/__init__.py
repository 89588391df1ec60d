"""Conformance checks for authors of networks, blocks and losses, usable with or without pytest.

Examples:
    ```python
    from ferzoo.testing import check_block, check_model

    def test_my_network():
        check_model("my_network", img_size=64)
    ```
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .blocks import check_block
    from .losses import check_loss
    from .models import check_model
    from .report import ConformanceError

_LAZY = {"ConformanceError": ".report", "check_block": ".blocks", "check_loss": ".losses", "check_model": ".models"}

__all__ = ["ConformanceError", "check_block", "check_loss", "check_model"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'ferzoo.testing' has no attribute {name!r}")
    value = getattr(importlib.import_module(_LAZY[name], __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
