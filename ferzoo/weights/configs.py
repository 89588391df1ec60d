"""hub_configs: one YAML a checkpoint, the only place for its facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..labels import label_names
from .files import write_atomically

__all__ = [
    "DEFAULT_TAG",
    "WHERE",
    "Checkpoint",
    "checkpoints",
    "config_folder",
    "pin",
    "pinnable",
    "recipe_facts",
    "split_names",
    "wheel_folder",
]

#: What a name without tag means, where an architecture has it.
DEFAULT_TAG = "ferplus"

#: Fields of a training recipe that say where a run was, and not what it computed: no checkpoint's facts.
WHERE = ("data", "out", "threads", "workers", "device", "compile", "in_memory")
#: Fields of a recipe that name a network, or a folder with one.
_NETWORKS = ("init", "teacher")

_PACKAGE = Path(__file__).resolve().parent.parent


def wheel_folder() -> Path:
    """Folder of the weights that ship with the package."""
    return _PACKAGE / "weights"


def config_folder() -> Path:
    """Folder of the YAML files: inside an installed package, or beside it in a checkout."""
    packed = _PACKAGE / "hub_configs"
    return packed if packed.is_dir() else _PACKAGE.parent / "hub_configs"


def recipe_facts(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What a checkpoint's facts keep of the recipe that it was trained by.

    The fields of `WHERE` are left out. Of a folder in `init` or `teacher` the last name stays, without the path on
    the machine that it lay on; a name with tag or an ``hf-hub:`` name stays whole.

    Args:
        recipe: The fields of a recipe.
    """
    facts = {key: value for key, value in recipe.items() if key not in WHERE}
    for key in _NETWORKS:
        if key in facts:
            facts[key] = " + ".join(_without_path(name) for name in split_names(str(facts[key])))
    return facts


def split_names(text: str) -> list[str]:
    """Names of networks out of ``"a + b"``; a ``+`` without spaces belongs to a name."""
    return re.split(r"\s+\+\s+", text.strip())


def _without_path(name: str) -> str:
    if re.search(r"[/\\]", name) and not re.match("[A-Za-z][A-Za-z_-]+:", name):
        return re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return name


@dataclass(frozen=True)
class Checkpoint:
    """The facts of one checkpoint, as its YAML states them.

    Raises:
        TypeError: If a fact has the wrong type.
        ValueError: If the sha256, the labels, the revision or the metrics cannot be what they say.
    """

    architecture: str
    tag: str
    sha256: str
    labels: str
    cfg: dict[str, Any]
    license: str
    description: str
    repo: str | None = None
    revision: str | None = None
    ferzoo: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    training: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        kinds = {f.name: dict if f.name in ("cfg", "ferzoo", "metrics", "training") else str for f in fields(self)}
        wrong = {key: kind for key, kind in kinds.items() if not isinstance(getattr(self, key) or kind(), kind)}
        if wrong:
            raise TypeError(", ".join(f"{key} must be a {kind.__name__}" for key, kind in wrong.items()))
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"sha256 must be 64 hexadecimal digits, not {self.sha256!r}")
        label_names(self.labels)
        if self.revision and not self.repo:
            raise ValueError("a revision needs the repo that it is of")
        if self.repo and not re.fullmatch(r"[\w.-]+/[\w.-]+", self.repo, re.ASCII):
            raise ValueError(f"repo must be ORG/REPO, not {self.repo!r}")
        for split, found in self.metrics.items():
            if not isinstance(found, dict) or not isinstance(found.get("accuracy"), float | int):
                raise ValueError(f"metrics.{split} is no output of ferzoo eval --json: it has no accuracy")

    @property
    def name(self) -> str:
        """Architecture and tag, as `create_model` takes them."""
        return f"{self.architecture}.{self.tag}"

    @property
    def file(self) -> str:
        """File name of the weights."""
        return f"{self.name}.safetensors"

    def pretrained_cfg(self) -> dict[str, Any]:
        """The pretrained cfg that timm takes, with the source that holds the weights."""
        names = label_names(self.labels)
        cfg = dict(
            self.cfg, num_classes=len(names), label_names=names, license=self.license, description=self.description
        )
        shipped = self.shipped()
        if self.repo:
            cfg["hf_hub_id"] = f"{self.repo}@{self.revision}" if self.revision else self.repo
        elif shipped:
            cfg["file"] = str(shipped)
        return cfg

    def in_package(self) -> Path | None:
        """The weights where they are in the package, as in the wheel."""
        path = wheel_folder() / self.file
        return path if path.is_file() else None

    def shipped(self) -> Path | None:
        """The weights where they came with the code: in the package, or in a checkout beside these facts."""
        beside = config_folder() / "weights" / self.file
        return self.in_package() or (beside if beside.is_file() else None)


def pinnable() -> bool:
    """Whether the YAML files are those of a checkout, and not of an installed package."""
    return config_folder().parent != _PACKAGE


def pin(name: str, repo: str, revision: str) -> Path:
    """Write into a checkpoint's YAML where it is published; the rest of the file stays as it is.

    Args:
        name: Name with tag.
        repo: ``"org/repo"``.
        revision: Full hash of the commit.

    Returns:
        The YAML.
    """
    path = config_folder() / f"{name}.yaml"
    lines = [
        line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith(("repo:", "revision:"))
    ]
    text = "\n".join([*lines, f"repo: {repo}", f"revision: {revision}"]) + "\n"
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))
    checkpoints.cache_clear()
    return path


@lru_cache(maxsize=1)
def checkpoints() -> dict[str, Checkpoint]:
    """Every checkpoint that has a YAML, by name with tag; an architecture's default, `ferplus`, before its others.

    Raises:
        CheckpointError: If a YAML lacks a fact or states one that does not exist.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where PyYAML was built with it
    found = {}
    for path in sorted(config_folder().glob("*.yaml")):
        try:
            checkpoint = Checkpoint(**yaml.load(path.read_text(encoding="utf-8"), Loader=loader))
        except (TypeError, ValueError, yaml.YAMLError) as error:
            raise CheckpointError(f"{path} is no valid checkpoint description: {error}") from error
        if path.stem != checkpoint.name:
            raise CheckpointError(f"{path} describes {checkpoint.name}: rename the file to {checkpoint.name}.yaml.")
        found[checkpoint.name] = checkpoint
    in_order = sorted(found.values(), key=lambda c: (c.architecture, c.tag != DEFAULT_TAG, c.tag))
    return {checkpoint.name: checkpoint for checkpoint in in_order}
