"""Relabelling of faces that the network is sure are something else (Wang et al. 2020, SCN, section 3.4)."""

from __future__ import annotations

from dataclasses import replace

import torch

from ..data.faces import Faces
from .recipe import Recipe

__all__ = ["Relabelling"]


class Relabelling:
    """Collects, in an epoch, which faces get another label from the next one on."""

    def __init__(self, recipe: Recipe) -> None:
        """Take the first epoch and the margin of the recipe."""
        self.first, self.margin = recipe.relabel, recipe.relabel_margin
        self._found: dict[int, int] = {}

    def look(self, epoch: int, rows: torch.Tensor, targets: torch.Tensor, logits: torch.Tensor) -> None:
        """Note the faces of a batch whose most probable class leads their label's by more than the margin.

        Args:
            epoch: Epoch, from 0.
            rows: Rows of the faces (N,).
            targets: Their labels (N,), of this epoch.
            logits: What the training step made of them (N, C).
        """
        if epoch + 1 < self.first:
            return
        probabilities = logits.float().softmax(1)
        highest, predicted = probabilities.max(1)
        sure = highest - probabilities.gather(1, targets[:, None]).squeeze(1) > self.margin
        self._found.update(zip(rows[sure].tolist(), predicted[sure].tolist(), strict=True))

    def apply(self, faces: Faces) -> tuple[Faces, int]:
        """The faces with the labels of what was noted, and how many they are; nothing is noted any more."""
        labels = faces.labels.copy()
        for row, label in self._found.items():
            labels[row] = label
        count = len(self._found)
        self._found = {}
        return replace(faces, labels=labels), count
