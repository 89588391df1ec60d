"""A weighted sum of registered losses, from text or from a mapping."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..errors import LossError
from .lookup import find_registered

__all__ = ["CompositeLoss", "Term", "loss_parameter_groups", "outputs_taken", "parse_terms"]


@dataclass(frozen=True)
class Term:
    """One loss of a sum: its registered name, its weight and its arguments."""

    name: str
    weight: float = 1.0
    kwargs: dict[str, Any] = field(default_factory=dict)


def parse_terms(spec: str | Mapping[str, Any]) -> list[Term]:
    """Read a sum of losses.

    Args:
        spec: ``"ce + 0.5*center(center_lr=0.1)"``; or a mapping from names to weights, or to mappings of arguments
            with an optional `weight`: ``{"ce": 1.0, "center": {"weight": 0.5, "center_lr": 0.1}}``.

    Raises:
        LossError: If it is no such sum; shows the part at fault.
    """
    if isinstance(spec, Mapping):
        terms = [_from_mapping(str(name), value) for name, value in spec.items()]
        if not terms:
            raise LossError("A sum of losses needs one term or more.")
        return terms
    try:
        tree = ast.parse(spec.strip(), mode="eval").body
    except (SyntaxError, ValueError) as error:
        raise LossError(f"The loss {spec!r} is no sum such as 'ce + 0.5*center(center_lr=0.1)': {error}.") from None
    return [_from_tree(node, spec) for node in _summands(tree)]


def _summands(node: ast.expr) -> list[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return [*_summands(node.left), *_summands(node.right)]
    return [node]


def _from_tree(node: ast.expr, spec: str) -> Term:
    weight = 1.0
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        number, node = (node.left, node.right) if _is_number(node.left) else (node.right, node.left)
        if not _is_number(number):
            raise LossError(f"In the loss {spec!r}, {ast.unparse(number)!r} is no number to weight a term with.")
        weight = float(ast.literal_eval(number))
    kwargs: dict[str, Any] = {}
    if isinstance(node, ast.Call):
        if node.args or any(k.arg is None for k in node.keywords):
            raise LossError(f"In the loss {spec!r}, write the arguments of {ast.unparse(node)!r} as name=value.")
        for keyword in node.keywords:
            try:
                kwargs[str(keyword.arg)] = ast.literal_eval(keyword.value)
            except ValueError:
                text = ast.unparse(keyword.value)
                raise LossError(
                    f"In the loss {spec!r}, {keyword.arg}={text} is no plain value: write numbers, lists, True or "
                    f"'text' in quotes."
                ) from None
        node = node.func
    if not isinstance(node, ast.Name):
        raise LossError(f"In the loss {spec!r}, {ast.unparse(node)!r} is no name of a loss.")
    return _checked(Term(node.id, weight, kwargs))


def _is_number(node: ast.expr) -> bool:
    try:
        value = ast.literal_eval(node)
    except ValueError:
        return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def _from_mapping(name: str, value: Any) -> Term:
    if isinstance(value, Mapping):
        kwargs = {str(k): v for k, v in value.items()}
        weight = kwargs.pop("weight", 1.0)
    else:
        kwargs, weight = {}, value
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise LossError(f"The weight of the loss {name!r} must be a number, got {weight!r}.")
    return _checked(Term(name, float(weight), kwargs))


def _checked(term: Term) -> Term:
    if not math.isfinite(term.weight):
        raise LossError(f"The weight of the loss {term.name!r} must be finite, got {term.weight}.")
    return term


def outputs_taken(make: Any) -> tuple[str, ...]:
    """Keys of `forward_train`'s dict that a loss takes; `logits` where it does not say."""
    return tuple(getattr(make, "takes", ("logits",)))


def _build(term: Term, num_classes: int | None, feat_dim: int | Mapping[str, int] | None) -> nn.Module:
    make = find_registered("loss", term.name).make
    first = outputs_taken(make)[0]
    width = feat_dim.get(first) if isinstance(feat_dim, Mapping) else feat_dim
    sizes = {k: v for k, v in (("num_classes", num_classes), ("feat_dim", width)) if v is not None}
    accepted = inspect.signature(make).parameters
    takes_any = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    sizes = {k: v for k, v in sizes.items() if k in accepted or takes_any}
    try:
        module: nn.Module = make(**{**sizes, **term.kwargs})
    except TypeError as error:
        names = ", ".join(name for name in accepted if name not in sizes)
        raise LossError(
            f"The loss {term.name!r} cannot be built: {error}. Its arguments: {names or 'none'}."
        ) from error
    return module


class CompositeLoss(nn.Module):
    """A weighted sum of losses over the dict of a network's `forward_train`.

    Attributes:
        terms: What it sums.
        names: A name for each term, for logs: the loss's, numbered where it occurs twice.
        losses: The losses, in the same order.
        last: Each term's value, before its weight, at the last call; detached scalars by name.
    """

    def __init__(
        self,
        spec: str | Mapping[str, Any],
        num_classes: int | None = None,
        feat_dim: int | Mapping[str, int] | None = None,
    ) -> None:
        """Build the terms.

        Args:
            spec: The sum, as `parse_terms` reads it.
            num_classes: Classes C, for those losses that take it.
            feat_dim: Width of the features, for those losses that take it; or widths by output of `forward_train`.

        Raises:
            LossError: If the sum or an argument is wrong.
            UnknownNameError: If a loss is not registered; names the nearest.
        """
        super().__init__()
        self.terms = parse_terms(spec)
        self.losses = nn.ModuleList(_build(term, num_classes, feat_dim) for term in self.terms)
        plain = [term.name for term in self.terms]
        self.names = [n if plain.count(n) == 1 else f"{n}_{plain[: i + 1].count(n)}" for i, n in enumerate(plain)]
        self.last: dict[str, torch.Tensor] = {}

    @property
    def takes(self) -> tuple[str, ...]:
        """Keys of `forward_train`'s dict that some term takes."""
        return tuple(dict.fromkeys(key for loss in self.losses for key in outputs_taken(loss)))

    def forward(self, outputs: Mapping[str, torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
        """Return the weighted sum, a scalar, and keep each term in `last`.

        Args:
            outputs: The dict of `forward_train`.
            labels: Class indices (N,), or probabilities (N, C).

        Raises:
            LossError: If the network lacks an output that a term takes; names what it has.
        """
        if not isinstance(outputs, Mapping):
            raise LossError(
                "A sum of losses takes the dict of model.forward_train(images), because its terms take different "
                f"outputs ({', '.join(self.takes)}); got {type(outputs).__name__}."
            )
        total: Any = 0.0
        for term, name, loss in zip(self.terms, self.names, self.losses, strict=True):
            keys = outputs_taken(loss)
            if absent := [key for key in keys if key not in outputs]:
                raise LossError(
                    f"The loss {term.name!r} takes {', '.join(absent)} of forward_train, but this network gives only "
                    f"{', '.join(outputs)}: choose another loss or another network."
                )
            value = loss(outputs[keys[0]], labels, **{key: outputs[key] for key in keys[1:]})
            self.last[name] = value.detach()
            total = total + term.weight * value
        return total

    def extra_repr(self) -> str:
        """Show the sum."""
        return " + ".join(f"{term.weight:g}*{name}" for term, name in zip(self.terms, self.names, strict=True))


def loss_parameter_groups(loss: nn.Module) -> tuple[list[nn.Parameter], list[dict[str, Any]]]:
    """Parameters of a loss by who moves them.

    Args:
        loss: A loss, or a sum of them.

    Returns:
        The parameters for the network's optimiser, best without weight decay; and groups `params` and `lr` for
        plain SGD, where a paper gives the centres a rate of their own. In a sum that rate is divided by the
        term's weight, so that the centres move as in the paper, whatever the weight.
    """
    parts = [(loss, 1.0)]
    if isinstance(loss, CompositeLoss):
        parts = [(part, term.weight) for part, term in zip(loss.losses, loss.terms, strict=True)]
    shared: list[nn.Parameter] = []
    own: list[dict[str, Any]] = []
    for part, weight in parts:
        rate = getattr(part, "center_lr", None)
        if rate is None or not weight:
            shared += part.parameters()
        else:
            own.append({"params": list(part.parameters()), "lr": rate / weight})
    return shared, own
