"""The peers of the papers' tables, built, and with their golden weights under the authors' names."""

from __future__ import annotations

import importlib
import json
import runpy
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import ferzoo

GOLDENS = Path(__file__).resolve().parents[3] / "shared" / "goldens"
needs_goldens = pytest.mark.skipif(not GOLDENS.is_dir(), reason="needs ../shared/goldens, which is not here")
#: Parameters at 7 classes, and those of the release that its forward never calls.
COUNTS = {
    "dacl": (103_042_311, 0),
    "dan": (19_723_733, 0),
    "ddamfn": (4_105_999, 29_184 + 52_224 + 14),
    "ma_net": (50_547_214, 0),
    "ran": (11_185_225, 0),
    "scn": (11_180_616, 0),
}


def build(name: str, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    return ferzoo.create_model(name, **kwargs).eval()


def filtered(name: str, state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    return importlib.import_module(f"ferzoo.models.{name}").checkpoint_filter_fn(state, model)


def released(name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor], Any]:
    """The golden file, its weights under the authors' names, and its rule for numbers."""
    facts = json.loads((GOLDENS / f"{name}.json").read_text(encoding="utf-8"))
    fill = runpy.run_path(str(GOLDENS / "fill.py"))
    rows = facts["tensors"]
    state = {n: torch.from_numpy(fill["values"](n, tuple(shape), kind, facts["seed"])) for n, shape, kind in rows}
    return facts, state, fill
