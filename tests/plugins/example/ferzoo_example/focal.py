"""Focal loss (Lin et al. 2017, arXiv 1708.02002, equation 4) for several classes."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from ferzoo import register_loss

__all__ = ["FocalLoss"]


@register_loss("example_focal", example={"gamma": 2.0})
class FocalLoss(nn.Module):
    """Mean over the batch of -sum_c t_c (1 - p_c)^gamma log p_c, with p the softmax of the logits.

    Args:
        gamma: How far easy samples are discounted; 0 gives cross entropy.

    Raises:
        ValueError: If gamma is negative.
    """

    #: Outputs of a network's `forward_train` that the loss is called with.
    takes = ("logits",)

    def __init__(self, gamma: float = 2.0) -> None:
        """See the class."""
        super().__init__()
        if gamma < 0:
            raise ValueError(f"gamma must be 0 or more, got {gamma}.")
        self.gamma = gamma

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            logits: Scores (N, C).
            target: Class indices (N,), or probabilities (N, C).

        Raises:
            ValueError: If the target is of another shape, or a label out of range.
        """
        rows, classes = logits.shape
        if target.shape not in ((rows,), (rows, classes)):
            raise ValueError(f"The target must be ({rows},) or ({rows}, {classes}), got {tuple(target.shape)}.")
        if target.dim() == 1:
            wrong = target[(target < 0) | (target >= classes)].tolist()
            if wrong:
                raise ValueError(f"Labels run from 0 to {classes - 1}, got {wrong[0]}.")
            target = F.one_hot(target.long(), classes)
        log_p = F.log_softmax(logits, dim=1)
        # expm1 keeps the digits of 1 - p near 0, where a power below 1 has no finite slope.
        weight = (-torch.expm1(log_p)).clamp(min=torch.finfo(log_p.dtype).tiny) ** self.gamma
        return -(target.to(log_p) * weight * log_p).sum(1).mean()
