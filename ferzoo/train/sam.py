"""Sharpness-aware minimisation (Foret et al. 2021, arXiv 2010.01412, algorithm 1)."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

__all__ = ["SAM"]


class SAM:
    """Takes the gradient where the loss is highest nearby, a step ρ along the gradient, and returns.

    Attributes:
        rho: Length ρ of that step, in the norm of all parameters together.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], rho: float) -> None:
        """Keep the parameters that are moved and put back."""
        self.parameters, self.rho = list(parameters), rho

    def second_gradient(self, closure: Callable[[], torch.Tensor]) -> torch.Tensor:
        """Replace the present gradients by those at the perturbed weights.

        Args:
            closure: Computes the loss of the same batch again; its gradients are taken here.

        Returns:
            The loss at the perturbed weights.
        """
        with torch.no_grad():
            moved = [p for p in self.parameters if p.grad is not None]
            norm = torch.stack([p.grad.norm() for p in moved if p.grad is not None]).norm()
            before = [p.detach().clone() for p in moved]
            for p in moved:
                assert p.grad is not None
                p.add_(p.grad, alpha=float(self.rho / (norm + 1e-12)))
                p.grad = None
        loss = closure()
        loss.backward()
        with torch.no_grad():
            for p, value in zip(moved, before, strict=True):
                p.copy_(value)
        return loss
