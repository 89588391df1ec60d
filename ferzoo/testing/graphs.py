"""TorchScript, tracing, torch.fx, torch.export and torch.compile: each takes a module and keeps its output."""

from __future__ import annotations

import io
from typing import Protocol

import torch
from torch import nn

from .report import Check, Report

__all__ = ["GRAPH_CHECKS", "Subject"]


class Subject(Protocol):
    """What the graph checks need: a module in eval mode, a batch, its output, and another batch with its."""

    @property
    def model(self) -> nn.Module:
        """The module, in eval mode; not to be changed."""

    @property
    def x(self) -> torch.Tensor:
        """A batch."""

    @property
    def output(self) -> torch.Tensor:
        """The module's output for it."""

    @property
    def other_x(self) -> torch.Tensor:
        """A batch of another length."""

    @property
    def other_output(self) -> torch.Tensor:
        """The module's output for it."""


@torch.no_grad()
def _script(subject: Subject, report: Report) -> None:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(subject.model), buffer)
    buffer.seek(0)
    loaded = torch.jit.load(buffer)
    report.same(loaded(subject.x), subject.output, "the loaded script's output")
    report.same(loaded(subject.other_x), subject.other_output, "the loaded script's output for another batch")


@torch.no_grad()
def _trace(subject: Subject, report: Report) -> None:
    traced = torch.jit.trace(subject.model, subject.x, check_trace=False)
    report.same(traced(subject.other_x), subject.other_output, "the traced output for another batch")


@torch.no_grad()
def _fx(subject: Subject, report: Report) -> None:
    graph = torch.fx.symbolic_trace(subject.model)
    report.same(graph(subject.x), subject.output, "the graph's output")
    report.same(graph(subject.other_x), subject.other_output, "the graph's output for another batch")


@torch.no_grad()
def _export(subject: Subject, report: Report) -> None:
    batch = torch.export.Dim("batch", max=64)
    program = torch.export.export(subject.model, (subject.x,), dynamic_shapes=({0: batch},)).module()
    report.same(program(subject.x), subject.output, "the exported output")
    report.same(program(subject.other_x), subject.other_output, "the exported output for another batch")


@torch.no_grad()
def _compile(subject: Subject, report: Report) -> None:
    # The code generation behind it is torch's own matter; the network's is one whole graph.
    torch.compiler.reset()
    try:
        compiled = torch.compile(subject.model, backend="eager", fullgraph=True)
        report.same(compiled(subject.x), subject.output, "the compiled output")
    finally:
        torch.compiler.reset()


GRAPH_CHECKS = (
    Check("script", "torch.jit.script takes it; saved and loaded it gives the same output.", _script),
    Check("trace", "torch.jit.trace takes it, and works at another batch size.", _trace),
    Check("fx", "torch.fx.symbolic_trace takes it and gives the same output.", _fx),
    Check("export", "torch.export.export takes it with a dynamic batch.", _export),
    Check("compile", "torch.compile(fullgraph=True) takes it without a graph break.", _compile),
)
