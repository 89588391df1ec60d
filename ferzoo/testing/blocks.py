"""check_block: a building block against what every network expects of one."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Collection
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from safetensors.torch import load, save
from torch import nn

from .built_by import built_by
from .graphs import GRAPH_CHECKS
from .report import Check, Report, randomise, run_checks
from .subject import batch
from .training import dead_weights, missing_gradients

__all__ = ["BLOCK_CHECKS", "check_block"]

#: Channels that a required width gets where the block was registered without an example.
WIDTH = 16


@dataclass
class _Block:
    make: Callable[..., nn.Module]
    kwargs: dict[str, Any]
    size: tuple[int, ...]

    def build(self, seed: int = 0, **kwargs: Any) -> nn.Module:
        torch.default_generator.manual_seed(seed)
        return self.make(**{**self.kwargs, **kwargs})

    @cached_property
    def model(self) -> nn.Module:
        return randomise(self.build()).eval()

    @cached_property
    def x(self) -> torch.Tensor:
        return batch(self.size)

    @cached_property
    @torch.no_grad()
    def output(self) -> torch.Tensor:
        return self.model(self.x.clone())

    @cached_property
    def other_x(self) -> torch.Tensor:
        return batch((self.size[0] + 1, *self.size[1:])).flip(0)

    @cached_property
    @torch.no_grad()
    def other_output(self) -> torch.Tensor:
        return self.model(self.other_x.clone())


@torch.no_grad()
def _forward(block: _Block, report: Report) -> None:
    x = block.x.clone()
    output = block.model(x)
    if not report.expect(isinstance(output, torch.Tensor), f"it returns a {type(output).__name__}, no tensor"):
        return
    report.expect(bool(output.isfinite().all()), "the output is not finite")
    report.expect(output.shape[:1] == x.shape[:1], f"the output's shape is {tuple(output.shape)}: no batch axis first")
    report.expect(torch.equal(x, block.x), "it changes its input in place")
    report.expect(torch.equal(block.model(x), output), "two calls in eval mode give different outputs")
    for i in range(len(x)):
        report.same(block.model(x[i : i + 1]), output[i : i + 1], f"input {i} alone")


def _gradients(block: _Block, report: Report) -> None:
    def look(model: nn.Module) -> set[str]:
        x = block.x.clone().requires_grad_()
        output = model(x * 1.0)  # not a leaf, so that an in-place operation is its own check
        weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(4))
        (output * weights).sum().backward()
        if not report.expect(x.grad is not None, "no gradient reaches the input"):
            return set()
        dead = missing_gradients(model.named_parameters(), report, set())
        return dead if x.grad is not None and x.grad.any() else {*dead, "the input"}

    dead_weights(block.build, look, report)


@torch.no_grad()
def _types(block: _Block, report: Report) -> None:
    double = copy.deepcopy(block.model).double()
    report.same(double(block.x.double()), block.output, "the output in float64")
    tensors = [*block.model.parameters(), *block.model.buffers()]
    if not tensors:
        return
    report.placed(block.build(device="meta", dtype=torch.float64))


@torch.no_grad()
def _copies(block: _Block, report: Report) -> None:
    report.same(copy.deepcopy(block.model)(block.x.clone()), block.output, "the deep copy's output")
    fresh = block.build(seed=1).eval()
    fresh.load_state_dict(load(save(dict(block.model.state_dict()))), strict=True)
    report.same(fresh(block.x.clone()), block.output, "the output after a safetensors round trip")


BLOCK_CHECKS = (
    Check("forward", "one finite tensor, each input on its own in eval mode, and the input left as it was.", _forward),
    Check(
        "gradients",
        "in training mode a gradient reaches the input and every parameter, where something starts at zero after the "
        "first steps.",
        _gradients,
    ),
    Check("types", "float64 works, and device= and dtype= place every parameter and buffer.", _types),
    Check("copies", "deepcopy and safetensors keep the output.", _copies),
    *(check for check in GRAPH_CHECKS if check.name in ("script", "fx", "export")),
)


def _example(make: Callable[..., nn.Module], given: dict[str, Any]) -> dict[str, Any]:
    """Widths for the required arguments of a block that was registered without an example."""
    out = {}
    for name, parameter in inspect.signature(make).parameters.items():
        required = parameter.default is parameter.empty and parameter.kind in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        )
        if required and name not in given:
            if not (name in ("channels", "chs", "dim") or name.startswith(("in_", "out_"))):
                raise ValueError(
                    f"The block needs {name!r}: pass it to check_block, or register the block with an example, "
                    f'register_block("name", example={{"{name}": ...}}).'
                )
            out[name] = WIDTH
    return out


def check_block(
    name_or_block: str | Callable[..., nn.Module],
    *,
    input_size: tuple[int, ...] | None = None,
    skip: Collection[str] = (),
    **kwargs: Any,
) -> list[str]:
    """Check that a block behaves as every network expects it to.

    It is built as its registration's `example` says. Without one, required widths (`channels`, `chs`,
    `dim`, `in_*`, `out_*`) are 16.

    Args:
        name_or_block: A registered name, or a class or function that returns an `nn.Module`.
        input_size: Shape of the batch; the example's `input_size`, or (2, first width, 16, 16), where None.
        skip: Names of checks to leave out, for example ``("script",)``.
        **kwargs: Arguments of the block, over those of the example.

    Returns:
        Names of the checks, all of which passed.

    Raises:
        ConformanceError: If something is broken; the message lists all of it, and what was wanted.
        UnknownNameError: If the name is not registered, or `skip` names no check.
        ValueError: If an argument is needed for which there is no example.
    """
    name, make, example = built_by("block", name_or_block)
    arguments = {**example, **kwargs}
    example_size = arguments.pop("input_size", None)
    arguments.update(_example(make, arguments))
    with torch.random.fork_rng(devices=[]):
        return run_checks(
            BLOCK_CHECKS,
            _Block(make, arguments, tuple(input_size or example_size or (2, _width(arguments), 16, 16))),
            name,
            skip,
        )


def _width(arguments: dict[str, Any]) -> int:
    """Input channels that an example implies."""
    for name in ("in_chs", "in_channels", "in_chans", "channels", "chs", "dim"):
        if isinstance(arguments.get(name), int):
            return int(arguments[name])
    splits = arguments.get("splits")
    return sum(splits) if splits else WIDTH
