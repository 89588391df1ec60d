"""Affinity loss (Wen et al. 2023, DAN)."""

from __future__ import annotations

import torch

from ..registry.register import register_loss
from .base import CenterBasedLoss

__all__ = ["AffinityLoss"]


@register_loss("affinity", example={"num_classes": 4, "feat_dim": 6})
class AffinityLoss(CenterBasedLoss):
    r"""Affinity: distance to the own centre, measured by how far the centres lie apart.

    Wen et al. 2023, "Distract Your Attention: Multi-head Cross Attention Network for Facial Expression
    Recognition", section 3.1.

    $$L = \frac{\frac1N \sum_i \lVert x_i - c_{y_i} \rVert_2^2}{\sum_d \operatorname{Var}_j(c_{jd})}$$

    with the unbiased variance over the class centres. Soft labels weight the distances. Centres that coincide
    are taken to vary by machine precision. Use it beside cross-entropy, on the features before the heads.

    Args:
        num_classes: Classes C.
        feat_dim: Width D of the features.
    """

    def compute(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The equation above."""
        intra = (target * self.squared_distances(x)).sum() / len(x)
        spread = self.centers.to(x).var(0).sum()
        return intra / spread.clamp(min=torch.finfo(x.dtype).eps)
