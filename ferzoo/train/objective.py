"""What a run minimises: the recipe's loss over a network's outputs, and the optimisers that follow it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from timm.optim import create_optimizer_v2, list_optimizers
from torch import nn

from ..errors import LossError, RecipeError, UnknownNameError
from ..registry.composite import CompositeLoss, loss_parameter_groups
from .recipe import Recipe

__all__ = ["Objective"]


def forward_outputs(model: nn.Module) -> Callable[[torch.Tensor], Mapping[str, torch.Tensor]]:
    """A network's `forward_train`; for one of timm's without it, logits, map and pooled vector."""
    ready: Any = getattr(model, "forward_train", None)
    if ready is not None:
        return ready

    def forward(x: torch.Tensor) -> dict[str, torch.Tensor]:
        network: Any = model
        features = network.forward_features(x)
        return {
            "logits": network.forward_head(features),
            "features": features,
            "embedding": network.forward_head(features, pre_logits=True),
        }

    return forward


class Objective:
    """The loss of a recipe and the optimisers of the network and of the loss's own centres.

    Attributes:
        loss: The sum of losses; its parameters train with the network.
        optimizer: The network's optimiser, which the schedule drives.
        center_optimizer: Plain SGD for centres whose paper gives them a rate of their own, or None.
    """

    def __init__(self, recipe: Recipe, model: Any, num_classes: int) -> None:
        """Build the loss for the network.

        Raises:
            RecipeError: If the loss does not fit the network or the recipe; says what to change.
            UnknownNameError: If the loss or the optimiser is not known; names the nearest.
        """
        widths = {"features": model.num_features, "logits": num_classes, "embedding": model.head_hidden_size}
        try:
            self.loss = CompositeLoss(recipe.loss, num_classes, widths).to(recipe.device)
        except LossError as error:
            raise RecipeError(f"loss={recipe.loss!r}: {error}") from error
        if recipe.opt not in list_optimizers():
            raise UnknownNameError("optimiser", recipe.opt, list_optimizers(), "See timm.optim.list_optimizers().")
        self.optimizer = create_optimizer_v2(model, opt=recipe.opt, lr=recipe.lr, weight_decay=recipe.weight_decay)
        shared, own = loss_parameter_groups(self.loss)
        if shared:
            self.optimizer.add_param_group({"params": shared, "weight_decay": 0.0})
        self.center_optimizer = torch.optim.SGD(own) if own else None
        self.recipe, self.model = recipe, model
        forward = forward_outputs(model)
        self._forward: Callable[[torch.Tensor], Mapping[str, torch.Tensor]] = (
            torch.compile(forward) if recipe.compile else forward
        )

    def __call__(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The loss of a batch; `loss.last` then holds each term."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.recipe.amp):
            outputs = self._forward(images)
        loss: torch.Tensor = self.loss(outputs, targets)
        return loss

    def step(self, loss: torch.Tensor) -> None:
        """Move the network and the centres down the loss."""
        self.optimizer.zero_grad()
        if self.center_optimizer:
            self.center_optimizer.zero_grad()
        loss.backward()
        if self.recipe.clip_grad:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_grad)
        self.optimizer.step()
        if self.center_optimizer:
            self.center_optimizer.step()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the network; plain SGD has no state of its own."""
        return {"loss": self.loss.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])
