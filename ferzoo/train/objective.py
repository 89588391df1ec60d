"""What a run minimises: the recipe's loss over a network's outputs, and the optimisers that follow it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import torch
from timm.optim import create_optimizer_v2, get_optimizer_info, list_optimizers
from torch import nn

from ..data.faces import Faces
from ..errors import LossError, RecipeError, UnknownNameError
from ..losses.cross_entropy import CrossEntropyLoss
from ..registry.composite import CompositeLoss, loss_parameter_groups
from .batches import class_weights
from .bfloat16 import autocast
from .processes import Processes
from .recipe import Recipe
from .recipe_checks import refused
from .sam import SAM
from .teacher import Teacher, distillation_loss

__all__ = ["Objective", "TrainingOutputs"]


class TrainingOutputs(nn.Module):
    """A network whose forward pass is its `forward_train`; for one of timm's without it, outputs of the same names.

    These are `logits`, `features`, the map (N, F, h, w), or the mean (N, F) over tokens or a map with channels last,
    and, where a loss takes it, the `embedding`: it runs the head once more.
    """

    def __init__(self, network: nn.Module, takes: Collection[str]) -> None:
        """Wrap the network; `takes` names the outputs that losses take."""
        super().__init__()
        self.network: Any = network
        self.takes = tuple(takes)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Outputs by name, of images (N, C, H, W)."""
        network = self.network
        if hasattr(network, "forward_train"):
            outputs: dict[str, torch.Tensor] = network.forward_train(x)
            return outputs
        features = network.forward_features(x)
        outputs = {"logits": network.forward_head(features), "features": features}
        if "embedding" in self.takes:
            outputs["embedding"] = network.forward_head(features, pre_logits=True)
        channels_first = features.dim() == 4 and features.shape[1] == network.num_features
        if features.dim() > 2 and not channels_first and features.shape[-1] == network.num_features:
            outputs["features"] = features.flatten(1, -2).mean(1)
        return outputs


class Objective:
    """The loss of a recipe and the optimisers of the network and of the loss's own centres.

    Attributes:
        loss: The sum of losses; its parameters train with the network.
        logits: The network's (N, C) for the last step's batch, before the step; detached, of all processes.
        optimizer: The network's optimiser, which the schedule drives.
        center_optimizer: Plain SGD for centres whose paper gives them a rate of their own, or None.
    """

    def __init__(self, recipe: Recipe, model: Any, faces: Faces, cfg: dict[str, Any], processes: Processes) -> None:
        """Build the loss for the network.

        Args:
            recipe: Loss, optimiser and everything that changes a step.
            model: The network, on its device.
            faces: The training rows, for class names and weights.
            cfg: The network's pretrained cfg.
            processes: The processes that share a batch.

        Raises:
            RecipeError: If the loss does not fit the network or the recipe; says what to change.
            UnknownNameError: If the loss or the optimiser is not known; names the nearest.
        """
        self.recipe, self.model, self.processes = recipe, model, processes
        self.loss = self._loss(recipe, model, faces).to(processes.device)
        self.logits = torch.empty(0)
        if recipe.opt not in list_optimizers():
            raise UnknownNameError("optimiser", recipe.opt, list_optimizers(), "See timm.optim.list_optimizers().")
        if get_optimizer_info(recipe.opt).second_order:
            raise RecipeError(f"opt={recipe.opt} needs second derivatives, which are not computed: take another.")
        shared, own = loss_parameter_groups(self.loss)
        try:
            self.optimizer = create_optimizer_v2(
                model, opt=recipe.opt, lr=recipe.lr, weight_decay=recipe.weight_decay, **recipe.opt_kwargs
            )
        except Exception as error:  # each optimiser raises what it likes
            raise refused(f"opt={recipe.opt}", "opt_kwargs", recipe.opt_kwargs, error) from error
        if shared:
            self.optimizer.add_param_group({"params": shared, "weight_decay": 0.0})
        self.center_optimizer = torch.optim.SGD(own) if own else None
        self.sam = SAM(model.parameters(), recipe.sam) if recipe.sam else None
        names = faces.class_names
        each_step = recipe.teacher and not recipe.distill_once
        self.teacher = Teacher(recipe.teacher, cfg, names, processes.device) if each_step else None
        takes = self.loss.takes
        unused = "logits" not in takes or bool(getattr(model, "loss_only_parameters", ()))
        forward = processes.wrap(TrainingOutputs(model, takes), recipe.sync_bn, unused)
        self._forward: Any = torch.compile(forward) if recipe.compile else forward

    @staticmethod
    def _loss(recipe: Recipe, model: Any, faces: Faces) -> CompositeLoss:
        classes = len(faces.class_names)
        widths = {"features": model.num_features, "logits": classes, "embedding": model.head_hidden_size}
        try:
            loss = CompositeLoss(recipe.loss, classes, widths)
        except LossError as error:
            raise RecipeError(f"loss={recipe.loss!r}: {error}") from error
        if recipe.balance == "weights":
            terms = [part for part in loss.losses if isinstance(part, CrossEntropyLoss)]
            if not terms:
                raise RecipeError(f"balance=weights weights cross-entropy, and loss={recipe.loss!r} has none.")
            for term in terms:
                term.class_weights = torch.tensor(class_weights(faces.labels, classes))
        return loss

    def ask(self, images: torch.Tensor) -> torch.Tensor | None:
        """Log-probabilities (N, C) of the teacher for a batch; None without one, or where it was asked once."""
        if not self.teacher:
            return None
        with autocast(images.device.type, self.recipe.amp):
            return self.teacher(images)

    def __call__(self, images: torch.Tensor, targets: torch.Tensor, taught: torch.Tensor | None = None) -> torch.Tensor:
        """The loss of a batch over all processes; `loss.last` then holds each term.

        Args:
            images: Normalised faces (N, C, H, W).
            targets: Class indices (N,), or probabilities (N, classes).
            taught: What `ask` said of them.
        """
        recipe = self.recipe
        with autocast(images.device.type, recipe.amp):
            outputs: Mapping[str, torch.Tensor] = self._forward(images)
        if self.processes.count > 1:
            wanted = {key: outputs[key] for key in {*self.loss.takes, "logits"} if key in outputs}
            outputs = self.processes.gather(wanted)
            targets = self.processes.gather({"targets": targets})["targets"]
            taught = None if taught is None else self.processes.gather({"taught": taught})["taught"]
        self.logits = outputs["logits"].detach()
        loss: torch.Tensor = self.loss(outputs, targets)
        if taught is not None:
            taken = distillation_loss(outputs["logits"], taught, recipe.temperature)
            self.loss.last["teacher"] = taken.detach()
            loss = (1 - recipe.distill) * loss + recipe.distill * taken
        if recipe.flood:
            loss = (loss - recipe.flood).abs() + recipe.flood
        return loss

    def step(self, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Move the network and the centres down the loss of a batch, unless loss or gradient is not finite.

        Args:
            images: Normalised faces (N, C, H, W).
            targets: Class indices (N,), or probabilities (N, classes).

        Returns:
            The loss before the step, detached, or what was not finite; `loss.last` holds its terms.

        Raises:
            LossError: If the loss has no gradient.
        """
        self.optimizer.zero_grad()
        if self.center_optimizer:
            self.center_optimizer.zero_grad()
        taught = self.ask(images)
        loss = self(images, targets, taught)
        if not torch.isfinite(loss):
            return loss.detach()
        if not loss.requires_grad:
            raise LossError(f"The loss {self.recipe.loss} has no gradient: it is constant, or detaches what it takes.")
        loss.backward()
        if self.sam:
            terms, logits = self.loss.last, self.logits
            for parameter in self.loss.parameters():
                parameter.grad = None  # theirs too is the gradient of the second pass alone
            with frozen_statistics(self.model):
                again = self.sam.second_gradient(lambda: self(images, targets, taught))
            self.loss.last, self.logits = terms, logits
            if not torch.isfinite(again):
                return again.detach()
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip_grad or torch.inf)
        if not torch.isfinite(norm):
            return norm.detach()
        self.optimizer.step()
        if self.center_optimizer:
            self.center_optimizer.step()
        return loss.detach()

    def state_dict(self) -> dict[str, Any]:
        """Everything but the network; plain SGD has no state of its own."""
        return {"loss": self.loss.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take back what `state_dict` gave."""
        self.loss.load_state_dict(state["loss"])
        self.optimizer.load_state_dict(state["optimizer"])


@contextlib.contextmanager
def frozen_statistics(model: nn.Module) -> Iterator[None]:
    """BatchNorms that use a batch's statistics without remembering them: a batch seen twice counts once."""
    layers = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    try:
        yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
