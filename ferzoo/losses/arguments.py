"""Arguments of losses that are numbers: in their range, or an error that says which that is."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from ..errors import LossError

__all__ = ["number", "whole"]


def number(name: str, value: Any, wanted: str = "be 0 or more", good: Callable[[Any], bool] = lambda x: x >= 0) -> Any:
    """A finite number that an argument accepts, as it was given.

    Args:
        name: The argument's.
        value: What was given.
        wanted: The range, after "must".
        good: Tells what is in it.

    Raises:
        LossError: If it is no number, or one out of range.
    """
    if isinstance(value, bool) or not isinstance(value, Real):
        raise LossError(f"{name} must be a number, got {value!r:.60}.")
    if not math.isfinite(value) or not good(value):
        raise LossError(f"{name} must {wanted}, got {value!r:.60}.")
    return value


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of `least` or more, as `number`."""
    if not isinstance(value, Integral) and not (isinstance(value, Real) and value == math.trunc(number(name, value))):
        raise LossError(f"{name} must be a whole number, got {value!r:.60}.")
    return int(number(name, value, f"be {least} or more", lambda x: x >= least))
