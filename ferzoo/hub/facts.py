"""What is known of a network's weights: the ground of a model card, gathered and never typed by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from torch import nn

from .. import __version__
from ..data.readers import DATASETS
from ..errors import CheckpointError
from ..registry import entry_points as ep
from ..registry.config import PREPARED
from ..weights.configs import Checkpoint, checkpoints, recipe_facts
from ..weights.resolve import default_tag
from .checks import check_classes, checked_metrics, class_count, class_names

__all__ = ["Facts", "checkpoint_of", "facts_of", "title_of"]


@dataclass(frozen=True)
class Facts:
    """What a card says of weights, beside timm's cfg.

    Attributes:
        architecture: Name of the network.
        tag: Tag of the checkpoint; empty for weights of one's own.
        dataset: Data set that they were trained on, a key of `ferzoo.data.readers.DATASETS`; empty where unknown.
        labels: Order of the classes, a key of `ferzoo.labels.LABELS`; empty for classes of one's own.
        description: One line.
        license: Licence of the weights, an SPDX name or words; empty where nobody stated one.
        grayscale: Colours are taken away from the input first.
        metrics: Evaluations by split, as `ferzoo.evaluate` gives them.
        training: Recipe, epoch, note and environment of the training.
        package: Name and version of the package that has the architecture.
    """

    architecture: str
    tag: str = ""
    dataset: str = ""
    labels: str = ""
    description: str = ""
    license: str = ""
    grayscale: bool = False
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)
    package: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Architecture and tag."""
        return f"{self.architecture}.{self.tag}" if self.tag else self.architecture

    def to_dict(self) -> dict[str, Any]:
        """The fields, for the part of a config.json that is ferzoo's."""
        return {"version": __version__, **{key: value for key, value in asdict(self).items() if key != "architecture"}}


def title_of(dataset: str) -> str:
    """A data set's name in the literature, or its own where nobody knows it."""
    return DATASETS[dataset].title if dataset in DATASETS else dataset


def facts_of(source: nn.Module | str | os.PathLike[str], model: nn.Module, **stated: Any) -> Facts:
    """Gather what is known of a network's weights.

    Args:
        source: Where the network is from: a checkpoint's name, a folder, or the network itself.
        model: The network with its weights, as `load_model` builds it.
        **stated: Fields of `Facts` that the caller knows better.

    Raises:
        CheckpointError: If a file of a checkpoint folder cannot be read, an evaluation is none or of another network,
            or the network's label names are no names or repeat.
    """
    cfg: Mapping[str, Any] = getattr(model, "pretrained_cfg", None) or {}
    extra: Mapping[str, Any] = getattr(model, "ferzoo_cfg", None) or {}
    architecture = str(cfg.get("architecture") or type(model).__name__.lower())
    # A network in memory may have been trained since it was loaded: what was measured then is not said of it.
    kept = PREPARED if isinstance(source, nn.Module) else tuple(_KINDS)
    known: dict[str, Any] = {key: extra[key] for key in kept if extra.get(key) is not None}
    if wrong := [key for key, value in known.items() if not isinstance(value, _KINDS[key])]:
        raise CheckpointError(
            f"Under ferzoo, the config.json of {architecture} has another type than expected: {', '.join(wrong)}."
        )
    if not isinstance(source, nn.Module):
        if (checkpoint := checkpoint_of(source)) is not None:
            known |= {key: getattr(checkpoint, key) for key in ("tag", "labels", "metrics", "license", "description")}
            recipe = checkpoint.training.get("recipe") or {}
            known |= {"training": checkpoint.training, "dataset": recipe.get("dataset", checkpoint.labels)}
        run = _of_run(Path(source).expanduser()) if checkpoint is None else {}
        known |= run
        if not run:  # the cfg of a run is that of the weights it began from
            known |= {k: v for k in ("license", "description") if not known.get(k) and isinstance(v := cfg.get(k), str)}
    known |= {key: value for key, value in stated.items() if value}
    known["metrics"] = checked_metrics(known.get("metrics") or {})
    check_classes(known["metrics"], class_names(model), class_count(model))
    return Facts(architecture, package=_package(architecture), **known)


#: Fields that a config.json may know, and their types.
_KINDS: dict[str, type] = {
    key: str if f.type == "str" else bool if f.type == "bool" else dict
    for key, f in Facts.__dataclass_fields__.items()
    if key not in ("architecture", "package")
}


def checkpoint_of(source: str | os.PathLike[str]) -> Checkpoint | None:
    """The checkpoint of ferzoo's own that a name means, with or without tag; None for a folder or another name."""
    if not isinstance(source, str):
        return None
    tag = default_tag(source) if "." not in source else ""
    return checkpoints().get(f"{source}.{tag}" if tag else source)


def _of_run(folder: Path) -> dict[str, Any]:
    """What `ferzoo train` left beside the weights."""
    files = {name: _read(folder / f"{name}.json") for name in ("metrics", "recipe", "environment")}
    known: dict[str, Any] = {}
    if found := files["metrics"]:
        epoch = found.pop("epoch", None)
        known["metrics"] = {str(found.pop("split", "validation")): found}
        known["training"] = {"epoch": epoch}
    if recipe := files["recipe"]:
        known.setdefault("training", {})["recipe"] = recipe_facts(recipe)
        known["dataset"] = str(recipe.get("dataset", "ferplus"))  # older runs know no other
    if environment := files["environment"]:
        kept = ("python", "packages", "git", "gpu")
        known.setdefault("training", {})["environment"] = {key: environment[key] for key in kept if key in environment}
    return known


def _read(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is no readable JSON: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} must hold an object.")
    return content


def _package(architecture: str) -> dict[str, str]:
    """The package that registers an architecture."""
    claims = ep.entries("model").get(architecture)
    name = claims[0].distribution if claims else "timm"
    try:
        return {"name": name, "version": metadata.version(name)}
    except metadata.PackageNotFoundError:
        return {"name": name, "version": ""}
