"""What training asks of a network: gradients, recomputation, parameter groups."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import nn

from .report import Check, Report
from .subject import ModelSubject

__all__ = ["TRAINING_CHECKS", "missing_gradients"]

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


def _gradients(subject: ModelSubject, report: Report) -> None:
    x = subject.batch(4)
    zero: set[str] | None = None
    seed = 0
    try:
        while zero is None or (zero and seed < SEEDS):
            subject.seed = seed
            model = subject.build().train()
            exempt = set(getattr(model, "loss_only_parameters", ()))
            labels = torch.arange(len(x)) % model.num_classes
            nn.functional.cross_entropy(model(x), labels).backward()
            dead = missing_gradients(model.named_parameters(), report, exempt)
            zero = dead if zero is None else zero & dead
            seed += 1
            if report.failures and report.failures[-1][0].name == "gradients":
                return
    finally:
        subject.seed = 0
    for name in sorted(zero):
        report.fail(f"the gradient of {name} is all zero at {SEEDS} initialisations")
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


def _checkpointing(subject: ModelSubject, report: Report) -> None:
    x = subject.batch(4)
    results = []
    for enable in (False, True):
        model = subject.build().train()
        model.set_grad_checkpointing(enable)
        calls: list[int] = []
        for part in model.modules():
            # Before, not after: recomputation stops within a module once every saved tensor is back.
            part.register_forward_pre_hook(lambda *_, calls=calls: calls.append(1))
        torch.default_generator.manual_seed(3)
        output = model(x)
        (output * torch.linspace(-1, 1, output.numel()).view_as(output)).sum().backward()
        gradients = [p.grad.flatten() for p in model.parameters() if p.grad is not None]
        results.append((output, torch.cat(gradients), len(calls)))
    report.same(results[1][0], results[0][0], "the output with set_grad_checkpointing")
    report.same(results[1][1], results[0][1], "the gradient with set_grad_checkpointing")
    report.expect(results[1][2] > results[0][2], "set_grad_checkpointing recomputes nothing in the backward pass")


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


def _weight_decay(subject: ModelSubject, report: Report) -> None:
    model = subject.model
    unknown = set(model.no_weight_decay()) - {name for name, _ in model.named_parameters()}
    report.expect(not unknown, f"no_weight_decay names {', '.join(sorted(unknown)[:4])}, which are no parameters")


TRAINING_CHECKS = (
    Check(
        "gradients",
        "a training step gives every parameter a gradient, or loss_only_parameters declares it.",
        _gradients,
    ),
    Check("checkpointing", "set_grad_checkpointing recomputes, with the same output and gradient.", _checkpointing),
    Check("groups", "group_matcher matches every parameter.", _groups),
    Check("weight_decay", "no_weight_decay returns names of parameters.", _weight_decay),
)
