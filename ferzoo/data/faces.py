"""An in-memory set of faces with soft labels, and the torch dataset over it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

__all__ = ["FaceDataset", "Faces"]


@dataclass(frozen=True)
class Faces:
    """Decoded faces with their targets.

    Attributes:
        images: uint8 (N, H, W), grey.
        targets: float32 (N, C), each row a distribution over the classes.
        labels: int64 (N,), the class that accuracy is measured against.
        class_names: Names of the C classes.
    """

    images: np.ndarray
    targets: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.images)

    def take(self, rows: slice | np.ndarray) -> Faces:
        """The faces at `rows`, a slice or an index array."""
        return Faces(self.images[rows], self.targets[rows], self.labels[rows], self.class_names)

    def digests(self) -> list[bytes]:
        """A digest of each image's pixels, equal for identical images."""
        return [hashlib.sha256(image.tobytes()).digest() for image in self.images]

    def unseen(self, trained_on: Faces) -> np.ndarray:
        """Mask (N,) of the faces that are not, pixel for pixel, among those trained on."""
        seen = set(trained_on.digests())
        return np.array([digest not in seen for digest in self.digests()])


class FaceDataset(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """Transformed faces and their targets, for a `DataLoader`."""

    def __init__(self, faces: Faces, transform: Callable[[Image.Image], Any], soft: bool = True) -> None:
        """Keep what is needed.

        Args:
            faces: The faces.
            transform: From a PIL image to a tensor (C, H, W).
            soft: Give target distributions; otherwise class indices.
        """
        self.faces = faces
        self.transform = transform
        self.targets = torch.from_numpy(faces.targets if soft else faces.labels)

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.faces)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Image tensor (C, H, W), and target distribution (C,) or class index ()."""
        image = self.transform(Image.fromarray(self.faces.images[index]))
        return image, self.targets[index]
