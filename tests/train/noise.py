"""Faces of noise, for what does not depend on what they show."""

from __future__ import annotations

import numpy as np

from ferzoo.data.faces import Faces
from ferzoo.labels import FERPLUS

__all__ = ["faces"]


def faces(count: int, seed: int) -> Faces:
    """Grey noise, 48 px, the eight classes in turn."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 8
    images = rng.integers(0, 256, (count, 48, 48), dtype=np.uint8)
    return Faces(images, np.eye(8, dtype=np.float32)[labels], labels, FERPLUS)
