"""Attention diversity loss (Zhang et al. 2023, DDAMFN)."""

from __future__ import annotations

from itertools import combinations

import torch
import torch.nn.functional as F

from ..registry.register import register_loss
from .base import HeadsLoss

__all__ = ["AttentionDiversityLoss"]


@register_loss("attention_diversity", example={"num_classes": 4, "feat_dim": 6})
class AttentionDiversityLoss(HeadsLoss):
    r"""Attention diversity: the heads are to look at different places.

    Zhang et al. 2023, "A Dual-Direction Attention Mixed Feature Network for Facial Expression
    Recognition", Electronics 12(17):3595. With the attention maps \(a_k\) of h heads,

    $$L = \frac{h(h-1)/2}{\sum_{k<l} \operatorname{mean}\left[(a_k - a_l)^2\right] + \varepsilon}$$

    the mean taken over all elements and ε the machine precision. It takes maps (N, h, D, H, W), or h tensors
    (N, D, H, W). Labels are not used.

    Args:
        num_classes: Not used: every loss can be built with it.
        feat_dim: Not used.

    Raises:
        LossError: When called with fewer than two heads.
    """

    takes = ("attention",)

    def compute(self, heads: torch.Tensor) -> torch.Tensor:
        """The equation above."""
        pairs = list(combinations(heads.unbind(1), 2))
        difference = torch.stack([F.mse_loss(a, b) for a, b in pairs]).sum()
        return len(pairs) / (difference + torch.finfo(heads.dtype).eps)
