"""Folds keep identical images and groups together, and classes balanced."""

from __future__ import annotations

import numpy as np
import pytest

from ferzoo.data.faces import Faces
from ferzoo.errors import RecipeError
from ferzoo.train.folds import fold_rows

NAMES = ("a", "b", "c")


def faces(images: np.ndarray, labels: np.ndarray) -> Faces:
    return Faces(images, np.eye(len(NAMES), dtype=np.float32)[labels], labels, NAMES)


@pytest.mark.parametrize("folds", [2, 5, 10])
def test_every_row_validates_once_and_classes_stay_balanced(folds: int) -> None:
    rng = np.random.default_rng(folds)
    labels = rng.choice(3, 600, p=[0.7, 0.2, 0.1])
    fold = fold_rows(faces(rng.integers(0, 256, (600, 4, 4), dtype=np.uint8), labels), folds)
    assert fold.shape == (600,) and set(fold) == set(range(folds))
    for c in range(3):
        counts = np.bincount(fold[labels == c], minlength=folds)
        assert counts.max() - counts.min() <= 1


def test_identical_images_share_a_fold() -> None:
    rng = np.random.default_rng(0)
    originals = rng.integers(0, 256, (40, 4, 4), dtype=np.uint8)
    copies = rng.integers(0, 40, 60)
    images = np.concatenate([originals, originals[copies]])
    labels = rng.integers(0, 3, 100)  # FER-2013 gives some copies another label
    fold = fold_rows(faces(images, labels), 4)
    assert all(fold[40 + i] == fold[copy] for i, copy in enumerate(copies))


def test_groups_go_before_images() -> None:
    rng = np.random.default_rng(1)
    rows = faces(rng.integers(0, 256, (60, 4, 4), dtype=np.uint8), np.arange(60) % 3)
    object.__setattr__(rows, "groups", np.arange(60) // 6)
    fold = fold_rows(rows, 5)
    assert all(len(set(fold[6 * g : 6 * g + 6])) == 1 for g in range(10))
    assert np.bincount(fold).tolist() == [12] * 5


def test_the_seed_deals_and_nothing_else_does() -> None:
    rng = np.random.default_rng(2)
    rows = faces(rng.integers(0, 256, (90, 4, 4), dtype=np.uint8), np.arange(90) % 3)
    assert np.array_equal(fold_rows(rows, 3, 7), fold_rows(rows, 3, 7))
    assert not np.array_equal(fold_rows(rows, 3, 7), fold_rows(rows, 3, 8))


def test_what_cannot_be_folded_is_refused() -> None:
    rows = faces(np.zeros((9, 4, 4), np.uint8), np.arange(9) % 3)  # nine copies of one image
    with pytest.raises(RecipeError, match="3 folds need as many groups of rows, there are 1"):
        fold_rows(rows, 3)
    with pytest.raises(RecipeError, match="folds must be 2 or more, got 1"):
        fold_rows(rows, 1)
