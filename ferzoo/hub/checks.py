"""What is seen to before a push: figures, classes and channels that are what they say, and values that JSON has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from ..errors import CheckpointError

__all__ = [
    "METRICS",
    "PARTS",
    "check_classes",
    "checked_metrics",
    "class_count",
    "class_names",
    "plain",
]

#: Key of an evaluation, and its name and its metric type on the Hub. All but the last are in percent.
METRICS = {
    "accuracy": ("accuracy (%)", "accuracy"),
    "balanced_accuracy": ("balanced accuracy (%)", "balanced_accuracy"),
    "macro_f1": ("macro F1 (%)", "f1"),
    "calibration_error": ("expected calibration error (%)", "ece"),
    "nll": ("negative log-likelihood (nats)", "nll"),
}
#: Key and words of the parts of an evaluation that have figures of their own.
PARTS = {
    "unseen": "rows never trained on",
    "seen": "rows also trained on",
    "agreed": "rows where one class has over half of the votes",
}


def plain(value: Any, where: str) -> Any:
    """The value as JSON has it: numbers and arrays of numpy and torch become plain ones, tuples lists.

    Args:
        value: What is to be written.
        where: What it is, for the message.

    Raises:
        CheckpointError: If it holds what JSON has no form for, or a number that is not finite; says where.
    """
    if isinstance(value, np.generic | np.ndarray | torch.Tensor):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): plain(item, f"{where}[{str(key)!r}]") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise CheckpointError(f"{where} must be a finite number, got {value}.")
    if value is None or isinstance(value, str | int | float):
        return value
    raise CheckpointError(
        f"{where} must be a number, a text, or a list or dict of them, got {type(value).__name__}: {value!r}."
    )


def checked_metrics(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Evaluations in plain values, each seen to be one.

    Args:
        metrics: Evaluations by split, as `ferzoo.evaluate` gives them. `rows` and `accuracy` are a must, the latter
            where there are rows; a figure that nobody knows is None or left out.

    Raises:
        CheckpointError: If one is no evaluation; names the split and the key.
    """
    checked = {}
    for split, found in metrics.items():
        where = f"metrics[{str(split)!r}]"
        checked[str(split)] = result = plain(found, where)
        _check(result, where, 1, None)
        for part in PARTS:
            if result.get(part) is not None:
                # There may be no such rows.
                _check(result[part], f"{where}[{part!r}]", 0, _length(result))
    return checked


def _check(found: Any, where: str, least: int, count: int | None) -> None:
    """Look at one evaluation of `least` rows or more and, where that is known, `count` classes."""
    if not isinstance(found, dict):
        raise CheckpointError(f"{where} must be an evaluation, as ferzoo.evaluate gives it, got {found!r}.")
    rows = found.get("rows")
    if type(rows) is not int or rows < least:
        raise CheckpointError(f"{where}['rows'] must be a whole number of {least} or more, got {rows!r}.")
    for key in METRICS:
        value = found.get(key)
        if not _is_number(value) and (value is not None or (key == "accuracy" and rows)):
            raise CheckpointError(f"{where}[{key!r}] must be a number, got {value!r}.")
        most, wanted = (math.inf, "0 or more") if key == "nll" else (100, "0 to 100 %")
        if value is not None and not 0 <= value <= most:
            raise CheckpointError(f"{where}[{key!r}] must be {wanted}, got {value}.")
    for key in ("classes", "outputs_left_out"):
        names = found.get(key)
        if names is not None and not _are_names(names):
            raise CheckpointError(f"{where}[{key!r}] must be a list of names, each once, got {names!r}.")
    count = _length(found) if count is None else count
    recall, confusion = found.get("recall"), found.get("confusion")
    if recall is not None and not (
        isinstance(recall, list)
        and all(value is None or _is_number(value) for value in recall)
        and count in (None, len(recall))
    ):
        raise CheckpointError(f"{where}['recall'] must have a number or None for each class, got {recall!r}.")
    if confusion is not None and not _is_square(confusion, count):
        size = f"{count} rows of {count}" if count is not None else "as many rows as columns of"
        raise CheckpointError(f"{where}['confusion'] must have {size} counts, true class down, got {confusion!r}.")


def _length(found: Mapping[str, Any]) -> int | None:
    """Classes that an evaluation is of; None where it does not say."""
    if found.get("classes") is not None:
        return len(found["classes"])
    return len(found["confusion"]) if isinstance(found.get("confusion"), list) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_names(names: Any) -> bool:
    # A set only once all are known to be texts, for others may have no hash.
    return (
        isinstance(names, list | tuple)
        and all(isinstance(name, str) for name in names)
        and len(set(names)) == len(names)
    )


def _is_square(matrix: Any, size: int | None) -> bool:
    if not isinstance(matrix, list) or size not in (None, len(matrix)):
        return False
    return all(
        isinstance(row, list) and len(row) == len(matrix) and all(type(v) is int and v >= 0 for v in row)
        for row in matrix
    )


def check_classes(metrics: Mapping[str, Any], names: tuple[str, ...], count: int | None) -> None:
    """See that evaluations are of a network with these classes.

    Args:
        metrics: What `checked_metrics` returns.
        names: The network's classes in the order of its outputs; empty where they have no names.
        count: Its class count; None where nobody knows it.

    Raises:
        CheckpointError: If the classes or their order differ; names the split.
    """
    for split, found in metrics.items():
        # Where the data lacked classes, the evaluation is on the others, in the network's order.
        left_out = found.get("outputs_left_out") or []
        classes, length = found.get("classes"), _length(found)
        if classes is not None and names:
            fits = classes == [name for name in names if name not in left_out] and set(left_out) <= set(names)
        else:
            fits = length is None or count is None or length + len(left_out) == count
        if not fits:
            was = ", ".join(classes) if classes else f"{length} classes"
            own = ", ".join(names) if names else f"{count} classes"
            raise CheckpointError(
                f"metrics[{split!r}] is of another network: it was measured on {was}, and this one has {own}. Measure "
                "this one, or give its pretrained_cfg['label_names'] the order of its outputs."
            )


def class_count(model: nn.Module) -> int | None:
    """Classes of a network as it is, whatever its cfg says; None where neither tells."""
    cfg = getattr(model, "pretrained_cfg", None) or {}
    count = getattr(model, "num_classes", None)
    return count if isinstance(count, int) else cfg.get("num_classes")


def class_names(model: nn.Module) -> tuple[str, ...]:
    """Names of a network's classes; none where its cfg names more or fewer, for those are another classifier's.

    Raises:
        CheckpointError: If they are not texts, or repeat.
    """
    names = (getattr(model, "pretrained_cfg", None) or {}).get("label_names") or ()
    if not _are_names(names):
        raise CheckpointError(
            f"pretrained_cfg['label_names'] must be a list of names, each once, in the order of the outputs, got "
            f"{names!r}."
        )
    return tuple(names) if class_count(model) in (None, len(names)) else ()
