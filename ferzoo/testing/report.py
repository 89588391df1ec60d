"""Failures of a conformance check, collected and told at once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch import nn

from ..errors import FerzooError, UnknownNameError

__all__ = ["Check", "ConformanceError", "Report", "randomise", "run_checks"]

#: Relative error, by Euclidean norm, that two ways to the same float32 output may differ by.
TOLERANCE = 1e-4


class ConformanceError(FerzooError, AssertionError):
    """A network or block breaks the contract; the message lists where, and what the contract wants.

    Attributes:
        failures: The failures, each as ``"check: what was found"``.
    """

    def __init__(self, message: str, failures: Iterable[str] = ()) -> None:
        """Take the whole message and the single failures."""
        super().__init__(message)
        self.failures = tuple(failures)


@dataclass(frozen=True)
class Check:
    """One clause of a contract: its name, what it wants in words, and the function that looks."""

    name: str
    wants: str
    run: Callable[[Any, Report], None]


class Report:
    """What has failed so far; a check calls `expect`, `same`, `refuses` and `placed` on it."""

    def __init__(self) -> None:
        """Start with nothing."""
        self.failures: list[tuple[Check, str]] = []
        self._current: Check | None = None

    def run(self, check: Check, subject: Any) -> None:
        """Run one check; an exception in it is a failure, not the end."""
        self._current = check
        try:
            check.run(subject, self)
        except Exception as error:  # whatever a network raises breaks the clause
            text = str(error).strip()
            # Compilers put the cause first or last, and pages in between.
            self.fail(f"{type(error).__name__}: {text if len(text) <= 1200 else f'{text[:600]} [...] {text[-600:]}'}")

    def fail(self, message: str) -> None:
        """Note a failure of the running check."""
        assert self._current is not None
        self.failures.append((self._current, message))

    def expect(self, condition: bool, message: str) -> bool:
        """Note `message` as a failure unless the condition holds; return the condition."""
        if not condition:
            self.fail(message)
        return condition

    def same(self, actual: Any, expected: torch.Tensor, what: str, tolerance: float = TOLERANCE) -> None:
        """Expect a tensor of the same shape, with finite numbers and the same ones up to rounding."""
        if not self.expect(isinstance(actual, torch.Tensor), f"{what} is a {type(actual).__name__}, not a tensor"):
            return
        shapes = tuple(actual.shape), tuple(expected.shape)
        if not self.expect(shapes[0] == shapes[1], f"{what} has shape {shapes[0]}, expected {shapes[1]}"):
            return
        actual, expected = actual.detach().double(), expected.detach().double()
        if self.expect(bool(actual.isfinite().all()), f"{what} is not finite"):
            error = float((actual - expected).norm() / expected.norm().clamp(min=1e-12))
            self.expect(error <= tolerance, f"{what} differs by a relative error of {error:.1e} (> {tolerance:.0e})")

    def refuses(self, run: Callable[[], Any], what: str, names: Iterable[int]) -> None:
        """Expect a ValueError whose message names the given sizes."""
        try:
            run()
        except ValueError as error:
            absent = [str(n) for n in names if not re.search(rf"(?<!\d){n}(?!\d)", str(error))]
            self.expect(not absent, f"the error for {what} does not name {', '.join(absent)}: {error}")
        except Exception as error:
            self.fail(f"{what} raised {type(error).__name__}, no ValueError: {str(error)[:300]}")
        else:
            self.fail(f"{what} was accepted")

    def placed(self, module: nn.Module, how: str = "") -> None:
        """Expect every tensor of a module to be on 'meta' and in float64, as it was asked to.

        Args:
            module: The module.
            how: What made it, for the beginning of the message.
        """
        for name, tensor in chain(module.named_parameters(), module.named_buffers()):
            self.expect(tensor.is_meta, f"{how}device='meta' leaves {name} on {tensor.device}")
            wrong = tensor.is_floating_point() and tensor.dtype != torch.float64
            self.expect(not wrong, f"{how}dtype=torch.float64 leaves {name} in {tensor.dtype}")

    def close(self, subject: str) -> None:
        """Raise one error that lists every failure, if there is any.

        Raises:
            ConformanceError: If a check failed.
        """
        if not self.failures:
            return
        lines = [f"{subject} breaks the contract:"]
        for check in dict.fromkeys(check for check, _ in self.failures):
            lines.append(f"- {check.name}. Wanted: {check.wants}")
            lines += [f"    {message}" for other, message in self.failures if other is check]
        raise ConformanceError("\n".join(lines), [f"{check.name}: {message}" for check, message in self.failures])


def run_checks(checks: Collection[Check], subject: Any, name: str, skip: Collection[str]) -> list[str]:
    """Run all checks but the skipped ones, then raise for those that failed.

    Args:
        checks: The contract.
        subject: What every check is given.
        name: Name of the network or block, for the message.
        skip: Names of checks to leave out.

    Returns:
        Names of the checks that were run.

    Raises:
        ConformanceError: If a check failed.
        UnknownNameError: If `skip` names no check.
    """
    known = [check.name for check in checks]
    for unknown in (other for other in skip if other not in known):
        raise UnknownNameError("check", unknown, known, f"The checks are {', '.join(known)}.")
    report = Report()
    # Compilers and tracers warn of their own future; a check says what matters.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for check in checks:
            if check.name not in skip:
                report.run(check, subject)
    report.close(name)
    return [name for name in known if name not in skip]


@torch.no_grad()
def randomise(module: nn.Module) -> nn.Module:
    """Give BatchNorms statistics and weights that are not 0 and 1, and wake what starts at zero: a lost one shows."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        if parameter.requires_grad and not parameter.any():
            parameter.normal_(0.0, 0.1, generator=generator)
    for part in module.modules():
        if getattr(part, "running_mean", None) is not None and getattr(part, "running_var", None) is not None:
            part.running_mean.normal_(0.0, 0.1, generator=generator)  # type: ignore[union-attr,operator]
            part.running_var.uniform_(0.5, 1.5, generator=generator)  # type: ignore[union-attr,operator]
            if getattr(part, "weight", None) is not None:
                part.weight.uniform_(0.5, 1.5, generator=generator)  # type: ignore[union-attr,operator]
    return module
