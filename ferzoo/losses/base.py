"""What every loss shares: which outputs it takes, soft and integer labels, precision, class centres."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import LossError
from .arguments import whole
from .labels import class_probabilities

__all__ = ["CenterBasedLoss", "FeatureLoss", "FerLoss", "HeadsLoss", "unit"]

#: Norm under which a vector has no direction: its cosine is 0, and so is its gradient.
NO_DIRECTION = 1e-8


class FerLoss(nn.Module):
    """Base of the losses: called with tensors, or with the dict of a network's `forward_train`.

    Attributes:
        takes: Keys of `forward_train`'s dict that the loss takes: the first is its input, the others are
            passed on by their names.
        center_lr: Learning rate of the loss's own parameters under plain SGD, where the paper has one; None
            leaves them to the network's optimiser.
        uses_labels: Whether labels are needed.
    """

    takes: tuple[str, ...] = ("features",)
    center_lr: float | None = None
    uses_labels = True

    def pick(self, inputs: Any) -> tuple[Any, dict[str, Any]]:
        """Split a dict of outputs into the loss's input and its further arguments; a tensor passes through.

        Raises:
            LossError: If the network lacks an output that the loss takes; names what it has.
        """
        if not isinstance(inputs, Mapping):
            return inputs, {}
        absent = [key for key in self.takes if key not in inputs]
        if absent:
            raise LossError(
                f"{type(self).__name__} takes {' and '.join(self.takes)} of forward_train, but this network gives "
                f"only {', '.join(inputs)}: choose another loss, or a network with {' and '.join(absent)}."
            )
        first, *others = self.takes
        return inputs[first], {key: inputs[key] for key in others}

    @staticmethod
    def dtype_for(*tensors: torch.Tensor) -> torch.dtype:
        """The type to compute in: the widest of the tensors', float32 at least."""
        return functools.reduce(torch.promote_types, (t.dtype for t in tensors), torch.float32)


class FeatureLoss(FerLoss):
    """Base of losses over one feature vector a face.

    It takes features (N, D), or maps (N, D, H, W), which are averaged over space, and labels: class indices
    (N,) or probabilities (N, C), which weight each class's term. Half precision is computed in float32,
    under autocast too.

    Raises:
        LossError: When called with features or labels of another shape, or labels out of range.
    """

    #: Soft labels weight per-class terms; a margin loss cannot take them.
    soft_labels = True

    def __init__(self, num_classes: int, feat_dim: int) -> None:
        """Keep the sizes.

        Args:
            num_classes: Classes C, 2 or more.
            feat_dim: Width D of the features.

        Raises:
            LossError: If a size is out of range.
        """
        super().__init__()
        self.num_classes, self.feat_dim = whole("num_classes", num_classes, 2), whole("feat_dim", feat_dim, 1)

    def forward(
        self, inputs: torch.Tensor | Mapping[str, torch.Tensor], labels: torch.Tensor, *args: Any, **kwargs: Any
    ) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            inputs: Features (N, D), maps (N, D, H, W), or a dict of `forward_train`.
            labels: Class indices (N,), or probabilities (N, C).
            *args: What else the loss takes, in the order of `takes`.
            **kwargs: The same, by name.
        """
        x, picked = self.pick(inputs)
        shape = tuple(x.shape)
        if x.dim() == 4:
            x = x.flatten(2).to(self.dtype_for(x)).mean(2)
        if x.dim() != 2 or x.shape[1] != self.feat_dim:
            hint = f": pass feat_dim={x.shape[1]}" if x.dim() == 2 else ""
            raise LossError(
                f"{type(self).__name__} was built for features (N, {self.feat_dim}) or maps (N, {self.feat_dim}, H, W)"
                f", got {shape}{hint}."
            )
        if 0 in shape:
            raise LossError(f"{type(self).__name__} got an empty {'map' if len(x) else 'batch'}: {shape}.")
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.dtype_for(x, *self.parameters()))
            target = class_probabilities(labels, len(x), self.num_classes, type(self).__name__, self.soft_labels)
            return self.compute(x, target.to(x), *args, **{**picked, **kwargs})

    def compute(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The loss itself; a subclass writes its paper's equations here.

        Args:
            x: Features (N, D).
            target: Class probabilities (N, C), one-hot for integer labels.
        """
        raise NotImplementedError

    def extra_repr(self) -> str:
        """Show the sizes."""
        return f"num_classes={self.num_classes}, feat_dim={self.feat_dim}"


class CenterBasedLoss(FeatureLoss):
    """Base of losses with one learnable centre a class.

    Attributes:
        centers: The centres (C, D), drawn from a normal distribution with variance 2/C (He et al. 2015, fan out).
    """

    def __init__(self, num_classes: int, feat_dim: int) -> None:
        """Draw the centres; arguments as in `FeatureLoss`."""
        super().__init__(num_classes, feat_dim)
        self.centers = nn.Parameter(torch.empty(num_classes, feat_dim))
        nn.init.kaiming_normal_(self.centers, mode="fan_out")

    def squared_distances(self, x: torch.Tensor) -> torch.Tensor:
        """Squared Euclidean distances (N, C) to the centres, by differences: no digits cancel."""
        return (x.unsqueeze(1) - self.centers.to(x)).square().sum(2)


def unit(x: torch.Tensor, centered: bool = False) -> torch.Tensor:
    """Vectors of length 1 along the last axis; one too short to have a direction becomes 0, without gradient.

    Args:
        x: Vectors (..., D).
        centered: Take off each vector's own mean first; what is then left of equal elements is rounding, no direction.
    """
    least: torch.Tensor | float = NO_DIRECTION
    if centered:
        rounding = 4 * torch.finfo(x.dtype).eps * x.shape[-1] ** 0.5
        least = (rounding * x.detach().abs().amax(-1, keepdim=True)).clamp(min=NO_DIRECTION)
        x = x - x.mean(-1, keepdim=True)
    norm = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
    return torch.where(norm > least, F.normalize(x, dim=-1, eps=NO_DIRECTION), torch.zeros_like(x))


class HeadsLoss(FerLoss):
    """Base of losses that compare the heads of a network: no labels, two heads or more.

    Raises:
        LossError: When called with fewer than two heads, or heads of different shapes.
    """

    uses_labels = False

    def __init__(self, num_classes: int | None = None, feat_dim: int | None = None) -> None:
        """Take the two sizes that every loss can be built with, and use neither."""
        super().__init__()

    def forward(
        self,
        inputs: torch.Tensor | Sequence[torch.Tensor] | Mapping[str, torch.Tensor],
        labels: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Return the loss, a scalar.

        Args:
            inputs: Outputs (N, h, ...) of h heads, h tensors (N, ...), or a dict of `forward_train`.
            labels: Not used.
        """
        return self.compute(_stack_heads(self.pick(inputs)[0], type(self).__name__))

    def compute(self, heads: torch.Tensor) -> torch.Tensor:
        """The loss itself, of heads (N, h, ...) in float32 at least; a subclass writes its equation here."""
        raise NotImplementedError


def _stack_heads(heads: torch.Tensor | Sequence[torch.Tensor], loss: str) -> torch.Tensor:
    """Outputs of several heads as one tensor (N, h, ...), in float32 at least.

    Args:
        heads: That tensor, or h tensors (N, ...).
        loss: Name of the loss, for the message.

    Raises:
        LossError: If there are fewer than two heads, or their shapes differ.
    """
    if not isinstance(heads, torch.Tensor):
        shapes = [tuple(head.shape) for head in heads]
        if len(set(shapes)) > 1:
            raise LossError(f"{loss} takes heads of one shape, got {', '.join(map(str, shapes))}.")
        heads = torch.stack(list(heads), dim=1) if shapes else torch.empty(0)
    if heads.dim() < 3 or heads.shape[1] < 2 or not len(heads):
        raise LossError(
            f"{loss} compares two heads or more: a tensor (N, heads, ...) or as many tensors, got {tuple(heads.shape)}."
        )
    return heads.to(FerLoss.dtype_for(heads))
