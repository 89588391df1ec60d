"""Discriminant distribution-agnostic loss (Farzaneh & Qi 2020)."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from ..registry.register import register_loss
from .arguments import number
from .base import CenterBasedLoss

__all__ = ["DDALoss"]


@register_loss("dda", example={"num_classes": 4, "feat_dim": 6})
class DDALoss(CenterBasedLoss):
    r"""DDA: center loss, and a softmax over the distances to all centres that parts rare classes too.

    Farzaneh & Qi 2020, "Discriminant Distribution-Agnostic Loss for Facial Expression Recognition in the Wild",
    CVPR Workshops.

    $$L = \lambda\,\frac1{2N} \sum_i \lVert x_i - c_{y_i} \rVert_2^2
    - \gamma\,\frac1{2N} \sum_i \log \frac{\exp(-\lVert x_i - c_{y_i} \rVert_2^2)}
    {\sum_j \exp(-\lVert x_i - c_j \rVert_2^2)}$$

    The authors' code divides the second term by the batch twice, so that its weight hangs on the batch size; here it
    is a mean. λ and γ are the code's. The centres follow the gradient. Soft labels weight both terms. Use it
    beside cross-entropy.

    Args:
        num_classes: Classes C.
        feat_dim: Width D of the features.
        center_weight: λ, the weight of the distance to the own centre.
        separation_weight: γ, the weight of the softmax over distances.

    Raises:
        LossError: If a weight is not 0 or more.
    """

    def __init__(
        self, num_classes: int, feat_dim: int, center_weight: float = 0.01, separation_weight: float = 3.0
    ) -> None:
        """See the class."""
        super().__init__(num_classes, feat_dim)
        self.center_weight = number("center_weight", center_weight)
        self.separation_weight = number("separation_weight", separation_weight)

    def compute(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The equation above."""
        squared = self.squared_distances(x)
        center = (target * squared).sum()
        separation = -(target * F.log_softmax(-squared, dim=1)).sum()
        return (self.center_weight * center + self.separation_weight * separation) / (2 * len(x))
