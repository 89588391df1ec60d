"""Learning-rate schedules: one cycle and plateau by torch, all others by timm."""

from __future__ import annotations

from typing import Any

import torch
from timm.scheduler import create_scheduler_v2

from ..errors import RecipeError
from .recipe import Recipe

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
            RecipeError: If timm refuses an argument.
        """
        self.per_step = True
        self.steps = steps
        if recipe.sched in ("onecycle", "none") and recipe.sched_kwargs:
            raise RecipeError(f"sched={recipe.sched} takes no sched_kwargs, got {recipe.sched_kwargs}.")
        if recipe.sched == "onecycle":
            # OneCycleLR divides by the steps that it rises and falls: neither may be none.
            total = max(4, recipe.epochs * steps)
            rise = min(max(recipe.warmup, 1.5 / total), 1 - 1.5 / total)
            self.inner: Any = torch.optim.lr_scheduler.OneCycleLR(
                optimizer, recipe.lr, total, pct_start=rise, cycle_momentum=False
            )
            return
        if recipe.sched == "none":
            self.inner = torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)
            return
        if recipe.sched == "plateau":  # timm's forgets where it stood
            self.per_step = False
            try:
                self.inner = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, "max", **recipe.sched_kwargs)
            except (TypeError, ValueError, ZeroDivisionError) as error:
                raise self._refused(recipe, error) from error
            return
        warmup = max(1, round(recipe.warmup * recipe.epochs)) if recipe.warmup else 0
        kwargs: dict[str, Any] = {"warmup_lr": recipe.lr / 100, "min_lr": 0.0, **recipe.sched_kwargs}
        try:
            self.inner, _ = create_scheduler_v2(
                optimizer,
                sched=recipe.sched,
                num_epochs=max(1, recipe.epochs - warmup),  # timm adds the warmup before them
                warmup_epochs=warmup,
                warmup_prefix=True,
                step_on_epochs=False,
                updates_per_epoch=steps,
                **kwargs,
            )
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise self._refused(recipe, error) from error

    @staticmethod
    def _refused(recipe: Recipe, error: Exception) -> RecipeError:
        return RecipeError(f"sched={recipe.sched} does not take sched_kwargs={recipe.sched_kwargs}: {error}")

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
