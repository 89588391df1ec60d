"""A package folder of a test's own, with weights and descriptions as the real one has."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from random_weights import NETWORKS, Save, Tensors
from safetensors.torch import save_file

import ferzoo
from ferzoo.weights import configs

FACTS: dict[str, Any] = {
    "architecture": "lfnsb",
    "tag": "ferplus",
    "sha256": hashlib.sha256(b"tensors").hexdigest(),
    "labels": "ferplus",
    "cfg": {"input_size": [3, 112, 112]},
    "license": "other",
    "description": "LFNSB on FERPlus",
}
Describe = Callable[..., Path]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty package folder in the place of the installed one; no FERZOO_WEIGHTS, and an empty cache."""
    root = tmp_path / "package"
    for folder in ("weights", "hub_configs"):
        (root / folder).mkdir(parents=True)
    monkeypatch.setattr(configs, "_PACKAGE", root)
    monkeypatch.delenv("FERZOO_WEIGHTS", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    configs.checkpoints.cache_clear()
    yield root
    configs.checkpoints.cache_clear()


@pytest.fixture
def describe(package: Path) -> Describe:
    """Write a checkpoint's YAML: the facts above with changes, None taking one away."""

    def write(file: str = "", **changes: Any) -> Path:
        facts = {key: value for key, value in {**FACTS, **changes}.items() if value is not None}
        name = file or f"{facts.get('architecture')}.{facts.get('tag')}.yaml"
        path = package / "hub_configs" / name
        path.write_text(yaml.safe_dump(facts))
        configs.checkpoints.cache_clear()
        return path

    return write


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensors]:
    """A state dict of each network whose every tensor is random, running statistics as well."""
    generator = torch.Generator().manual_seed(0)
    found = {}
    for name in NETWORKS:
        state = ferzoo.create_model(name).state_dict()
        for key, tensor in state.items():
            if tensor.is_floating_point():
                state[key] = torch.rand(tensor.shape, generator=generator) * 0.1 + 0.05
        found[name] = state
    return found


@pytest.fixture
def save(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Save:
    """Write a checkpoint into a folder of FERZOO_WEIGHTS."""
    monkeypatch.setenv("FERZOO_WEIGHTS", str(tmp_path))

    def write(name: str, state: Tensors, cfg: dict[str, Any] | None = None, **facts: Any) -> Path:
        path = tmp_path / f"{name}.safetensors"
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
        facts = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "cfg": cfg or {}, **facts}
        path.with_suffix(".json").write_text(json.dumps(facts))
        return path

    return write
