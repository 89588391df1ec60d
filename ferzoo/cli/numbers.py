"""Numbers on the command line, with their range."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..data.processors import MOST_THREADS

__all__ = ["number", "thread_count", "whole_number"]


def number(kind: Callable[[str], Any], low: float, high: float, what: str) -> Callable[[str], Any]:
    """A `type` for argparse.

    Args:
        kind: int or float.
        low: The least value.
        high: The greatest value.
        what: What is wanted, in words: "... is not ".
    """

    def parse(text: str) -> Any:
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text!r} is not {what}")
        return value

    return parse


#: Parses an argument that must be 1 or more.
whole_number = number(int, 1, 2**31 - 1, "a whole number from 1 up")
#: Parses a number of threads.
thread_count = number(int, 1, MOST_THREADS, f"a number of threads from 1 to {MOST_THREADS:,}")
