"""Partition loss (Wen et al. 2023, DAN)."""

from __future__ import annotations

import torch

from ..registry.register import register_loss
from .base import HeadsLoss

__all__ = ["PartitionLoss"]


@register_loss("partition", example={"num_classes": 4, "feat_dim": 6})
class PartitionLoss(HeadsLoss):
    r"""Partition: attention heads are to give different features.

    Wen et al. 2023, "Distract Your Attention", section 3.3. With h heads of a face and v the mean, over
    batch and features, of the unbiased variance over the heads,

    $$L = \log\left(1 + \frac{h}{v}\right)$$

    It takes the heads (N, h, D), or h tensors (N, D); DAN feeds it the heads after the log-softmax along the head
    axis. Labels are not used. Heads that are all equal are taken to vary by machine precision.

    Args:
        num_classes: Not used: every loss can be built with it.
        feat_dim: Not used.

    Raises:
        LossError: When called with fewer than two heads.
    """

    takes = ("heads",)

    def compute(self, heads: torch.Tensor) -> torch.Tensor:
        """The equation above."""
        variance = heads.var(1).mean().clamp(min=torch.finfo(heads.dtype).eps)
        return torch.log1p(heads.shape[1] / variance)
