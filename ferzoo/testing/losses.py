"""check_loss: a loss against what training expects of one."""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from safetensors.torch import load, save
from torch import nn

from ..registry.composite import outputs_taken, sizes_accepted
from .built_by import built_by
from .report import Check, Report, run_checks

__all__ = ["LOSS_CHECKS", "check_loss"]

#: Faces, classes and widths of the batch that a loss is tried on.
ROWS, CLASSES, WIDTH, HEADS = 6, 4, 6, 3


@dataclass
class _Loss:
    make: Callable[..., nn.Module]
    kwargs: dict[str, Any]
    #: Shapes that the loss's inputs need by name, where they are not the usual ones.
    shapes: dict[str, tuple[int, ...]]

    @cached_property
    def classes(self) -> int:
        return int(self.kwargs.get("num_classes", CLASSES))

    @cached_property
    def loss(self) -> nn.Module:
        return self.build()

    def build(self, seed: int = 0) -> nn.Module:
        torch.default_generator.manual_seed(seed)
        return self.make(**self.kwargs)

    @property
    def uses_labels(self) -> bool:
        return getattr(self.loss, "uses_labels", True)

    @cached_property
    def labels(self) -> torch.Tensor:
        return torch.arange(ROWS) % self.classes

    def _shape(self, key: str, first: bool) -> tuple[int, ...]:
        width = int(self.kwargs.get("feat_dim", WIDTH))
        if key in self.shapes:
            return (ROWS, *self.shapes[key][1:])
        if key == "logits":
            return (ROWS, self.classes)
        if key == "heads":
            return (ROWS, HEADS, width)
        if key == "attention" and first:
            return (ROWS, HEADS, width, 2, 2)
        return (ROWS,) if key == "importance" else (ROWS, width)

    @cached_property
    def inputs(self) -> dict[str, torch.Tensor]:
        """A batch under each key that the loss takes; attention and importance lie in [0, 1]."""
        generator, out = torch.Generator().manual_seed(7), {}
        for i, key in enumerate(outputs_taken(self.loss)):
            x = torch.randn(self._shape(key, i == 0), generator=generator)
            out[key] = x.sigmoid() if key in ("attention", "importance") else x
        return out

    def call(self, inputs: dict[str, torch.Tensor], labels: torch.Tensor | None, loss: nn.Module | None = None) -> Any:
        first, *others = inputs.values()
        names = list(inputs)[1:]
        return (loss or self.loss)(first, labels, **dict(zip(names, others, strict=True)))

    def odd_batches(self) -> Iterator[tuple[str, dict[str, torch.Tensor], torch.Tensor]]:
        yield "a batch of one", {k: x[:1] for k, x in self.inputs.items()}, self.labels[:1]
        yield "a batch of one class", self.inputs, torch.full_like(self.labels, self.classes - 1)
        yield "equal inputs", {k: x[:1].expand_as(x).clone() for k, x in self.inputs.items()}, self.labels
        yield "zero inputs", {k: torch.zeros_like(x) for k, x in self.inputs.items()}, self.labels
        yield "large inputs", {k: x * 100 for k, x in self.inputs.items()}, self.labels


def _value(subject: _Loss, report: Report) -> None:
    inputs = {k: x.clone() for k, x in subject.inputs.items()}
    value = subject.call(inputs, subject.labels)
    if not report.expect(isinstance(value, torch.Tensor), f"it returns a {type(value).__name__}, no tensor"):
        return
    report.expect(value.shape == (), f"it returns shape {tuple(value.shape)}, not a scalar")
    report.expect(bool(value.isfinite().all()), "the loss is not finite")
    report.expect(all(torch.equal(x, subject.inputs[k]) for k, x in inputs.items()), "it changes its input in place")
    report.same(subject.call(inputs, subject.labels), value, "the loss at a second call", 0.0)


@torch.no_grad()
def _order(subject: _Loss, report: Report) -> None:
    # No swap and no rotation, as a loss that pairs faces and labels by one of these would give the same value.
    order = torch.tensor((2, 0, 3, 5, 1, 4))
    mixed = subject.call({key: x[order] for key, x in subject.inputs.items()}, subject.labels[order])
    value = subject.call(subject.inputs, subject.labels)
    report.same(mixed, value, "the loss of the same faces and labels in another order")


def _gradients(subject: _Loss, report: Report) -> None:
    loss = subject.build()
    inputs = {k: x.clone().requires_grad_() for k, x in subject.inputs.items()}
    subject.call(inputs, subject.labels, loss).backward()
    for name, tensor in (*inputs.items(), *((n, p) for n, p in loss.named_parameters() if p.requires_grad)):
        grad = tensor.grad
        if report.expect(grad is not None and bool(grad.any()), f"no gradient reaches {name}"):
            report.expect(bool(grad.isfinite().all()), f"the gradient of {name} is not finite")  # type: ignore[union-attr]


def _gradcheck(subject: _Loss, report: Report) -> None:
    loss, names = copy.deepcopy(subject.loss).double(), list(subject.inputs)
    tensors = [x.double().requires_grad_() for x in subject.inputs.values()]
    torch.autograd.gradcheck(
        lambda *x: subject.call(dict(zip(names, x, strict=True)), subject.labels, loss), tensors, eps=1e-6, atol=1e-5
    )


@torch.no_grad()
def _labels(subject: _Loss, report: Report) -> None:
    if not subject.uses_labels:
        return
    value, classes = subject.call(subject.inputs, subject.labels), subject.classes
    report.same(subject.call(subject.inputs, subject.labels.int()), value, "the loss with int32 labels")
    soft = torch.nn.functional.one_hot(subject.labels, classes).float()
    if getattr(subject.loss, "soft_labels", True):
        kept = soft.clone()
        report.same(subject.call(subject.inputs, soft), value, "the loss with one-hot labels")
        report.expect(torch.equal(soft, kept), "it changes its labels in place")
        mixed = subject.call(subject.inputs, kept * 0.75 + 0.25 / classes)
        report.expect(bool(mixed.isfinite()), "the loss with mixed labels is not finite")
        hard = torch.equal(mixed, value) and not getattr(subject.loss, "majority", False)
        report.expect(not hard, "mixed labels give the loss of hard ones")
    else:
        report.refuses(lambda: subject.call(subject.inputs, soft), "soft labels", [])
    # torch's cross_entropy leaves out faces of label -100 without a word.
    for wrong in (classes, classes + 36, -5, -100):
        labels = torch.cat([subject.labels[:-1], torch.tensor([wrong])])
        report.refuses(partial(subject.call, subject.inputs, labels), f"a label {wrong}", [wrong])
    few = subject.labels[:-1]
    report.refuses(partial(subject.call, subject.inputs, few), f"{len(few)} labels for {ROWS} faces", [len(few), ROWS])


@torch.no_grad()
def _maps(subject: _Loss, report: Report) -> None:
    (key, x), *others = subject.inputs.items()
    if key != "features" or not getattr(subject.loss, "takes", None):
        return
    spread = torch.randn(*x.shape, 2, 3, generator=torch.Generator().manual_seed(8))
    maps = x[..., None, None] + spread - spread.mean((2, 3), keepdim=True)
    value = subject.call({key: maps, **dict(others)}, subject.labels)
    report.same(value, subject.call(subject.inputs, subject.labels), "the loss of maps")


def _odd(subject: _Loss, report: Report) -> None:
    for what, inputs, labels in subject.odd_batches():
        for dtype in (torch.float32, torch.float64):
            loss = copy.deepcopy(subject.loss).to(dtype)
            loss.zero_grad()
            batch = {k: x.to(dtype).clone().requires_grad_() for k, x in inputs.items()}
            value = subject.call(batch, labels, loss)
            if not report.expect(bool(value.isfinite()), f"{what} in {dtype} gives {value.item()}"):
                continue
            value.backward()
            for name, tensor in (*batch.items(), *loss.named_parameters()):
                fine = tensor.grad is None or bool(tensor.grad.isfinite().all())
                report.expect(fine, f"{what} in {dtype} gives a gradient of {name} that is not finite")


def _precision(subject: _Loss, report: Report) -> None:
    expected = subject.call(subject.inputs, subject.labels).detach()
    for dtype in (torch.float16, torch.bfloat16):
        loss = copy.deepcopy(subject.loss)
        batch = {k: x.to(dtype).requires_grad_() for k, x in subject.inputs.items()}
        with torch.autocast("cpu", dtype):
            value = subject.call(batch, subject.labels, loss)
        report.same(value, expected, f"the loss of {dtype} under autocast", 0.05)
        value.backward()
        finite = all(x.grad is not None and bool(x.grad.isfinite().all()) for x in batch.values())
        report.expect(finite, f"under autocast to {dtype} a gradient is missing or not finite")
    # Squared, these pass float16's 65504.
    large = {k: (x * 300).half() for k, x in subject.inputs.items()}
    expected = subject.call({k: x.float() for k, x in large.items()}, subject.labels).detach()
    with torch.autocast("cpu", torch.float16):
        value = subject.call(large, subject.labels)
    report.same(value, expected, "the loss of large torch.float16 inputs under autocast", 0.05)


@torch.no_grad()
def _copies(subject: _Loss, report: Report) -> None:
    value = subject.call(subject.inputs, subject.labels)
    report.same(
        subject.call(subject.inputs, subject.labels, copy.deepcopy(subject.loss)), value, "the deep copy's loss"
    )
    fresh = subject.build(seed=1)
    fresh.load_state_dict(load(save(dict(subject.loss.state_dict()))), strict=True)
    report.same(subject.call(subject.inputs, subject.labels, fresh), value, "the loss after a safetensors round trip")


LOSS_CHECKS = (
    Check("value", "a finite scalar, the same at every call, and the input left as it was.", _value),
    Check("order", "the same value in any order of the faces and their labels.", _order),
    Check("gradients", "a gradient reaches every input and every parameter.", _gradients),
    Check("gradcheck", "in float64 the inputs' gradient is that of the value.", _gradcheck),
    Check("labels", "integer and soft labels agree, or soft ones are refused; a wrong label is named.", _labels),
    Check("maps", "maps (N, D, H, W) count as their mean over space, where features are taken.", _maps),
    Check("odd_batches", "one face, one class, equal, zero and large inputs: value and gradient are finite.", _odd),
    Check("precision", "float16 and bfloat16 under autocast agree with float32.", _precision),
    Check("loss_copies", "deepcopy and safetensors keep the loss.", _copies),
)


def check_loss(name_or_loss: str | Callable[..., nn.Module], *, skip: Collection[str] = (), **kwargs: Any) -> list[str]:
    """Check that a loss behaves as training expects it to.

    It is built as its registration's `example` says; without one, with `num_classes` 4 and `feat_dim` 6 where it
    takes them. Its `takes` says which outputs of `forward_train` it is given, logits where it has none. An example may
    hold `input_shapes`, `{"importance": (6, 5)}`, for six faces, where an output is not of the usual shape.

    Args:
        name_or_loss: A registered name, or a class or function that returns an `nn.Module`.
        skip: Names of checks to leave out, for example ``("gradcheck",)``.
        **kwargs: Arguments of the loss, over those of the example.

    Returns:
        Names of the checks, all of which passed.

    Raises:
        ConformanceError: If something is broken; the message lists all of it, and what was wanted.
        UnknownNameError: If the name is not registered, or `skip` names no check.
        ValueError: If the loss cannot be built with those arguments.
        TypeError: If it is neither a name nor something that builds a loss.
    """
    name, make, example = built_by("loss", name_or_loss)
    arguments = {**sizes_accepted(make, CLASSES, WIDTH), **example, **kwargs}
    subject = _Loss(make, arguments, arguments.pop("input_shapes", {}))
    with torch.random.fork_rng(devices=[]):
        try:
            subject.loss  # noqa: B018 (built once here)
        except TypeError as error:
            raise ValueError(f"{name} cannot be built: {error}. Pass what it needs to check_loss.") from error
        return run_checks(LOSS_CHECKS, subject, name, skip)
