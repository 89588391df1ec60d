"""Sparse center loss (Farzaneh & Qi 2021, DACL)."""

from __future__ import annotations

import torch

from ..errors import LossError
from ..registry.register import register_loss
from .arguments import number
from .base import CenterBasedLoss
from .centers import class_averaged

__all__ = ["SparseCenterLoss"]


@register_loss("sparse_center", example={"num_classes": 4, "feat_dim": 6})
class SparseCenterLoss(CenterBasedLoss):
    r"""Sparse center loss: center loss in which attention weights every feature of every face.

    Farzaneh & Qi 2021, "Facial Expression Recognition in the Wild via Deep Attentive Center Loss", section 3.2.

    $$L = \frac1{2N} \sum_i \sum_d A_{id}\,(x_{id} - c_{y_i d})^2$$

    with the attention A (N, D) in [0, 1] of the network, which gets its gradient from here. The centres' gradient
    is averaged over the class's faces and one, as in center loss, and they move by plain SGD at their own rate
    (0.5, whatever the loss's weight; the paper weights the loss by 0.01). Soft labels weight the distances.

    Args:
        num_classes: Classes C.
        feat_dim: Width D of the features.
        center_lr: Learning rate of the centres; None leaves them to the network's optimiser.

    Raises:
        LossError: If `center_lr` is out of range; when called without attention, or with attention that is not (N, D).
    """

    takes = ("features", "attention")

    def __init__(self, num_classes: int, feat_dim: int, center_lr: float | None = 0.5) -> None:
        """See the class."""
        super().__init__(num_classes, feat_dim)
        self.center_lr = None if center_lr is None else number("center_lr", center_lr, "be 0 or more, or None")

    def compute(self, x: torch.Tensor, target: torch.Tensor, attention: torch.Tensor | None = None) -> torch.Tensor:
        """The equation above, with the attention (N, D)."""
        if attention is None or attention.shape != x.shape:
            got = "none" if attention is None else tuple(attention.shape)
            raise LossError(f"SparseCenterLoss takes attention {tuple(x.shape)} beside the features, got {got}.")
        centers = class_averaged(self.centers.to(x), target)
        squared = (x.unsqueeze(1) - centers).square() * attention.to(x).unsqueeze(1)
        return (target * squared.sum(2)).sum() / (2 * len(x))
