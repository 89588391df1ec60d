"""The papers' update of class centres: an average over a class's faces in the batch, not a gradient of the mean."""

from __future__ import annotations

from typing import Any

import torch

__all__ = ["class_averaged"]


class _ClassAveraged(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(centers: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return centers.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.save_for_backward(inputs[1])

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (target,) = ctx.saved_tensors
        # The losses divide by the batch, the update by the class's faces and one.
        scale = len(target) / (1 + target.sum(0))
        return grads[0] * scale.unsqueeze(1), None


def class_averaged(centers: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    r"""The centres, unchanged, whose gradient becomes the update of Wen et al. 2016, equation 4.

    A loss that is a mean over N faces gives the centre of class j the gradient \(\frac1N \sum_{y_i = j} g_i\); this
    makes it \(\frac1{1 + n_j} \sum_{y_i = j} g_i\), with \(n_j\) the class's faces in the batch.

    Args:
        centers: Centres (C, D).
        target: Class probabilities (N, C).
    """
    return _ClassAveraged.apply(centers, target)
