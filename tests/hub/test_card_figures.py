"""Figures on a card: those of the network's own classes, in numbers that JSON has, and of which weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cards import card, config, named, network, written
from torch import nn

from ferzoo.errors import CheckpointError
from ferzoo.hub.checks import checked_metrics
from ferzoo.hub.facts import facts_of
from ferzoo.registry.load import load_model

RESULT = {"rows": 20, "accuracy": 50.0}


@pytest.mark.parametrize(
    "found",
    [
        {"classes": ["c", "b", "a"]},
        {"classes": ["a", "b"]},
        {"classes": ["a", "b", "x"]},
        {"classes": ["a", "b"], "outputs_left_out": ["x"]},
        {"confusion": [[1, 1], [0, 0]]},
    ],
)
def test_figures_of_other_classes_are_refused(found: dict[str, Any]) -> None:
    model = named(("a", "b", "c"))
    with pytest.raises(CheckpointError, match=r"metrics\['test'\] is of another network.*this one has a, b, c"):
        facts_of(model, model, metrics={"test": {**RESULT, **found}})


@pytest.mark.parametrize(
    ("names", "found"),
    [
        (("a", "b", "c"), {"classes": ["a", "b", "c"], "model": "something"}),
        (("a", "b", "c"), {"classes": ["a", "c"], "outputs_left_out": ["b"]}),
        ((), {"classes": ["x", "y", "z"]}),
        (("a", "b", "c"), {}),
    ],
)
def test_figures_of_the_same_classes_are_taken(names: Any, found: dict[str, Any]) -> None:
    model = named(names)
    assert facts_of(model, model, metrics={"test": {**RESULT, **found}}).metrics["test"]["rows"] == 20


@pytest.mark.parametrize(
    ("metrics", "message"),
    [
        ({"accuracy": 50}, r"metrics\['accuracy'\] must be an evaluation"),
        ({"test": {"accuracy": 50}}, r"metrics\['test'\]\['rows'\] must be a whole number of 1 or more, got None"),
        ({"test": {"accuracy": 50, "rows": "three"}}, r"\['rows'\] .*'three'"),
        ({"test": {"accuracy": 50, "rows": 0}}, r"\['rows'\]"),
        ({"test": {"accuracy": 50, "rows": True}}, r"\['rows'\]"),
        ({"test": {"rows": 3}}, r"\['accuracy'\] must be a number, got None"),
        ({"test": {**RESULT, "nll": "low"}}, r"\['nll'\] must be a number"),
        ({"test": {**RESULT, "macro_f1": math.nan}}, r"\['test'\]\['macro_f1'\] must be a finite number"),
        ({"test": {**RESULT, "accuracy": 250}}, r"\['accuracy'\] must be 0 to 100 %, got 250"),
        ({"test": {**RESULT, "nll": -1}}, r"\['nll'\] must be 0 or more, got -1"),
        ({"test": {**RESULT, "note": {1, 2}}}, r"\['note'\] must be a number, a text"),
        ({"test": {**RESULT, "classes": ["a", "a"]}}, r"\['classes'\]"),
        ({"test": {**RESULT, "recall": ["high"]}}, r"\['recall'\]"),
        ({"test": {**RESULT, "confusion": [[1, 2], [3]]}}, r"\['confusion'\] must have 2 rows of 2"),
        ({"test": {**RESULT, "classes": ["a", "b", "c"], "confusion": [[1, 2], [3, 4]]}}, "3 rows of 3"),
        ({"test": {**RESULT, "confusion": [[1, -2], [3, 4]]}}, r"\['confusion'\]"),
        ({"test": {**RESULT, "unseen": {"accuracy": 50}}}, r"\['test'\]\['unseen'\]\['rows'\]"),
        ({"test": {**RESULT, "unseen": {"rows": 2, "accuracy": None}}}, r"\['unseen'\]\['accuracy'\] must be a number"),
        ({"test": {**RESULT, "agreed": {"accuracy": 50}}}, r"\['test'\]\['agreed'\]\['rows'\]"),
        ({"test": {**RESULT, "classes": ["a"], "unseen": {**RESULT, "confusion": [[1, 0], [0, 1]]}}}, "unseen"),
    ],
)
def test_what_is_no_evaluation_is_refused(metrics: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        facts_of(network(), network(), metrics=metrics)


def test_unknown_figures_and_numpys_numbers_are_taken(tmp_path: Path) -> None:
    confusion = np.array([[5, 0, 0], [0, 0, 3], [0, 0, 0]])
    found = {"rows": np.int64(8), "accuracy": np.float32(62.5), "macro_f1": None, "confusion": confusion}
    metrics = checked_metrics({"test": {**found, "unseen": {"rows": 0, "accuracy": 0.0}}})
    assert checked_metrics({"test": {**found, "unseen": {"rows": 0, "accuracy": None}}})["test"]["unseen"]["rows"] == 0
    assert metrics["test"]["confusion"] == confusion.tolist()
    written(named(("a", "b", "c")), tmp_path, {"metrics": {"test": found}})
    assert config(tmp_path)["ferzoo"]["metrics"]["test"]["accuracy"] == 62.5
    assert [r.metric_type for r in card(tmp_path).data.eval_results] == ["accuracy"]
    assert "macro F1" not in card(tmp_path).text


@pytest.mark.parametrize(
    ("build", "dtype", "said"),
    [
        (network, "float16", True),
        (network, "float32", False),
        (lambda: network().half().float(), "float16", False),
        (lambda: load_model("lanmsff"), "float16", False),
    ],
)
def test_figures_from_before_rounding_say_so(
    tmp_path: Path, build: Callable[[], nn.Module], dtype: str, said: bool
) -> None:
    written(build(), tmp_path, {"metrics": {"test": RESULT}}, dtype=dtype)
    assert ("rounded to float16; the figures were measured before" in card(tmp_path).text) is said
