"""The losses of SCN, RAN and MA-Net against loops over their equations, and what they refuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import ferzoo
from ferzoo.errors import LossError
from ferzoo.losses.cross_entropy import CrossEntropyLoss


@pytest.mark.parametrize("count", [1, 2, 3, 10, 33, 90])
@pytest.mark.parametrize(("margin", "share"), [(0.15, 0.7), (0.6, 0.5)])
def test_rank_regularisation(count: int, margin: float, share: float) -> None:
    a = torch.rand(count, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    high = int(10 * share) * count // 10
    ranked = sorted(a.tolist(), reverse=True)
    expected = 0.0
    if high:
        expected = max(0.0, margin - (sum(ranked[:high]) / high - sum(ranked[high:]) / (count - high)))
    loss = ferzoo.create_loss("rank_regularisation", margin=margin, share=share)
    assert loss(a).item() == pytest.approx(expected, abs=1e-12)
    assert loss(a[:, None]).item() == loss(a).item()
    assert loss({"importance": a, "logits": a}).item() == loss(a).item()
    assert ferzoo.create_loss("rank_regularisation", share=1 - 1e-9)(a).isfinite()


def test_region_bias() -> None:
    alpha = torch.rand(7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).softmax(1)
    expected = sum(max(0.0, 0.1 - (max(row[:5]) - row[5])) for row in alpha.tolist()) / 7
    assert ferzoo.create_loss("region_bias")(alpha).item() == pytest.approx(expected, rel=1e-12)
    clear = torch.tensor([[0.6, 0.1, 0.3], [0.4, 0.3, 0.3]])
    assert ferzoo.create_loss("region_bias", margin=0.2)(clear).item() == pytest.approx(0.05)


def test_mixed_cross_entropy() -> None:
    generator = torch.Generator().manual_seed(1)
    heads, labels = torch.randn(5, 2, 4, dtype=torch.float64, generator=generator), torch.tensor([0, 3, 1, 1, 2])
    expected = 0.0
    for weight, head in ((0.6, 0), (0.4, 1)):
        for row, label in enumerate(labels):
            expected -= weight * heads[row, head].softmax(0)[label].log().item() / 5
    loss = ferzoo.create_loss("mixed_cross_entropy", num_classes=4)
    assert loss(heads, labels).item() == pytest.approx(expected, rel=1e-12)
    assert loss(list(heads.unbind(1)), labels).item() == pytest.approx(expected, rel=1e-12)
    # `balance=weights` of a recipe looks for cross-entropy.
    assert isinstance(loss, CrossEntropyLoss)
    one = ferzoo.create_loss("mixed_cross_entropy", num_classes=4, weights=[1.0, 0.0], class_weights=[1, 2, 3, 4])
    plain = ferzoo.create_loss("ce", num_classes=4, class_weights=[1, 2, 3, 4])
    assert torch.equal(one(heads, labels), plain(heads[:, 0], labels))


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("rank_regularisation", {"margin": -1.0}, "margin must be 0 or more, got -1.0"),
        ("rank_regularisation", {"share": 1.0}, "share must lie between 0 and 1, got 1.0"),
        ("region_bias", {"margin": float("nan")}, "got nan"),
        ("mixed_cross_entropy", {"weights": []}, "one number of 0 or more a branch"),
        ("mixed_cross_entropy", {"weights": [0.5, -0.5]}, r"\[0.5, -0.5\]"),
    ],
)
def test_arguments_out_of_range(name: str, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(LossError, match=message):
        ferzoo.create_loss(name, **arguments)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("rank_regularisation", torch.rand(3, 6), r"one importance a face \(N,\), got \(3, 6\)"),
        ("rank_regularisation", torch.rand(0), r"got \(0,\)"),
        ("region_bias", torch.rand(3), r"\(N, R\), the last of them the whole face; got \(3,\)"),
        ("mixed_cross_entropy", torch.rand(3, 4), r"logits of branches \(N, k, C\), got \(3, 4\)"),
        ("mixed_cross_entropy", torch.rand(3, 3, 4), "weights for 2 branches, got 3"),
        ("mixed_cross_entropy", {"logits": torch.rand(3, 4)}, "takes heads of forward_train"),
    ],
)
def test_inputs_of_another_shape(name: str, value: Any, message: str) -> None:
    with pytest.raises(LossError, match=message):
        ferzoo.create_loss(name)(value, torch.tensor([0, 1, 2]))
