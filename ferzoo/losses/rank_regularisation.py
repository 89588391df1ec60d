"""Rank regularisation (Wang et al. 2020, SCN)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch

from ..errors import LossError
from ..registry.register import register_loss
from .arguments import number
from .base import FerLoss

__all__ = ["RankRegularisationLoss"]


@register_loss("rank_regularisation", example={"num_classes": 4, "feat_dim": 6, "margin": 1.0})
class RankRegularisationLoss(FerLoss):
    r"""Rank regularisation: the faces that count for most are to lie above the rest, by a margin.

    Wang et al. 2020, "Suppressing Uncertainties for Large-Scale Facial Expression Recognition", equations 2 and 3.
    The importance \(a\) of a batch's N faces is sorted; H are the \(\lfloor\beta N\rfloor\) highest, L the rest:

    $$L = \max\Bigl(0,\; \delta - \Bigl(\frac1{|H|} \sum_{i \in H} a_i - \frac1{|L|} \sum_{i \in L} a_i\Bigr)\Bigr)$$

    It takes importances (N,) or (N, 1). Labels are not used. Where a group is empty, as with one face, it is 0. Use it
    beside cross-entropy of logits that the importance weighs.

    Args:
        num_classes: Not used: every loss can be built with it.
        feat_dim: Not used.
        margin: δ.
        share: β, the share of the faces in the group H, between 0 and 1.

    Raises:
        LossError: If an argument is out of range; when called with importances of another shape.
    """

    takes = ("importance",)
    uses_labels = False

    def __init__(
        self,
        num_classes: int | None = None,
        feat_dim: int | None = None,
        margin: float = 0.15,
        share: float = 0.7,
    ) -> None:
        """See the class."""
        super().__init__()
        self.margin = number("margin", margin)
        self.share = number("share", share, "lie between 0 and 1", lambda x: 0 < x < 1)

    def forward(
        self, inputs: torch.Tensor | Mapping[str, torch.Tensor], labels: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            inputs: Importances (N,) or (N, 1), or a dict of `forward_train`.
            labels: Not used.
        """
        importance = self.pick(inputs)[0]
        if importance.dim() not in (1, 2) or importance.numel() != len(importance) or not len(importance):
            raise LossError(f"RankRegularisationLoss takes one importance a face (N,), got {tuple(importance.shape)}.")
        importance = importance.flatten().to(self.dtype_for(importance))
        # 0.7 * 90 is a little less than 63.
        high = min(math.floor(round(self.share * len(importance), 6)), len(importance) - 1)
        if high == 0:
            return 0.0 * importance.sum()
        ranked = importance.sort(descending=True).values
        return (self.margin - (ranked[:high].mean() - ranked[high:].mean())).clamp(min=0)
