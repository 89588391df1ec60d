"""Congenerous cosine loss (Liu et al. 2017)."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from ..registry.register import register_loss
from .arguments import number
from .base import CenterBasedLoss, unit

__all__ = ["COCOLoss"]


@register_loss("coco", example={"num_classes": 4, "feat_dim": 6})
class COCOLoss(CenterBasedLoss):
    r"""Congenerous cosine: cross-entropy over scaled cosines to the class centroids.

    Liu et al. 2017, "Rethinking Feature Discrimination and Polymerization for Large-scale Recognition", arXiv
    1710.00870.

    $$L = -\frac1N \sum_i \log \frac{\exp(\alpha \cos(x_i, c_{y_i}))}{\sum_j \exp(\alpha \cos(x_i, c_j))}$$

    The loss cannot fall below \(\log(1 + (C-1)e^{-2\alpha})\); the default α is the least that lets it
    reach ε = 0.0001, \(\alpha = \frac12 \log\frac{C-1}{e^{\varepsilon} - 1}\). Soft labels are the targets of the
    cross-entropy. Use it beside cross-entropy, or alone on the embedding.

    Args:
        num_classes: Classes C.
        feat_dim: Width D of the features.
        scale: α, above 0; None for the bound above, 5.58 at 8 classes.

    Raises:
        LossError: If `scale` is not above 0.
    """

    def __init__(self, num_classes: int, feat_dim: int, scale: float | None = None) -> None:
        """See the class."""
        super().__init__(num_classes, feat_dim)
        bound = math.log((num_classes - 1) / math.expm1(1e-4)) / 2
        self.scale = bound if scale is None else number("scale", scale, "be above 0", lambda x: x > 0)

    def compute(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The equation above."""
        return F.cross_entropy(self.scale * unit(x) @ unit(self.centers.to(x)).T, target)
