"""Cross-entropy, through torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F

from ..errors import LossError
from ..registry.register import register_loss
from .arguments import number, whole
from .base import FerLoss
from .labels import class_probabilities

__all__ = ["CrossEntropyLoss"]


@register_loss("ce", example={"num_classes": 4, "feat_dim": 6})
@register_loss("cross_entropy", example={"num_classes": 4, "feat_dim": 6})
class CrossEntropyLoss(FerLoss):
    r"""Cross-entropy of the logits, with soft labels, label smoothing and class weights.

    $$L = -\frac1N \sum_i \sum_c w_c\, q_{ic} \log \operatorname{softmax}(z_i)_c, \qquad
    q = (1 - s)\, p + \frac sC$$

    by `torch.nn.functional.cross_entropy`: p are the labels, s the smoothing (Szegedy et al. 2016,
    section 7), w the class weights. As torch has it, with integer labels and weights the mean is a weighted one
    (and the sum for a batch of weight 0).

    Args:
        num_classes: Classes C, 1 or more; not checked where None.
        feat_dim: Not used: every loss can be built with it.
        smoothing: s, in [0, 1].
        class_weights: w, one a class, 0 or more; for example the inverse of each class's share.

    Raises:
        LossError: If an argument is out of range.
    """

    takes = ("logits",)

    def __init__(
        self,
        num_classes: int | None = None,
        feat_dim: int | None = None,
        smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        """See the class."""
        super().__init__()
        self.num_classes = None if num_classes is None else whole("num_classes", num_classes, 1)
        self.smoothing = number("smoothing", smoothing, "lie in [0, 1]", lambda x: 0 <= x <= 1)
        self.class_weights: torch.Tensor | None
        self.register_buffer("class_weights", None if class_weights is None else _weights(class_weights))
        if self.class_weights is not None:
            if num_classes is not None and len(self.class_weights) != num_classes:
                raise LossError(f"class_weights has {len(self.class_weights)} values for {num_classes} classes.")
            good = (self.class_weights >= 0) & self.class_weights.isfinite()
            if not bool(good.all()) or not bool(self.class_weights.sum() > 0):
                raise LossError(f"class_weights must be 0 or more and not all 0, got {self.class_weights.tolist()}.")

    def forward(self, inputs: torch.Tensor | Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            inputs: Logits (N, C), or a dict of `forward_train`.
            labels: Class indices (N,), or probabilities (N, C).

        Raises:
            LossError: If a shape is another, or a label out of range.
        """
        logits = self.pick(inputs)[0]
        if logits.dim() != 2 or self.num_classes not in (None, logits.shape[1]) or not len(logits):
            raise LossError(f"CrossEntropyLoss takes logits (N, {self.num_classes or 'C'}), got {tuple(logits.shape)}.")
        class_probabilities(labels, len(logits), logits.shape[1], "CrossEntropyLoss")
        logits = logits.to(self.dtype_for(logits))
        weights = None if self.class_weights is None else self.class_weights.to(logits)
        target = labels.to(logits) if labels.is_floating_point() else labels.long()
        with torch.autocast(logits.device.type, enabled=False):
            if weights is None or labels.is_floating_point():
                return F.cross_entropy(logits, target, weights, label_smoothing=self.smoothing)
            # torch's weighted mean, but for the 0/0 of a batch of weight 0.
            total = weights[target].sum()
            value = F.cross_entropy(logits, target, weights, reduction="sum", label_smoothing=self.smoothing)
            return value / torch.where(total > 0, total, 1.0)


def _weights(values: Any) -> torch.Tensor:
    try:
        weights = torch.as_tensor(values, dtype=torch.float32).detach().clone()
    except (TypeError, ValueError, RuntimeError):
        weights = torch.empty(0)
    if weights.dim() != 1 or not len(weights):
        raise LossError(f"class_weights must be one number a class, got {values!r:.60}.")
    return weights
