"""What training asks of a network: gradients, recomputation, parameter groups."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import nn

from ..registry.config import classifier_prefixes
from .report import Check, Report, randomise
from .subject import ModelSubject

__all__ = ["TRAINING_CHECKS", "dead_weights", "missing_gradients"]

#: A unit may be dead at one initialisation; it is lost where no one of these wakes it.
SEEDS = 4


def missing_gradients(parameters: Iterable[tuple[str, nn.Parameter]], report: Report, exempt: set[str]) -> set[str]:
    """Report gradients that are None or not finite; return the names of weights whose gradient is all zero.

    One-dimensional parameters may have none to speak of: a bias before a BatchNorm changes nothing.
    """
    zero = set()
    for name, parameter in parameters:
        if name in exempt or not parameter.requires_grad:
            continue
        if not report.expect(parameter.grad is not None, f"{name} gets no gradient"):
            continue
        gradient = parameter.grad
        assert gradient is not None
        report.expect(bool(gradient.isfinite().all()), f"the gradient of {name} is not finite")
        if gradient.dim() > 1 and not gradient.any():
            zero.add(name)
    return zero


@torch.no_grad()
def _descend(model: nn.Module, rate: float = 0.01) -> None:
    """Take a step against the sign of each gradient, so that no network is too steep for it."""
    for parameter in model.parameters():
        if parameter.grad is not None:
            parameter.sub_(rate * parameter.grad.sign())
            parameter.grad = None


def dead_weights(build: Callable[[int], Any], look: Callable[[Any], set[str]], report: Report) -> Any:
    """Look for weights that training never reaches.

    What starts at zero (a last BatchNorm, a gate, a classifier) shuts off what lies behind it until the first step.
    So each further initialisation is looked at after one step more.

    Args:
        build: A network by its seed.
        look: Runs it forwards and backwards; gives the names of weights whose gradient is all zero.
        report: A failure that `look` notes ends the search.

    Returns:
        The network that was looked at last, with its gradients.
    """
    before = len(report.failures)
    dead: set[str] | None = None
    for seed in range(SEEDS):
        model = build(seed).train()
        for step in range(seed + 1):
            if step:
                _descend(model)
            found = look(model)
            dead = found if dead is None else dead & found
            if not dead or len(report.failures) > before:
                return model
    for name in sorted(dead or ()):
        report.fail(f"the gradient of {name} is all zero at {SEEDS} initialisations, and after up to {SEEDS - 1} steps")
    return model


def _gradients(subject: ModelSubject, report: Report) -> None:
    x, before = subject.batch(4), len(report.failures)
    labels = torch.arange(len(x)) % subject.model.num_classes
    outputs: list[torch.Tensor] = []

    def look(model: Any) -> set[str]:
        resting = [
            name
            for name, part in model.named_modules()
            if not part.training and any(p.requires_grad for p in part.parameters())
        ]
        report.expect(not resting, f"train() leaves {', '.join(resting[:4])} in eval mode")
        torch.default_generator.manual_seed(3)
        outputs[:] = [model(x)]
        nn.functional.cross_entropy(outputs[0], labels).backward()
        return missing_gradients(model.named_parameters(), report, set(getattr(model, "loss_only_parameters", ())))

    model = dead_weights(subject.build, look, report)
    if hasattr(model, "forward_train"):  # that it is there, `attributes` sees to
        _trained(model, x, outputs[0], labels, report)
        report.expect(torch.equal(x, subject.batch(4)), "in training mode it changes its batch in place")
    if len(report.failures) > before:
        return
    exempt = set(getattr(model, "loss_only_parameters", ()))
    names = dict(model.named_parameters())
    for name in sorted(exempt - set(names)):
        report.fail(f"loss_only_parameters names {name}, which is no parameter")
    for name in sorted(exempt & set(names)):
        report.expect(names[name].grad is None, f"loss_only_parameters names {name}, which reaches the logits")
    if exempt:
        model.zero_grad()
        torch.stack([value.sum() for value in model.forward_train(x).values()]).sum().backward()
        for name in sorted(exempt & set(names)):
            report.expect(names[name].grad is not None, f"{name} reaches no output of forward_train")


def _trained(model: Any, x: torch.Tensor, output: torch.Tensor, labels: torch.Tensor, report: Report) -> None:
    """Training calls forward_train: expect of it what `forward` gave, and the gradient that it left."""
    expected = {name: p.grad for name, p in model.named_parameters() if p.grad is not None and p.grad.any()}
    model.zero_grad()
    torch.default_generator.manual_seed(3)
    logits = model.forward_train(x)["logits"]
    report.same(logits, output, "in training mode forward_train's logits")
    nn.functional.cross_entropy(logits, labels).backward()
    found = {name: p.grad for name, p in model.named_parameters() if name in expected and p.grad is not None}
    lost = [name for name in expected if name not in found]
    if expected and report.expect(not lost, f"forward_train's logits give {', '.join(lost[:4])} no gradient"):
        through, direct = (torch.cat([grads[name].flatten() for name in expected]) for grads in (found, expected))
        report.same(through, direct, "the gradient through forward_train")


def _checkpointing(subject: ModelSubject, report: Report) -> None:
    x = subject.batch(4)
    results = []
    for enable in (False, True):
        model: Any = randomise(subject.build()).train()
        model.set_grad_checkpointing(True)
        if not enable:
            model.set_grad_checkpointing(False)
        calls: list[int] = []
        for part in model.modules():
            # Before, not after: recomputation stops within a module once every saved tensor is back.
            part.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        torch.default_generator.manual_seed(3)
        output = model(x)
        once = len(calls)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        results.append((output, torch.cat(gradients), len(calls) - once))
    report.same(results[1][0], results[0][0], "the output with set_grad_checkpointing")
    report.same(results[1][1], results[0][1], "the gradient with set_grad_checkpointing")
    report.expect(results[1][2] > 0, "set_grad_checkpointing recomputes nothing in the backward pass")
    report.expect(results[0][2] == 0, "set_grad_checkpointing(False) goes on recomputing")


def _groups(subject: ModelSubject, report: Report) -> None:
    from timm.models._manipulate import group_parameters

    model = subject.model
    for coarse in (False, True):
        matcher = model.group_matcher(coarse=coarse)
        if isinstance(matcher, dict):
            specs = [spec for spec in matcher.values() if spec is not None]
            patterns = [
                pattern
                for spec in specs
                for pattern in ([p for p, _ in spec] if isinstance(spec, tuple | list) else [spec])
            ]
            for name, _ in model.named_parameters():
                matched = any(re.match(pattern, name) for pattern in patterns)
                report.expect(matched, f"group_matcher(coarse={coarse}) matches no {name}")
        groups = group_parameters(model, matcher, reverse=True)
        report.expect(set(groups) == {n for n, _ in model.named_parameters()}, "the groups do not hold every parameter")
        report.expect(len(set(groups.values())) > 1, f"group_matcher(coarse={coarse}) makes one group of everything")
        ends = [
            {group for name, group in groups.items() if name.startswith(classifier_prefixes(subject.cfg.get(key)))}
            for key in ("first_conv", "classifier")
        ]
        if all(ends):
            rises = max(ends[0]) < min(ends[1])
            report.expect(rises, f"group_matcher(coarse={coarse}) puts the classifier no higher than the first layer")


def _weight_decay(subject: ModelSubject, report: Report) -> None:
    model = subject.model
    unknown = set(model.no_weight_decay()) - {name for name, _ in model.named_parameters()}
    report.expect(not unknown, f"no_weight_decay names {', '.join(sorted(unknown)[:4])}, which are no parameters")
    weights = {name for name, p in model.named_parameters() if p.dim() > 1}
    report.expect(not weights <= set(model.no_weight_decay()), "no_weight_decay names every weight")


TRAINING_CHECKS = (
    Check(
        "gradients",
        "a training step, or the next ones where something starts at zero, gives every parameter a gradient, or "
        "loss_only_parameters declares it; forward_train gives the logits and gradient of forward, and train() "
        "reaches every module that has something to train.",
        _gradients,
    ),
    Check(
        "checkpointing",
        "set_grad_checkpointing recomputes until told False, with the same output and gradient.",
        _checkpointing,
    ),
    Check("groups", "group_matcher matches every parameter, and runs from the first layer to the classifier.", _groups),
    Check("weight_decay", "no_weight_decay returns names of parameters, not of every weight.", _weight_decay),
)
