"""Schedules follow their curve, and a resumed one continues it."""

from __future__ import annotations

import math

import pytest
import torch

from ferzoo.errors import RecipeError
from ferzoo.train.recipe import Recipe
from ferzoo.train.recipe_checks import SCHEDULES
from ferzoo.train.schedule import Schedule

STEPS = 5


def make(sched: str, **changes: object) -> tuple[torch.optim.Optimizer, Schedule]:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(2))], lr=0.1)
    recipe = Recipe(sched=sched, epochs=8, lr=0.1, **{"warmup": 0.0, **changes})  # type: ignore[arg-type]
    return optimizer, Schedule(optimizer, recipe, STEPS)


def walk(optimizer: torch.optim.Optimizer, schedule: Schedule, epochs: range, scores: list[float]) -> list[float]:
    rates = []
    for epoch in epochs:
        for step in range(1, STEPS + 1):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            schedule.after_step(epoch, step)
        schedule.after_epoch(scores[epoch])
    return rates


@pytest.mark.parametrize("sched", SCHEDULES)
def test_a_resumed_schedule_continues_the_curve(sched: str) -> None:
    kwargs = {
        "plateau": {"sched_kwargs": {"patience": 1, "factor": 0.5}},
        "step": {"sched_kwargs": {"decay_epochs": 3, "decay_rate": 0.1}},
        "multistep": {"sched_kwargs": {"decay_milestones": [2, 5], "decay_rate": 0.1}},
    }.get(sched, {})
    scores = [10.0, 20.0, 20.0, 20.0, 20.0, 21.0, 21.0, 21.0]
    whole = walk(*make(sched, **kwargs), range(8), scores)
    optimizer, schedule = make(sched, **kwargs)
    first = walk(optimizer, schedule, range(3), scores)
    again, resumed = make(sched, **kwargs)
    again.load_state_dict(optimizer.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert first + walk(again, resumed, range(3, 8), scores) == pytest.approx(whole)
    assert (len(set(whole)) == 1) == (sched == "none")


def test_cosine_is_the_equation() -> None:
    rates = walk(*make("cosine"), range(8), [0.0] * 8)
    expected = [0.1 * 0.5 * (1 + math.cos(math.pi * t / (8 * STEPS))) for t in range(8 * STEPS)]
    assert rates == pytest.approx(expected)


@pytest.mark.parametrize("sched", ["cosine", "tanh"])
def test_a_curve_with_warmup_ends_at_zero(sched: str) -> None:
    rates = walk(*make(sched, warmup=0.25), range(8), [0.0] * 8)
    assert max(rates) == pytest.approx(0.1, rel=0.05) and rates.index(max(rates)) in range(9, 12)
    assert rates[-1] < 0.005


def test_warmup_rises_and_step_falls_tenfold() -> None:
    rates = walk(*make("step", warmup=0.25, sched_kwargs={"decay_epochs": 3, "decay_rate": 0.1}), range(8), [0.0] * 8)
    assert rates[0] == pytest.approx(0.001)
    assert all(a < b for a, b in zip(rates[: 2 * STEPS], rates[1 : 2 * STEPS], strict=False))
    assert rates[2 * STEPS] == pytest.approx(0.1)
    assert rates[5 * STEPS + 1] == pytest.approx(0.01)


def test_a_plateau_lowers_the_rate() -> None:
    kwargs = {"sched_kwargs": {"patience": 1, "factor": 0.5}}
    still = walk(*make("plateau", **kwargs), range(8), [50.0] * 8)
    rising = walk(*make("plateau", **kwargs), range(8), [50.0 + i for i in range(8)])
    assert min(still) < 0.1 and set(rising) == {0.1}


def test_a_wrong_argument_is_named() -> None:
    with pytest.raises(RecipeError, match="sched=cosine does not take sched_kwargs={'decay': 3}"):
        make("cosine", sched_kwargs={"decay": 3})
    with pytest.raises(RecipeError, match="sched=onecycle takes no sched_kwargs"):
        make("onecycle", sched_kwargs={"decay_rate": 3})
    with pytest.raises(RecipeError, match="sched=plateau does not take"):
        make("plateau", sched_kwargs={"factor": 2.0})
    with pytest.raises(RecipeError, match="sched must be one of .* got 'cosin'. Did you mean cosine"):
        Recipe(sched="cosin")
