"""Networks to write, and what `write_folder` made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard
from torch import nn

import ferzoo
from ferzoo.hub.facts import facts_of
from ferzoo.hub.folder import Published, write_folder
from ferzoo.registry.load import load_model

REPO = "someone/mine"


def network(**kwargs: Any) -> Any:
    return ferzoo.create_model("lanmsff", **kwargs)


def named(names: Any, count: int = 3) -> Any:
    model = network(num_classes=count)
    model.pretrained_cfg = {**model.pretrained_cfg, "label_names": names}
    return model


def written(source: Any, folder: Path, stated: Mapping[str, Any] | None = None, **kwargs: Any) -> Published:
    model = source if isinstance(source, nn.Module) else load_model(source)
    return write_folder(model, facts_of(source, model, **(stated or {})), folder, REPO, **kwargs)


def card(folder: Path) -> ModelCard:
    return ModelCard((folder / "README.md").read_text(encoding="utf-8"))


def config(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))
