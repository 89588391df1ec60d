"""Integer and soft labels as one thing: a probability for every class."""

from __future__ import annotations

import torch

from ..errors import LossError

__all__ = ["class_probabilities"]

#: How far a row of probabilities may sum from 1: bfloat16 rounds as coarsely.
SUM_TOLERANCE = 0.01


def class_probabilities(
    labels: torch.Tensor | None, rows: int, num_classes: int, loss: str, soft: bool = True
) -> torch.Tensor:
    """Labels as probabilities (N, C).

    Args:
        labels: Class indices (N,) of an integer type, or probabilities (N, C) of a floating one.
        rows: Faces N.
        num_classes: Classes C.
        loss: Name of the loss, for the messages.
        soft: Whether probabilities are allowed.

    Raises:
        LossError: If the shape or type is another, a label lies outside [0, C), or a row is no distribution; names
            up to five of those.
    """
    wanted = f"class indices ({rows},)" + (f" or probabilities ({rows}, {num_classes})" if soft else "")
    if not isinstance(labels, torch.Tensor):
        raise LossError(f"{loss} needs labels, {wanted}; got {'none' if labels is None else type(labels).__name__}.")
    shape = tuple(labels.shape)
    if labels.is_floating_point():
        if shape != (rows, num_classes):
            raise LossError(f"{loss} takes {wanted}; got {labels.dtype} of shape {shape}.")
        if not soft:
            raise LossError(
                f"{loss} has a margin for one true class and cannot take soft or mixed labels: give class indices "
                f"({rows},), train with soft=false, or build it with majority=True to take the most probable class."
            )
        _check(labels, (labels >= 0) & labels.isfinite(), f"{loss} takes probabilities of 0 or more and finite")
        sums = labels.sum(1)
        close = (sums - 1).abs() <= SUM_TOLERANCE
        _check(sums, close, f"{loss} takes probabilities that sum to 1 (divide counts by their sum)", "a sum of ")
        return labels
    if shape != (rows,) or labels.dtype == torch.bool:
        hint = " Divide counts by their sum to make them probabilities." if labels.dim() == 2 and soft else ""
        raise LossError(f"{loss} takes {wanted}; got {labels.dtype} of shape {shape}.{hint}")
    labels = labels.long()
    _check(labels, (labels >= 0) & (labels < num_classes), f"{loss} takes labels from 0 to {num_classes - 1}")
    # F.one_hot looks at the values, which torch.func.vmap does not let it.
    return (labels.unsqueeze(1) == torch.arange(num_classes, device=labels.device)).long()


def _check(values: torch.Tensor, good: torch.Tensor, wanted: str, what: str = "") -> None:
    if torch.compiler.is_compiling() or _all(good):
        return
    bad = (~good).nonzero()[:5].tolist()
    found = ", ".join(f"{what}{values[tuple(i)].item():.10g} in row {i[0]}" for i in bad)
    raise LossError(f"{wanted}, got {found}.")


def _all(good: torch.Tensor) -> bool:
    """Whether all are true, or torch.func.vmap lets nobody look at the values."""
    try:
        return bool(good.all())
    except RuntimeError as error:
        if "vmap" not in str(error):
            raise
        return True
