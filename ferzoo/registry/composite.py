"""A weighted sum of registered losses, from text or from a mapping."""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ..errors import FerzooError, LossError
from .lookup import find_registered

__all__ = ["CompositeLoss", "Term", "loss_parameter_groups", "outputs_taken", "parse_terms", "sizes_accepted"]


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
    if not isinstance(spec, str):
        raise LossError(
            f"A loss is a name, a sum as text such as 'ce + 0.5*center', or a mapping from names to weights; got "
            f"{type(spec).__name__}."
        )
    spec = " ".join(spec.split())  # a sum may have several lines
    try:
        tree = ast.parse(spec, mode="eval").body
    except SyntaxError as error:
        left = spec[max(error.offset or 1, 1) - 1 :]
        where = f"{error.msg} at {left!r:.40}" if left else f"{error.msg} at its end"
        raise LossError(f"The loss {spec!r} is no sum such as 'ce + 0.5*center(center_lr=0.1)': {where}.") from None
    except (ValueError, MemoryError, RecursionError) as error:
        raise LossError(f"The loss {spec!r} is no sum such as 'ce + 0.5*center(center_lr=0.1)': {error}.") from None
    return [_from_tree(node, spec) for node in _summands(tree)]


def _summands(node: ast.expr) -> list[ast.expr]:
    nodes, pending = [], [node]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            pending += (node.right, node.left)
        else:
            nodes.append(node)
    return nodes


def _from_tree(node: ast.expr, spec: str) -> Term:
    weight: Any = 1.0
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        if not (_is_number(node.left) or _is_number(node.right)):
            raise LossError(
                f"In the loss {spec!r}, {ast.unparse(node)!r} is no number times a loss: write each term as "
                "number*name."
            )
        number, node = (node.left, node.right) if _is_number(node.left) else (node.right, node.left)
        weight = ast.literal_eval(number)
    kwargs: dict[str, Any] = {}
    if isinstance(node, ast.Call):
        if node.args or any(k.arg is None for k in node.keywords):
            raise LossError(f"In the loss {spec!r}, write the arguments of {ast.unparse(node)!r} as name=value.")
        for keyword in node.keywords:
            if keyword.arg in kwargs:
                raise LossError(f"In the loss {spec!r}, {ast.unparse(node)!r} gives {keyword.arg} twice.")
            try:
                kwargs[str(keyword.arg)] = ast.literal_eval(keyword.value)
            except (ValueError, TypeError):
                text = ast.unparse(keyword.value)
                raise LossError(
                    f"In the loss {spec!r}, {keyword.arg}={text} is no plain value: write numbers, lists, True or "
                    f"'text' in quotes."
                ) from None
        node = node.func
    if not isinstance(node, ast.Name):
        hint = (
            " Only sums of weighted losses are read: a difference is '+ -0.1*name'."
            if isinstance(node, ast.BinOp | ast.UnaryOp)
            else ""
        )
        raise LossError(f"In the loss {spec!r}, {ast.unparse(node)!r} is no name of a loss.{hint}")
    return Term(node.id, _weight(node.id, weight), kwargs)


def _is_number(node: ast.expr) -> bool:
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError):
        return False
    return isinstance(value, int | float) and not isinstance(value, bool)


def _from_mapping(name: str, value: Any) -> Term:
    if isinstance(value, Mapping):
        kwargs = {str(k): v for k, v in value.items()}
        weight = kwargs.pop("weight", 1.0)
    else:
        kwargs, weight = {}, value
    return Term(name, _weight(name, weight), kwargs)


def _weight(name: str, value: Any) -> float:
    try:
        # Text, too: YAML 1.1 reads 1e-3 so.
        weight = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        weight = math.nan
    if not math.isfinite(weight):
        raise LossError(f"The weight of the loss {name!r} must be a finite number, got {value!r:.40}.")
    return weight


def outputs_taken(make: Any) -> tuple[str, ...]:
    """Keys of `forward_train`'s dict that a loss takes; `logits` where it does not say."""
    takes = getattr(make, "takes", ("logits",))
    return (takes,) if isinstance(takes, str) else tuple(takes)


def sizes_accepted(make: Callable[..., Any], num_classes: int | None, feat_dim: int | None) -> dict[str, int]:
    """Those of the two sizes that are known and that a loss takes.

    Args:
        make: The loss's class or function.
        num_classes: Classes C, or None.
        feat_dim: Width D of the features, or None.
    """
    accepted = inspect.signature(make).parameters
    # A class without a constructor shows nn.Module's **kwargs, which takes nothing.
    bare = getattr(make, "__init__", None) is nn.Module.__init__
    takes_any = not bare and any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    sizes = {"num_classes": num_classes, "feat_dim": feat_dim}
    return {k: v for k, v in sizes.items() if v is not None and (k in accepted or takes_any)}


def _build(term: Term, num_classes: int | None, feat_dim: int | Mapping[str, int] | None) -> nn.Module:
    make = find_registered("loss", term.name).make
    taken = outputs_taken(make)[0]
    loss = _make(term, make, num_classes, feat_dim.get(taken) if isinstance(feat_dim, Mapping) else feat_dim)
    if isinstance(feat_dim, Mapping) and outputs_taken(loss)[0] != taken:
        # A function does not say what the loss takes that it returns.
        loss = _make(term, make, num_classes, feat_dim.get(outputs_taken(loss)[0]))
    if not isinstance(loss, nn.Module):
        raise LossError(f"The loss {term.name!r} must be an nn.Module, its function returns {type(loss).__name__}.")
    return loss


def _make(term: Term, make: Callable[..., nn.Module], num_classes: int | None, feat_dim: int | None) -> nn.Module:
    sizes = sizes_accepted(make, num_classes, feat_dim)
    try:
        return make(**{**sizes, **term.kwargs})
    except FerzooError:
        raise
    except (TypeError, ValueError, ArithmeticError, RuntimeError) as error:  # a plugin's own, too
        names = ", ".join(name for name in inspect.signature(make).parameters if name not in sizes)
        raise LossError(
            f"The loss {term.name!r} cannot be built: {error}. Its arguments: {names or 'none'}."
        ) from error


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
            LossError: If the network lacks an output that a term takes; names what it has. If a term refuses what
                it is given.
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
            try:
                value = loss(outputs[keys[0]], labels, **{key: outputs[key] for key in keys[1:]})
            except LossError:
                raise
            except ValueError as error:  # a plugin's own
                raise LossError(f"The loss {term.name!r}: {error}") from error
            if not isinstance(value, torch.Tensor) or value.numel() != 1:
                got = f"shape {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__
                raise LossError(f"The loss {term.name!r} must return one number in a tensor, got {got}.")
            value = value.reshape(())
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
        term's weight, so that the centres move as in the paper, whatever the weight; under a negative one they
        follow the sum the other way.
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
            own.append({"params": list(part.parameters()), "lr": rate / abs(weight)})
    return shared, own
