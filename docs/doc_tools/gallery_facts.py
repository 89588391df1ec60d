"""The facts of each network in the gallery: from the network itself, its entry point and its checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import metadata
from typing import Any

import torch
from timm.models import model_entrypoint
from torch import nn

import ferzoo
from ferzoo.data.readers import find_dataset
from ferzoo.registry import entry_points
from ferzoo.weights.configs import Checkpoint
from ferzoo.weights.resolve import default_tag

from .common import first_line
from .weights import checkpoints_of, splits


@dataclass(frozen=True)
class Stage:
    """What comes out of a part of a network.

    Attributes:
        name: Module of the network, or `input`, `features`, `vector` or `classes`.
        shape: Channels, height and width of a map; the length of a vector.
        blocks: Blocks of one kind in a row; 0 where it is no such row.
        block: The name of their class.
    """

    name: str
    shape: tuple[int, ...]
    blocks: int = 0
    block: str = ""


@dataclass(frozen=True)
class Facts:
    """A network as `create_model` builds it for a name.

    Attributes:
        name: Name of the network, with the tag of a checkpoint that is not its default.
        summary: The first line of its docstring.
        cfg: Its pretrained cfg.
        classes: Classes of the classifier.
        parameters: Number of parameters.
        flops: Multiply-adds of one image of its input size.
        input_size: Channels, height and width.
        stages: Input, stem, stages, final map, vector and classes.
    """

    name: str
    summary: str
    cfg: Mapping[str, Any]
    classes: int
    parameters: int
    flops: int
    input_size: tuple[int, int, int]
    stages: tuple[Stage, ...]


@lru_cache(maxsize=64)
def facts(name: str) -> Facts:
    """Build a network and measure it, once a name.

    Args:
        name: Name of a registered network, with or without a tag.
    """
    # Without a tag it is what `create_model(name, pretrained=True)` builds, untrained.
    tag = "" if "." in name else default_tag(name)
    model: Any = ferzoo.create_model(f"{name}.{tag}" if tag else name).eval()
    measured = ferzoo.profile(model, latency=False)
    return Facts(
        name,
        first_line(model_entrypoint(name.partition(".")[0])),
        dict(model.pretrained_cfg),
        model.num_classes,
        measured.parameters,
        measured.flops,
        measured.input_size,
        _stages(model, measured.input_size),
    )


def facts_of(checkpoint: Checkpoint) -> Facts:
    """The facts of the network that a checkpoint is for, with its classes and its input."""
    default = checkpoint.tag == default_tag(checkpoint.architecture)
    return facts(checkpoint.architecture if default else checkpoint.name)


@torch.no_grad()
def _stages(model: Any, input_size: tuple[int, int, int]) -> tuple[Stage, ...]:
    last, maps = model.forward_intermediates(torch.zeros(1, *input_size))
    found = [Stage("input", input_size)]
    for info, x in zip(model.feature_info, maps, strict=True):
        module = model.get_submodule(info["module"])
        kinds = [type(child).__name__ for child in module] if isinstance(module, nn.Sequential) else []
        row = len(set(kinds)) == 1
        found.append(Stage(info["module"], tuple(x.shape[1:]), len(kinds) * row, kinds[0] if row else ""))
    found += [Stage("features", tuple(last.shape[1:])), Stage("vector", (model.head_hidden_size,))]
    return tuple([*found, Stage("classes", (model.num_classes,))] if model.num_classes else found)


def headline(checkpoint: Checkpoint) -> tuple[str, dict[str, Any]] | None:
    """The first split that a checkpoint was measured on without test-time flip, and its results."""
    return next(((split, found) for split, found in splits(checkpoint).items() if not found.get("flip")), None)


def default_checkpoint(name: str) -> Checkpoint | None:
    """The checkpoint that a network's name without tag means."""
    return next((c for c in checkpoints_of(name) if c.tag == default_tag(name)), None)


def data_of(checkpoint: Checkpoint, results: Mapping[str, Any]) -> str:
    """The data set that results were measured on."""
    return find_dataset(results.get("dataset", checkpoint.labels)).title


def code_licence(name: str) -> str:
    """The licence of the distribution that registers a network."""
    stated = metadata(entry_points.find("model", name).distribution)
    return stated.get("License-Expression") or stated.get("License") or "not stated"


def across(shape: tuple[int, ...]) -> str:
    """A shape as text, 3 × 64 × 64."""
    return " × ".join(map(str, shape))
