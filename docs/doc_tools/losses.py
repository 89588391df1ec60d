"""The table of the losses, and the section of each from its docstring."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ferzoo.registry.composite import outputs_taken
from ferzoo.registry.factory import find_registered

from .common import arguments, first_line, own, rows

#: Every loss takes these two.
SIZES = ("num_classes", "feat_dim")

SECTION = """{takes}

::: {make.__module__}.{make.__qualname__}
    options:
      heading_level: 3
      members: false
      show_bases: false
      show_root_full_path: false
"""


def _takes(make: Any) -> list[str]:
    labels = ["labels"] if getattr(make, "uses_labels", True) else []
    return [*(f"`{key}`" for key in outputs_taken(make)), *labels]


def losses() -> str:
    """Every loss with its arguments beyond the two sizes, what it takes and what it is."""
    lines = []
    for name in own("loss"):
        make = find_registered("loss", name).make
        lines.append((f"[`{name}`](#{name})", arguments(make, SIZES), ", ".join(_takes(make)), first_line(make)))
    return rows(("name", "further arguments", "takes", "what it is"), lines)


def loss(name: str) -> str:
    """The section of a loss: what it takes, and its docstring, which mkdocstrings sets."""
    make = find_registered("loss", name).make
    *first, last = _takes(make)
    takes = f"Takes {', '.join(first)} and {last}." if first else f"Takes {last} alone."
    return SECTION.format(takes=takes, make=make)


TABLES: dict[str, Callable[..., str]] = {"loss": loss, "losses": losses}
