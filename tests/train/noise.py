"""Faces of noise, for what does not depend on what they show."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np

from ferzoo.data.faces import Faces
from ferzoo.labels import FERPLUS
from ferzoo.train.recipe import Recipe

__all__ = ["faces", "small_recipe"]


def faces(count: int, seed: int) -> Faces:
    """Grey noise, 48 px, the eight classes in turn."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 8
    images = rng.integers(0, 256, (count, 48, 48), dtype=np.uint8)
    return Faces(images, np.eye(8, dtype=np.float32)[labels], labels, FERPLUS)


def small_recipe(out: Path | str = "out", **changes: Any) -> Recipe:
    """Two epochs of a small network of timm's."""
    base = Recipe(model="test_resnet", out=str(out), epochs=2, batch_size=8, sizes={0: 32}, lr=1e-3, device="cpu")
    return dataclasses.replace(base, **changes)
