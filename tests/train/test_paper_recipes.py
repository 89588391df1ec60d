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
from ferzoo.train.convergence import out_of_patience
from ferzoo.train.network import build_network
from ferzoo.train.objective import Objective
from ferzoo.train.processes import Processes
from ferzoo.train.recipe import Recipe
from ferzoo.train.schedule import Schedule

PAPERS = Path(__file__).parents[2] / "docs" / "recipes" / "papers"
#: What shared/architectures.md says of the papers' training: data set, rate, decay, batch, epochs, side, flooding.
LFNSB = {"rafdb": 0.01, "affectnet7": 1e-4, "affectnet8": 1e-4}
LANMSFF = ("fer2013", "ferplus", "kdef")
FACTS = {
    **{
        f"lfnsb.{data}": {
            "lr": rate, "weight_decay": 1e-4, "batch_size": 256, "epochs": 40, "sizes": {0: 112}, "flood": 0.5,
            "opt": "momentum", "opt_kwargs": {"momentum": 0.9}, "sched": "cosine", "sched_kwargs": {}, "patience": 0,
            "rotation": 5, "erasing_area": (0.02, 0.25), "flip": 0.5, "grayscale": False, "warmup": 0,
        }
        for data, rate in LFNSB.items()
    },
    **{
        f"lanmsff.{data}": {
            "lr": 1e-3, "weight_decay": 0, "batch_size": 32, "epochs": 100, "sizes": {0: 64}, "flood": 0,
            "opt": "adam", "opt_kwargs": {}, "sched": "plateau", "patience": 14, "rotation": 15, "erasing": 0,
            "flip": 0.5, "grayscale": True, "warmup": 0, "loss": "ce",
        }
        for data in LANMSFF
    },
}  # fmt: skip
#: Pixels that the papers' crops move a face by, and the input's side.
SHIFTS = {"lfnsb": (8, 112), "lanmsff": (4, 64)}
PEERS = ("dacl", "dan", "ddamfn", "ma_net", "ran", "scn")


@pytest.mark.parametrize("path", sorted(PAPERS.glob("*.yaml")), ids=lambda path: path.stem)
def test_it_loads(path: Path) -> None:
    recipe = Recipe.load(path)
    assert path.stem.startswith(f"{recipe.model}.{recipe.dataset}")


@pytest.mark.parametrize("name", FACTS)
def test_it_is_what_the_paper_says(name: str) -> None:
    recipe = Recipe.load(PAPERS / f"{name}.yaml")
    assert {key: getattr(recipe, key) for key in FACTS[name]} == FACTS[name]
    shift, side = SHIFTS[recipe.model]
    # The fraction counts the side with a margin of a quarter of it on both sides.
    assert recipe.translation * 1.5 * side == pytest.approx(shift, abs=0.1) and recipe.scale == (1, 1)
    if recipe.model == "lfnsb":
        assert isinstance(recipe.loss, str) and recipe.loss.startswith("ce + 1.0*cosine_harmony(")


@pytest.mark.parametrize("data", LANMSFF)
def test_the_rate_falls_at_the_ninth_epoch_without_a_better_one(data: str) -> None:
    recipe = Recipe.load(PAPERS / f"lanmsff.{data}.yaml")
    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=recipe.lr)
    schedule, rates = Schedule(optimizer, recipe, steps=1), []
    for accuracy in [50.0, *[40.0] * 9]:
        schedule.after_epoch(accuracy)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1e-3] * 9 + [1e-4])
    accuracies = [50.0, *[40.0] * 14]
    assert out_of_patience(accuracies, recipe.patience) and not out_of_patience(accuracies[:-1], recipe.patience)


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
