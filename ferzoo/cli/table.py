"""Tables that a person reads, and JSON."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

from ..predict.json_text import json_text

__all__ = ["print_json", "print_table"]


def print_table(rows: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> None:
    """Print rows as aligned columns, numbers to the right.

    Args:
        rows: Column name to value; a missing one prints empty.
        columns: Order of the columns, the first row's where None.
    """
    if not rows:
        return
    names = list(columns or rows[0])
    cells = [[str(row.get(name, "")) for name in names] for row in rows]
    right = [all(isinstance(row.get(name), int | float) for row in rows) for name in names]
    widths = [max(len(name), *(len(line[i]) for line in cells)) for i, name in enumerate(names)]
    for line in [names, *cells]:
        parts = (cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right, strict=True))
        print("  ".join(parts).rstrip())


def print_json(content: Any) -> None:
    """Print JSON on standard output."""
    print(json_text(content, sys.stdout, indent=2))
