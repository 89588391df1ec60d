"""What a network is measured on: a split, and which of its rows were never trained on."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..data.faces import Faces
from ..data.readers import read_faces
from ..errors import DataError, FerzooError

__all__ = ["Measured", "Progress", "read_measured", "unseen_rows"]

#: Called with what is being done, how much of it is done, and how much there is, 0 where that is not known.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Measured:
    """A split to measure on.

    Attributes:
        faces: Its faces.
        dataset: Name of the data set.
        split: Name of the split.
        unseen: Mask (N,) of the rows whose image is not in the split ``"train"`` of the same folder; None where
            that is not known.
        why: Why it is not known; empty where it is.
    """

    faces: Faces
    dataset: str
    split: str
    unseen: np.ndarray | None = None
    why: str = ""


def read_measured(
    folder: str | os.PathLike[str],
    dataset: str = "ferplus",
    split: str = "validation",
    *,
    strict: bool = True,
    skip_damaged: bool = False,
    compare_with_train: bool = True,
    progress: Progress | None = None,
) -> Measured:
    """Read a split, and find the rows whose image does not also occur in the training split.

    Args:
        folder: Where the data set lies.
        dataset: A name of `ferzoo.data.readers`.
        split: Which part of it.
        strict: As in `read_faces`.
        skip_damaged: As in `read_faces`.
        compare_with_train: Look for the images in the split ``"train"``; every image of both is decoded for that.
        progress: Told what is being done.

    Raises:
        DataError: If the split cannot be read, or is empty. That the training split cannot is no error.
        UnknownNameError: If there is no such data set or split; names the nearest.
    """
    say = progress or (lambda what, done, total: None)
    say(f"reading {dataset} {split}", 0, 0)
    faces = read_faces(dataset, os.fspath(folder), split, strict=strict, skip_damaged=skip_damaged)
    if not len(faces):
        raise DataError(f"The split {split} of {dataset} in {os.fspath(folder)} is empty: there is nothing to measure.")
    if split == "train":
        return Measured(faces, dataset, split, why="the split is the training split itself")
    if not compare_with_train:
        return Measured(faces, dataset, split, why="the training split was not looked at")
    try:
        say(f"reading {dataset} train", 0, 0)
        train = read_faces(dataset, os.fspath(folder), "train", strict=strict, skip_damaged=skip_damaged)
        return Measured(faces, dataset, split, unseen_rows(faces, train, progress))
    except FerzooError as error:
        return Measured(faces, dataset, split, why=f"the training split cannot be read: {error}")


def unseen_rows(faces: Faces, trained_on: Faces, progress: Progress | None = None) -> np.ndarray:
    """The mask of `Faces.unseen`, with reports of progress.

    Args:
        faces: The faces.
        trained_on: Those trained on.
        progress: Told how many images have been looked at.
    """
    if progress is None:
        return faces.unseen(trained_on)
    told = partial(progress, "looking for images that are also in train")
    return faces.unseen(trained_on, told)
