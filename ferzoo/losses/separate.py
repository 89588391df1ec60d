"""Separate loss (Li et al. 2019)."""

from __future__ import annotations

import torch

from ..registry.register import register_loss
from .arguments import number
from .base import CenterBasedLoss, unit

__all__ = ["SeparateLoss"]


@register_loss("separate", example={"num_classes": 4, "feat_dim": 6})
class SeparateLoss(CenterBasedLoss):
    r"""Separate loss: similar to the own class's centre, dissimilar to the others, by cosine.

    Li et al. 2019, "Separate Loss for Basic and Compound Facial Expression Recognition in the Wild", PMLR 101,
    which "maximizes intra-class similarity while minimizing the similarity between different classes":

    $$L = \frac1N \sum_i \bigl(1 - \cos(x_i, c_{y_i})\bigr)
    + \lambda\, \frac1{N(C-1)} \sum_i \sum_{j \ne y_i} \bigl(1 + \cos(x_i, c_j)\bigr)$$

    The equations are built from that sentence of the abstract; the paper's own may scale or clip the terms
    differently. Both terms lie in [0, 2]. Soft labels \(p\) weight the first by \(p_{ic}\), the second by
    \(1 - p_{ic}\). Use it beside cross-entropy.

    Args:
        num_classes: Classes C.
        feat_dim: Width D of the features.
        inter_weight: The second term's weight λ, 0 or more.

    Raises:
        LossError: If `inter_weight` is out of range.
    """

    def __init__(self, num_classes: int, feat_dim: int, inter_weight: float = 1.0) -> None:
        """See the class."""
        super().__init__(num_classes, feat_dim)
        self.inter_weight = number("inter_weight", inter_weight)

    def compute(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The equation above."""
        cosine = unit(x) @ unit(self.centers.to(x)).T
        intra = (target * (1 - cosine)).sum() / len(x)
        inter = ((1 - target) * (1 + cosine)).sum() / (len(x) * (self.num_classes - 1))
        return intra + self.inter_weight * inter
