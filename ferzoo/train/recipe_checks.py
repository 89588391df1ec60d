"""Types and ranges of a recipe's values."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ..data.processors import MOST_THREADS
from ..errors import RecipeError, nearest

__all__ = ["BALANCES", "SCHEDULES", "TUPLES", "as_type", "check_ranges", "checked_sizes", "checked_tuple", "refused"]

_Number = TypeVar("_Number", int, float)

SCHEDULES = ("onecycle", "cosine", "tanh", "step", "multistep", "plateau", "poly", "none")
BALANCES = ("none", "sampler", "weights")

_POSITIVE = ("epochs", "batch_size", "lr", "temperature")
_NOT_NEGATIVE = (
    "threads", "workers", "limit", "weight_decay", "clip_grad", "rotation", "mixup", "cutmix", "flood", "sam",
    "patience", "folds", "relabel", "seed",
)  # fmt: skip
_AT_MOST = {"threads": MOST_THREADS, "workers": MOST_THREADS}
_FRACTIONS = ("flip", "erasing", "warmup", "translation", "distill", "relabel_margin")
_CHOICES = {"sched": SCHEDULES, "balance": BALANCES}
#: What a list holds, by key.
_NUMBERS, _TEXTS = ("scale", "erasing_area"), ("class_names", "columns")
TUPLES = (*_NUMBERS, *_TEXTS)
#: How to write a value: by key, else by the type of the default.
_EXAMPLES = {
    "sizes": "a mapping from first epochs to sides in pixels, {0: 64}",
    "scale": "the smallest and the largest factor, [0.9, 1.1]",
    "erasing_area": "the smallest and the largest share of the face, [0.02, 0.2]",
    "class_names": "a list of names, [anger, happiness]",
    "loss": "a sum such as 'ce + 0.5*center', or a mapping",
    "columns": "the image and the label column, [image, label]",
    "model_kwargs": "a mapping, {block_drop_rate: 0.1}",
    "opt_kwargs": "a mapping, {momentum: 0.9}",
    "sched_kwargs": "a mapping, {decay_epochs: 15, decay_rate: 0.1}",
}
_KINDS: dict[type | None, str] = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def checked_sizes(sizes: Any) -> dict[int, int]:
    """Input sides by first epoch, sorted.

    Raises:
        RecipeError: If it is no such mapping, or names an epoch twice.
    """
    try:
        given = dict(sizes)
        # JSON's keys are text; a number with a fraction is refused, not cut.
        found = {_whole(first): _whole(side) for first, side in given.items()}
    except (TypeError, ValueError):
        raise _wrong("sizes", sizes) from None
    if len(found) < len(given):
        raise RecipeError(f"sizes names an epoch twice, got {sizes}.")
    return dict(sorted(found.items()))


def _whole(value: Any) -> int:
    if isinstance(value, bool):
        raise TypeError
    return operator.index(_read(int, value) if isinstance(value, str) else value)


def _read(kind: Callable[[str], _Number], text: str) -> _Number:
    """The number that a text is, without the underscores that Python takes and YAML 1.2 does not."""
    if "_" in text:
        raise ValueError(text)
    return kind(text)


def checked_tuple(key: str, values: Any) -> tuple[Any, ...]:
    """The values of a key of `TUPLES`: two numbers, or texts.

    Raises:
        RecipeError: If they are something else.
    """
    kind: Any = str if key in _TEXTS else int | float
    listed = isinstance(values, list | tuple)
    if not listed or not all(isinstance(v, kind) and not isinstance(v, bool) for v in values):
        raise _wrong(key, values)
    if key != "class_names" and len(values) != 2 and (values or key != "columns"):
        raise _wrong(key, values)
    return tuple(values)


def check_ranges(recipe: Any) -> None:
    """Check every value's range.

    Raises:
        RecipeError: If one is out of range; names the key and what is allowed.
    """
    for key, value in vars(recipe).items():
        if not all(math.isfinite(v) for v in (value if key in _NUMBERS else (value,)) if isinstance(v, float)):
            raise RecipeError(f"{key} must be finite, got {value!r}.")
    for key in _POSITIVE:
        if not getattr(recipe, key) > 0:
            raise RecipeError(f"{key} must be above 0, got {getattr(recipe, key)!r}.")
    if not re.fullmatch("(timm:)?[^.:]*", recipe.model, re.I):  # weights everywhere else, and random ones here
        named = re.match(r"(timm:)?\w+(?=\.)", recipe.model, re.I)
        network = named.group() if named else "ARCHITECTURE"
        raise RecipeError(
            f"model={recipe.model} names weights, and model is the network alone: to start from them write "
            f"model={network} init={recipe.model}; for fresh weights leave init out."
        )
    sizes = recipe.sizes
    if 0 not in sizes:
        raise RecipeError(f"sizes must say the size from epoch 0 on, got {sizes}.")
    if min(sizes.values()) < 32:
        raise RecipeError(f"sizes must be 32 px or more, got {sizes}.")
    if late := [first for first in sizes if first >= recipe.epochs]:
        raise RecipeError(f"sizes names epoch {late[0]}, but there are only {recipe.epochs}, counted from 0.")
    if not 0 < recipe.scale[0] <= recipe.scale[1]:
        raise RecipeError(f"scale is the smallest and the largest factor, both above 0; got {list(recipe.scale)}.")
    if not 0 < recipe.erasing_area[0] <= recipe.erasing_area[1] <= 1:
        area = list(recipe.erasing_area)
        raise RecipeError(f"erasing_area is the smallest and the largest share, above 0 and at most 1; got {area}.")
    if len(set(recipe.class_names)) < len(recipe.class_names):
        raise RecipeError(f"class_names must differ from each other, got {list(recipe.class_names)}.")
    for key in _NOT_NEGATIVE:
        if not getattr(recipe, key) >= 0:
            raise RecipeError(f"{key} must be 0 or more, got {getattr(recipe, key)!r}.")
    for key, most in _AT_MOST.items():
        if getattr(recipe, key) > most:
            raise RecipeError(f"{key} must be at most {most:,}, got {getattr(recipe, key):,}.")
    for key in _FRACTIONS:
        if not 0 <= getattr(recipe, key) <= 1:
            raise RecipeError(f"{key} must lie in [0, 1], got {getattr(recipe, key)!r}.")
    if not 0 <= recipe.ema < 1:
        raise RecipeError(f"ema must lie in [0, 1), got {recipe.ema!r}: 0.999 is usual, 0 is none.")
    if not isinstance(recipe.loss, str | Mapping) or not recipe.loss:
        raise RecipeError(f"loss is a sum such as 'ce + 0.5*center', or a mapping; got {recipe.loss!r}.")
    if recipe.batch_size < 2:
        raise RecipeError("batch_size must be 2 or more: BatchNorm needs two faces.")
    for key, choices in _CHOICES.items():
        value = getattr(recipe, key)
        if value not in choices:
            close = nearest(value, choices)
            offer = f" Did you mean {' or '.join(close)}?" if close else ""
            raise RecipeError(f"{key} must be one of {', '.join(choices)}, got {value!r}.{offer}")
    if recipe.folds == 1 or not -1 <= recipe.fold < (recipe.folds or 1):
        raise RecipeError(
            f"folds must be 2 or more and fold below it, or -1 for each in turn; got folds={recipe.folds}, "
            f"fold={recipe.fold}."
        )
    if (recipe.mixup or recipe.cutmix) and not recipe.soft:
        raise RecipeError("mixup and cutmix mix labels, which need soft=true.")
    if recipe.distill_once and not (recipe.teacher and recipe.soft):
        raise RecipeError("distill_once mixes a teacher's answers into the targets: it needs a teacher and soft=true.")
    if recipe.fused_blocks and (recipe.compile or recipe.sync_bn):
        raise RecipeError("fused_blocks is for CPUs and goes with neither compile nor sync_bn: leave one of them out.")
    if recipe.relabel and recipe.soft:
        raise RecipeError("relabel puts one label in the place of another, which needs soft=false.")


def as_type(key: str, value: Any, default: Any) -> Any:
    """A value in the type of its key's default.

    Raises:
        RecipeError: If it has another type.
    """
    wanted = type(default)
    if wanted is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            # Text, too: yaml.safe_load, with which a caller may have read the recipe, takes 3e-3 for one.
            return _read(float, value) if isinstance(value, str) else float(value)
        except (ValueError, OverflowError):
            pass
    if key in TUPLES:
        return checked_tuple(key, value)
    if key == "loss" and isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise _wrong(key, value, wanted)
    return value


def refused(what: str, key: str, given: Mapping[str, Any], error: Exception) -> RecipeError:
    """The error of a part that refuses its arguments.

    Args:
        what: The part.
        key: The recipe's key with its arguments.
        given: These.
        error: What the part said.
    """
    why = f"does not take {key}={given}" if given else "cannot be used here"
    return RecipeError(f"{what} {why}: {error}")


def _wrong(key: str, value: Any, wanted: type | None = None) -> RecipeError:
    """What to write in the place of a value."""
    what = _EXAMPLES.get(key) or _KINDS.get(wanted, "")
    quotes = ""
    if wanted is str and isinstance(value, bool):
        quotes = " YAML takes yes, no, on and off for true and false: put the word that you wrote in quotes."
    elif wanted is str and isinstance(value, int | float):
        quotes = " Put what you wrote in quotes."
    return RecipeError(f"{key} must be {what}; got {value!r}.{quotes}")
