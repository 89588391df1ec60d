"""Cross-validation: which rows validate in which fold, identical images and persons kept together."""

from __future__ import annotations

import numpy as np

from ..data.faces import Faces
from ..errors import RecipeError

__all__ = ["fold_rows"]


def fold_rows(faces: Faces, folds: int, seed: int = 0) -> np.ndarray:
    """The fold of every row.

    Rows of one group share a fold: those of `faces.groups`, or else identical images. Groups are dealt, largest
    first and otherwise at random, to the fold that has fewest rows of their class, so that classes stay balanced.

    Args:
        faces: All rows.
        folds: Folds k, 2 or more.
        seed: Seed of the order.

    Returns:
        int (N,), from 0 to k - 1.

    Raises:
        RecipeError: If there are fewer groups than folds.
    """
    if folds < 2:
        raise RecipeError(f"folds must be 2 or more, got {folds}.")
    keys = getattr(faces, "groups", None)
    if keys is None:
        _, keys = np.unique(np.array(faces.digests()), return_inverse=True)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    members: list[list[int]] = [[] for _ in first]
    for row, group in enumerate(inverse):
        members[group].append(row)
    if len(members) < folds:
        raise RecipeError(f"{folds} folds need as many groups of rows, there are {len(members)}.")
    order = np.random.default_rng(seed).permutation(len(members))
    order = order[np.argsort([-len(members[g]) for g in order], kind="stable")]
    counts = np.zeros((folds, len(faces.class_names)), dtype=np.int64)
    out = np.empty(len(faces), dtype=np.int64)
    for group in order:
        rows = members[group]
        classes = np.bincount(faces.labels[rows], minlength=counts.shape[1])
        present = classes > 0
        # Fewest rows of these classes first, then fewest rows of all.
        fold = min(range(folds), key=lambda f: (counts[f, present].sum(), counts[f].sum(), f))
        out[rows] = fold
        counts[fold] += classes
    return out
