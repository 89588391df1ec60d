"""Training batches: order, class balance, augmentation and mixing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, RandomSampler, Sampler, WeightedRandomSampler

from ..data.faces import FaceDataset, Faces
from ..data.transforms import train_transform
from .recipe import Recipe

__all__ = ["class_weights", "make_loader", "make_mixing"]


def class_weights(labels: np.ndarray, num_classes: int) -> list[float]:
    """Weights that give every class that occurs the same total, one on average over the rows.

    Args:
        labels: int (N,).
        num_classes: Classes C.

    Returns:
        C weights, 0 for a class without rows.
    """
    counts = np.bincount(labels, minlength=num_classes).astype(np.float64)
    present = counts > 0
    weights = np.zeros(num_classes)
    weights[present] = len(labels) / (present.sum() * counts[present])
    return [float(w) for w in weights]


def make_loader(
    recipe: Recipe, faces: Faces, cfg: dict[str, Any], size: int, seed: int, rank: int = 0
) -> DataLoader[Any]:
    """Batches of one epoch, whose order depends on the seed alone: images, targets, and the rows where they may change.

    Args:
        recipe: Augmentation, batch size, balance and workers.
        faces: The training rows.
        cfg: The network's pretrained cfg.
        size: Input side in pixels.
        seed: Seed of the order, the same in every process.
        rank: Number of this process.
    """
    transform = train_transform(
        cfg,
        size,
        recipe.rotation,
        recipe.translation,
        recipe.scale,
        recipe.erasing,
        recipe.flip,
        recipe.grayscale,
        recipe.erasing_area,
    )
    dataset = FaceDataset(faces, transform, recipe.soft, rows=recipe.relabel > 0)
    generator = torch.Generator().manual_seed(seed)
    sampler: Sampler[int] = RandomSampler(dataset, generator=generator)
    if recipe.balance == "sampler":
        weights = class_weights(faces.labels, len(faces.class_names))
        rows = [weights[label] for label in faces.labels]
        sampler = WeightedRandomSampler(rows, len(faces), replacement=True, generator=generator)
    return DataLoader(
        dataset,
        recipe.batch_size,
        sampler=sampler,
        drop_last=True,
        num_workers=recipe.workers,
        pin_memory=torch.cuda.is_available(),
        # It seeds the workers, which augment: each process its own way.
        generator=torch.Generator().manual_seed(seed + 7919 * rank),
    )


def make_mixing(recipe: Recipe, num_classes: int) -> Callable[[Any, Any], Any] | None:
    """Mixup (Zhang et al. 2018), CutMix (Yun et al. 2019), one of both at random, or None, by torchvision."""
    from torchvision.transforms import v2

    kinds: list[Any] = []
    if recipe.mixup:
        kinds.append(v2.MixUp(alpha=recipe.mixup, num_classes=num_classes))
    if recipe.cutmix:
        kinds.append(v2.CutMix(alpha=recipe.cutmix, num_classes=num_classes))
    if not kinds:
        return None
    return kinds[0] if len(kinds) == 1 else v2.RandomChoice(kinds)
