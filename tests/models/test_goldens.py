"""The authors' released implementations, number for number, through each module's checkpoint_filter_fn."""

from __future__ import annotations

import importlib
import json
import runpy
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

import ferzoo

GOLDENS = Path(__file__).resolve().parents[3] / "shared" / "goldens"
#: These goldens are the L2-normalised embedding; the others are logits.
EMBEDDINGS = ("lfn", "mfn")
NAMES = ("lanmsff", "lfn", "lfnsb", "mfn")

pytestmark = pytest.mark.skipif(not GOLDENS.is_dir(), reason="needs ../shared/goldens, which is not here")


def relative_error(actual: torch.Tensor, expected: Any) -> float:
    expected = torch.tensor(expected, dtype=torch.float64)
    assert actual.shape == expected.shape
    return float((actual - expected).norm() / expected.norm())


@dataclass
class Golden:
    facts: dict[str, Any]
    model: Any
    x: torch.Tensor


@lru_cache(maxsize=len(NAMES))
def load(name: str) -> Golden:
    """The file, the network in float64 with its weights, and the input."""
    facts = json.loads((GOLDENS / f"{name}.json").read_text(encoding="utf-8"))
    fill = runpy.run_path(str(GOLDENS / "fill.py"))
    num_classes = 0 if name in EMBEDDINGS else len(facts["output"][0])
    model: Any = ferzoo.create_model(name, num_classes=num_classes, dtype=torch.float64).eval()
    state = {
        name: torch.from_numpy(fill["values"](name, tuple(shape), kind, facts["seed"]))
        for name, shape, kind, *_ in facts["tensors"]
    }
    state = importlib.import_module(type(model).__module__).checkpoint_filter_fn(state, model)
    # The goldens leave out num_batches_tracked, which plays no part in eval mode.
    counters = {name: b for name, b in model.named_buffers() if name.endswith("num_batches_tracked")}
    model.load_state_dict({**counters, **state}, strict=True)
    return Golden(facts, model, torch.from_numpy(fill["batch"](tuple(facts["input_shape"]), facts["seed"])))


@torch.no_grad()
@pytest.mark.parametrize("name", NAMES)
def test_output(name: str) -> None:
    golden = load(name)
    output = golden.model(golden.x)
    if name in EMBEDDINGS:
        output = F.normalize(output)
    assert relative_error(output, golden.facts["output"]) < 1e-9


@pytest.mark.parametrize(("name", "unused"), [("lanmsff", 0), ("lfn", 0), ("lfnsb", 14), ("mfn", 29_184)])
def test_all_but_the_unused_parameters_of_the_release_are_there(name: str, unused: int) -> None:
    golden = load(name)
    assert sum(p.numel() for p in golden.model.parameters()) == golden.facts["params"] - unused


@torch.no_grad()
def test_lfnsb_s_map() -> None:
    golden = load("lfnsb")
    features = golden.model.forward_features(golden.x)
    assert list(features.shape) == golden.facts["features_shape"]
    assert relative_error(features.mean((2, 3)), golden.facts["features_mean_per_channel"]) < 1e-9


@torch.no_grad()
def test_lanmsff_block_by_block() -> None:
    golden = load("lanmsff")
    model, expected = golden.model, golden.facts["intermediate"]
    features, maps = model.forward_intermediates(golden.x)
    stages = {f"dropout_{i}" if i else "dropout": m for i, m in enumerate(maps)}
    stages |= {f"pwfs_{i}" if i else "pwfs": model.filter(m) for i, m in enumerate(maps[:3])}
    assert set(stages) == set(expected)
    for name, facts in expected.items():
        assert list(stages[name].shape) == facts["shape_nchw"]
        assert relative_error(stages[name].mean((2, 3)), facts["mean_per_channel"]) < 1e-9
    pooled = model.forward_head(features, pre_logits=True)
    assert relative_error(pooled, golden.facts["pooled_features"]) < 1e-9
