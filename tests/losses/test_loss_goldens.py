"""The authors' released losses, number for number."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import ferzoo

GOLDENS = Path(__file__).resolve().parents[3] / "shared" / "goldens"

pytestmark = pytest.mark.skipif(not GOLDENS.is_dir(), reason="needs ../shared/goldens, which is not here")


@lru_cache(maxsize=1)
def facts() -> dict[str, Any]:
    return json.loads((GOLDENS / "losses.json").read_text(encoding="utf-8"))


@lru_cache(maxsize=1)
def drawn() -> dict[str, torch.Tensor]:
    """The inputs, in the file's `draw_order`."""
    rng = np.random.RandomState(facts()["seed"])
    rows, classes, width = facts()["batch"], facts()["num_classes"], facts()["feat_dim"]
    arrays = {
        "features": rng.standard_normal((rows, width, 7, 7)),
        "labels": rng.randint(0, classes, rows),
        "centers": rng.standard_normal((classes, width)),
        "heads": rng.standard_normal((rows, 4, width)),
    }
    arrays |= {f"map{i}": rng.standard_normal((rows, width, 7, 7)) for i in range(3)}
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def near(value: torch.Tensor, expected: float) -> bool:
    return abs(value.item() - expected) < 1e-9 * abs(expected)


@pytest.mark.parametrize(
    ("golden", "name", "kwargs"),
    [("cosine_harmony_released", "cosine_harmony", {"form": "released"}), ("affinity", "affinity", {})],
)
def test_value_and_gradients(golden: str, name: str, kwargs: dict[str, str]) -> None:
    loss: Any = ferzoo.create_loss(name, facts()["num_classes"], facts()["feat_dim"], **kwargs).double()
    loss.load_state_dict({"centers": drawn()["centers"]})
    features = drawn()["features"].clone().requires_grad_()
    value = loss(features, drawn()["labels"])
    value.backward()
    expected = facts()[golden]
    assert near(value, expected["value"])
    assert near(features.grad.abs().sum(), expected["grad_features_abs_sum"])
    assert near(loss.centers.grad.abs().sum(), expected["grad_centers_abs_sum"])


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("name", ["partition", "attention_diversity"])
def test_losses_of_heads(name: str, stacked: bool) -> None:
    maps = [drawn()[f"map{i}"] for i in range(3)]
    heads = list(drawn()["heads"].unbind(1)) if name == "partition" else maps
    value = ferzoo.create_loss(name)(torch.stack(heads, dim=1) if stacked else heads)
    assert near(value, facts()[name]["value"])
