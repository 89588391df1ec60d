"""Learning-rate schedules: one cycle and plateau by torch, all others by timm."""

from __future__ import annotations

import copy
from typing import Any

import torch
from timm.scheduler import create_scheduler_v2

from ..errors import RecipeError
from .recipe import Recipe
from .recipe_checks import refused

__all__ = ["Schedule"]


class Schedule:
    """A schedule that is told of every step and every epoch, and can be resumed."""

    def __init__(self, optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> None:
        """Build it.

        Args:
            optimizer: What it drives.
            recipe: `sched`, `sched_kwargs`, `epochs`, `lr` and `warmup`.
            steps: Steps an epoch.

        Raises:
            RecipeError: If torch or timm refuses an argument, at once or in one of the epochs.
        """
        self.per_step = recipe.sched != "plateau"
        self.steps = steps
        if recipe.sched in ("onecycle", "none") and recipe.sched_kwargs:
            raise RecipeError(f"sched={recipe.sched} takes no sched_kwargs, got {recipe.sched_kwargs}.")
        try:
            self.inner = _build(optimizer, recipe, steps)
            if recipe.sched_kwargs:
                self._try(optimizer, recipe)
        except Exception as error:  # each schedule raises what it likes
            raise refused(f"sched={recipe.sched}", "sched_kwargs", recipe.sched_kwargs, error) from error

    def _try(self, optimizer: torch.optim.Optimizer, recipe: Recipe) -> None:
        """Go through all epochs with an optimiser that is thrown away: some arguments fail only when they are used."""
        groups = [{"params": [torch.nn.Parameter(torch.zeros(1))]} for _ in optimizer.param_groups]
        trial = copy.copy(self)
        trial.inner = _build(torch.optim.SGD(groups, recipe.lr), recipe, self.steps)
        for epoch in range(recipe.epochs):
            trial.after_step(epoch, self.steps)
            trial.after_epoch(-epoch)

    def after_step(self, epoch: int, step: int) -> None:
        """Set the rate of the next step.

        Args:
            epoch: Epoch, from 0.
            step: Steps done in it.
        """
        if hasattr(self.inner, "step_update"):
            self.inner.step_update(epoch * self.steps + step)
        elif self.per_step:
            self.inner.step()

    def after_epoch(self, accuracy: float) -> None:
        """Set the rate of the next epoch where the schedule looks at the validation accuracy, in percent."""
        if not self.per_step:
            self.inner.step(accuracy)

    def state_dict(self) -> dict[str, Any]:
        """Where it stands; plain values alone."""
        state: dict[str, Any] = self.inner.state_dict()
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.inner.load_state_dict(state)


def _build(optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int) -> Any:
    """The schedule of torch or timm behind a recipe's."""
    if recipe.sched == "onecycle":
        # OneCycleLR divides by the steps that it rises and falls: neither may be none.
        total = max(4, recipe.epochs * steps)
        rise = min(max(recipe.warmup, 1.5 / total), 1 - 1.5 / total)
        return torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.lr, total, pct_start=rise, cycle_momentum=False)
    if recipe.sched == "none":
        return torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
    if recipe.sched == "plateau":  # timm's forgets where it stood
        return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", **recipe.sched_kwargs)
    warmup = max(1, round(recipe.warmup * recipe.epochs)) if recipe.warmup else 0
    kwargs: dict[str, Any] = {"warmup_lr": recipe.lr / 100, "min_lr": 0.0, **recipe.sched_kwargs}
    return create_scheduler_v2(
        optimizer,
        sched=recipe.sched,
        num_epochs=max(1, recipe.epochs - warmup),  # timm adds the warmup before them
        warmup_epochs=warmup,
        warmup_prefix=True,
        step_on_epochs=False,
        updates_per_epoch=steps,
        **kwargs,
    )[0]
