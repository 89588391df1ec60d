"""SAM takes the gradient at the perturbed weights and puts the weights back."""

from __future__ import annotations

import torch

from ferzoo.train.sam import SAM


def test_algorithm_1_by_hand() -> None:
    """On f(w) = sum w^4 the gradient at w + rho g/|g| is 4 (w + rho g/|g|)^3."""
    a, b = (torch.nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in ([1.0, -2.0], [0.5]))
    frozen = torch.nn.Parameter(torch.ones(2))

    def loss() -> torch.Tensor:
        return (a**4).sum() + (b**4).sum()

    loss().backward()
    g = torch.cat([4 * a.detach() ** 3, 4 * b.detach() ** 3])
    there = torch.cat([a.detach(), b.detach()]) + 0.1 * g / g.norm()
    found = SAM([a, b, frozen], 0.1).second_gradient(loss)
    assert torch.allclose(torch.cat([a.grad, b.grad]), 4 * there**3, rtol=1e-9)
    assert torch.allclose(found.detach(), (there**4).sum())
    assert a.tolist() == [1.0, -2.0] and b.tolist() == [0.5]
    assert frozen.grad is None and frozen.tolist() == [1.0, 1.0]


def test_a_zero_gradient_stays() -> None:
    w = torch.nn.Parameter(torch.zeros(3))
    (w**2).sum().backward()
    SAM([w], 0.1).second_gradient(lambda: (w**2).sum())
    assert w.grad is not None and not w.grad.any() and not w.any()
