"""Center loss (Wen et al. 2016)."""

from __future__ import annotations

import torch

from ..registry.register import register_loss
from .arguments import number
from .base import CenterBasedLoss
from .centers import class_averaged

__all__ = ["CenterLoss"]


@register_loss("center", example={"num_classes": 4, "feat_dim": 6})
class CenterLoss(CenterBasedLoss):
    r"""Center loss: squared distance to the own centre.

    Wen et al. 2016, "A Discriminative Feature Learning Approach for Deep Face Recognition", equations 2 and 4.

    $$L = \frac1{2N} \sum_i \lVert x_i - c_{y_i} \rVert_2^2, \qquad
    \Delta c_j = \frac{\sum_i \delta(y_i = j)\,(c_j - x_i)}{1 + \sum_i \delta(y_i = j)}$$

    The centres' gradient is \(\Delta c_j\), not that of the mean, and they move by plain SGD at a rate of their own
    (0.5 in the paper, whatever the loss's weight). Soft labels weight the distances and count as fractions of a
    face. Use it beside cross-entropy with a small weight, 0.001 to 0.01: alone it collapses all features.

    Args:
        num_classes: Classes C.
        feat_dim: Width D of the features.
        center_lr: Learning rate of the centres; None leaves them to the network's optimiser.

    Raises:
        LossError: If `center_lr` is out of range.
    """

    def __init__(self, num_classes: int, feat_dim: int, center_lr: float | None = 0.5) -> None:
        """See the class."""
        super().__init__(num_classes, feat_dim)
        self.center_lr = None if center_lr is None else number("center_lr", center_lr, "be 0 or more, or None")

    def compute(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The equation above."""
        centers = class_averaged(self.centers.to(x), target)
        squared = (x.unsqueeze(1) - centers).square().sum(2)
        return (target * squared).sum() / (2 * len(x))
