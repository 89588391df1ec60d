"""What the tables share: rows, the names that ferzoo registers, and facts of the code."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from ferzoo.registry import entry_points

ROOT = Path(__file__).resolve().parents[2]


def rows(header: Sequence[str], lines: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> str:
    """A Markdown table.

    Args:
        header: Titles of the columns.
        lines: The cells, line by line; a bar in them is escaped.
        right: Columns that are set to the right.
    """
    text = [f"| {' | '.join(header)} |", f"|{'|'.join('--:' if i in right else '---' for i in range(len(header)))}|"]
    text += [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in line)} |" for line in lines]
    return "\n".join(text)


def own(kind: str) -> list[str]:
    """Names of a kind that ferzoo itself registers, whatever else is installed."""
    claims = entry_points.entries(kind).items()
    return [name for name, entries in claims if any(e.distribution == "ferzoo" for e in entries)]


def arguments(make: Callable[..., Any], without: Sequence[str] = ("device", "dtype")) -> str:
    """Arguments with their defaults, as code; `none` where there are none."""
    if inspect.isclass(make) and make.__init__ is nn.Module.__init__:
        return "none"  # the signature would be nn.Module's
    text = ", ".join(
        ("**" if p.kind is p.VAR_KEYWORD else "") + p.name + ("" if p.default is p.empty else f"={p.default!r}")
        for p in inspect.signature(make).parameters.values()
        if p.name not in without
    )
    return f"`{text}`" if text else "none"


def first_line(target: Any) -> str:
    """The first line of a docstring."""
    return (inspect.getdoc(target) or "").partition("\n")[0]


def million(count: float, digits: int = 2) -> str:
    """A count in millions."""
    return f"{count / 1e6:,.{digits}f} M"


def recall(line: Sequence[int], index: int) -> str:
    """Share in percent of a confusion matrix's line that is on its diagonal; empty where the class has no row.

    Args:
        line: Counts of one true class by predicted class.
        index: Of the true class.
    """
    return f"{100 * line[index] / sum(line):.1f}" if sum(line) else ""
