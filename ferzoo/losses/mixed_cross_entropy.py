"""Mixed cross-entropy (Zhao et al. 2021, MA-Net)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from ..errors import LossError
from ..registry.register import register_loss
from .arguments import number
from .cross_entropy import CrossEntropyLoss

__all__ = ["MixedCrossEntropyLoss"]


@register_loss("mixed_cross_entropy", example={"num_classes": 4, "feat_dim": 6, "input_shapes": {"heads": (6, 2, 4)}})
class MixedCrossEntropyLoss(CrossEntropyLoss):
    r"""Mixed cross-entropy: that of each branch's own logits, weighted.

    Zhao et al. 2021, "Learning Deep Global Multi-Scale and Local Attention Features for Facial Expression Recognition
    in the Wild". With the logits \(z_{ik}\) of the branches k and their weights \(\lambda_k\),

    $$L = \sum_k \lambda_k\, \frac1N \sum_i -\log \operatorname{softmax}(z_{ik})_{y_i}$$

    It takes heads (N, k, C), or k tensors (N, C); MA-Net's are the logits of its local and its global branch. Soft
    labels, smoothing and class weights are those of `ce`. It stands in the place of cross-entropy.

    Args:
        num_classes: Classes C; not checked where None.
        feat_dim: Not used: every loss can be built with it.
        weights: λ, one a branch, 0 or more.
        smoothing: Label smoothing, in [0, 1].
        class_weights: One a class, 0 or more.

    Raises:
        LossError: If an argument is out of range; when called with another number of branches.
    """

    takes = ("heads",)

    def __init__(
        self,
        num_classes: int | None = None,
        feat_dim: int | None = None,
        weights: Sequence[float] = (0.6, 0.4),
        smoothing: float = 0.0,
        class_weights: Sequence[float] | None = None,
    ) -> None:
        """See the class."""
        super().__init__(num_classes, feat_dim, smoothing, class_weights)
        try:
            self.weights = tuple(float(number("weights", weight)) for weight in weights)
        except (TypeError, LossError):
            self.weights = ()
        if not self.weights:
            raise LossError(f"weights must be one number of 0 or more a branch, got {weights!r:.60}.")

    def forward(
        self,
        inputs: torch.Tensor | Sequence[torch.Tensor] | Mapping[str, torch.Tensor],
        labels: torch.Tensor,
    ) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            inputs: Logits (N, k, C) of k branches, k tensors (N, C), or a dict of `forward_train`.
            labels: Class indices (N,), or probabilities (N, C).

        Raises:
            LossError: If a shape is another, or a label out of range.
        """
        heads = self.pick(inputs)[0]
        if isinstance(heads, torch.Tensor):
            if heads.dim() != 3:
                raise LossError(
                    f"MixedCrossEntropyLoss takes the logits of branches (N, k, C), got {tuple(heads.shape)}."
                )
            heads = heads.unbind(1)
        if len(heads) != len(self.weights):
            raise LossError(f"MixedCrossEntropyLoss has weights for {len(self.weights)} branches, got {len(heads)}.")
        one = super().forward
        return torch.stack([weight * one(z, labels) for weight, z in zip(self.weights, heads, strict=True)]).sum()
