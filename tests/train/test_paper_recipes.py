"""The papers' recipes: each loads, and its losses fit the network that it names."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from noise import faces

import ferzoo
from ferzoo.errors import RecipeError
from ferzoo.train.network import build_network
from ferzoo.train.objective import Objective
from ferzoo.train.processes import Processes
from ferzoo.train.recipe import Recipe

PAPERS = Path(__file__).parents[2] / "docs" / "recipes" / "papers"
PEERS = ("dacl", "dan", "ddamfn", "ma_net", "ran", "scn")


@pytest.mark.parametrize("path", sorted(PAPERS.glob("*.yaml")), ids=lambda path: path.stem)
def test_it_loads(path: Path) -> None:
    recipe = Recipe.load(path)
    assert path.stem.startswith(f"{recipe.model}.{recipe.dataset}")


@pytest.mark.usefixtures("shrunk")
@pytest.mark.parametrize("name", PEERS)
def test_a_step_moves_every_parameter(name: str) -> None:
    """All losses of a peer's recipe take what the network gives, and together reach all of it."""
    given = Recipe.load(PAPERS / f"{name}.rafdb.yaml", ["sizes={0: 64}", "device=cpu", "weight_decay=0"])
    recipe = dataclasses.replace(given, model_kwargs={"img_size": 64})
    torch.manual_seed(0)
    rows = faces(8, 0)
    model: Any = build_network(recipe, 8).train()
    before = {key: value.detach().clone() for key, value in model.named_parameters()}
    objective = Objective(recipe, model, rows, model.pretrained_cfg, Processes("cpu"))
    centers = [p.detach().clone() for p in objective.loss.parameters()]
    objective.step(torch.randn(8, 3, 64, 64), torch.from_numpy(rows.labels))
    assert all(value.isfinite() for value in objective.loss.last.values())
    assert len(objective.loss.last) == len(objective.loss.terms)
    # A bias before a BatchNorm changes nothing.
    still = [k for k, p in model.named_parameters() if p.dim() > 1 and torch.equal(p, before[k])]
    assert not still
    assert all(not torch.equal(a, b) for a, b in zip(centers, objective.loss.parameters(), strict=True))
    assert bool(objective.center_optimizer) == (name == "dacl")


def test_a_run_starts_from_a_backbone(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {"timm:resnet18.tv_in1k": timm.create_model("resnet18"), "timm:resnet34": timm.create_model("resnet34")}
    sources["mfn"] = ferzoo.create_model("mfn", num_classes=0)
    monkeypatch.setattr("ferzoo.train.network.load_model", sources.__getitem__)
    model = build_network(Recipe(model="scn", init="timm:resnet18.tv_in1k"), 7)
    assert torch.equal(model.stages[0][1].conv1.weight, sources["timm:resnet18.tv_in1k"].layer1[0].conv1.weight)
    with pytest.raises(RecipeError, match="init=timm:resnet34 does not fit scn: ResNet is not the backbone of SCN"):
        build_network(Recipe(model="scn", init="timm:resnet34"), 7)
    model = build_network(Recipe(model="ddamfn", init="mfn"), 7)
    assert torch.equal(model.final_conv.conv.weight, sources["mfn"].final_conv.conv.weight)
