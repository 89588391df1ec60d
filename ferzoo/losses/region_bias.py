"""Region-biased loss (Wang et al. 2020, RAN)."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from ..errors import LossError
from ..registry.register import register_loss
from .arguments import number
from .base import FerLoss

__all__ = ["RegionBiasLoss"]


@register_loss("region_bias", example={"num_classes": 4, "feat_dim": 6, "input_shapes": {"importance": (6, 5)}})
class RegionBiasLoss(FerLoss):
    r"""Region-biased loss: one crop of a face is to count for more than the whole face, by a margin.

    Wang et al. 2020, "Region Attention Networks for Pose and Occlusion Robust Facial Expression Recognition",
    equation 6. With the importance \(\alpha_{ik}\) of the crops k of a face and \(\alpha_{i0}\) of the whole,

    $$L = \frac1N \sum_i \max\bigl(0,\; \delta - (\max_k \alpha_{ik} - \alpha_{i0})\bigr)$$

    It takes importances (N, R) of R regions, the last of them the whole face; RAN's are those after the softmax over
    the regions. Labels are not used. Use it beside cross-entropy.

    Args:
        num_classes: Not used: every loss can be built with it.
        feat_dim: Not used.
        margin: δ.

    Raises:
        LossError: If `margin` is out of range; when called with importances of another shape.
    """

    takes = ("importance",)
    uses_labels = False

    def __init__(self, num_classes: int | None = None, feat_dim: int | None = None, margin: float = 0.1) -> None:
        """See the class."""
        super().__init__()
        self.margin = number("margin", margin)

    def forward(
        self, inputs: torch.Tensor | Mapping[str, torch.Tensor], labels: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            inputs: Importances (N, R), or a dict of `forward_train`.
            labels: Not used.
        """
        importance = self.pick(inputs)[0]
        if importance.dim() != 2 or importance.shape[1] < 2 or not len(importance):
            raise LossError(
                f"RegionBiasLoss takes the importance of two regions or more of a face (N, R), the last of them the "
                f"whole face; got {tuple(importance.shape)}."
            )
        importance = importance.to(self.dtype_for(importance))
        ahead = importance[:, :-1].amax(1) - importance[:, -1]
        return (self.margin - ahead).clamp(min=0).mean()
