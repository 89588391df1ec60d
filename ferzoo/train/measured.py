"""What a network is measured on: a data set, a split of it, and which of its rows were never trained on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from ..data.faces import Faces
from ..data.readers import DATASETS, find_dataset, read_faces, split_to_measure
from ..errors import DataError, FerzooError, UnknownNameError
from ..labels import LABELS

__all__ = ["DEFAULT_DATASET", "WAYS", "Measured", "Progress", "dataset_of", "read_measured", "unseen_rows"]

#: What is measured on where neither the caller nor the weights say which data set.
DEFAULT_DATASET = "ferplus"

#: How a data set without classes of its own is read: arguments of `read_faces` that a run's folder remembers.
WAYS = ("class_names", "columns")

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
    dataset: str | None = None,
    split: str = "validation",
    *,
    networks: Iterable[Any] = (),
    strict: bool = True,
    skip_damaged: bool = False,
    compare_with_train: bool = True,
    class_names: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    progress: Progress | None = None,
) -> Measured:
    """Read a split, and find the rows whose image does not also occur in the training split.

    Args:
        folder: Where the data set lies.
        dataset: A name of `ferzoo.data.readers`. Where None: the data set of the networks, as `dataset_of` finds it;
            FERPlus where none of them says, or they differ and one is of FERPlus.
        split: Which part of it.
        networks: Those to be measured, which may say the data set.
        strict: As in `read_faces`.
        skip_damaged: As in `read_faces`.
        compare_with_train: Look for the images in the split ``"train"``; every image of both is decoded for that.
        class_names: As in `read_faces`; where None, as the networks' run read this data set, where its folder says so
            and the data can be read so.
        columns: The same.
        progress: Told what is being done.

    Raises:
        DataError: If the split cannot be read, or is empty; if the networks are of different data sets, or of one that
            `DATASETS` lacks, and `dataset` is None. That the training split cannot be read is no error.
        UnknownNameError: If there is no such data set or split; names the nearest.
    """
    say = progress or (lambda what, done, total: None)
    networks = list(networks)
    given, dataset = dataset is not None, dataset or _dataset_of_all(networks)
    known = find_dataset(dataset)
    if columns is not None and len(columns) != 2:
        raise DataError(f"Give the image and the label column, columns=(image, label); got {', '.join(columns)}.")
    ways: dict[str, Any] = {"class_names": class_names, "columns": columns and (columns[0], columns[1])}
    stated = {way: _stated(networks, dataset, way) for way in WAYS if ways[way] is None and not known.labels}

    def read(part: str) -> Faces:
        how = {**ways, **stated}
        return read_faces(known.name, os.fspath(folder), part, strict=strict, skip_damaged=skip_damaged, **how)

    say(f"reading {dataset} {split}", 0, 0)
    try:
        try:
            faces = read(split)
        except DataError:  # as the folder and hf:parquet are read: other data than the run's may be meant
            if not any(stated.values()):
                raise
            stated = {}
            faces = read(split)
    except UnknownNameError as error:  # of the split, as the data set is known
        error.args = (f"{error} Take one of them by split={split_to_measure(known) or 'NAME'!r}.",)
        raise
    except DataError as error:
        if given:
            raise
        raise DataError(f"{error} {dataset} was taken unasked: name another data set by dataset='NAME'.") from error
    if not len(faces):
        raise DataError(f"The split {split} of {dataset} in {os.fspath(folder)} is empty: there is nothing to measure.")
    if split == "train":
        return Measured(faces, dataset, split, why="the split is the training split itself")
    if not compare_with_train:
        return Measured(faces, dataset, split, why="the training split was not looked at")
    try:
        say(f"reading {dataset} train", 0, 0)
        return Measured(faces, dataset, split, unseen_rows(faces, read("train"), progress))
    except FerzooError as error:
        return Measured(faces, dataset, split, why=f"the training split cannot be read: {error}")


def dataset_of(network: Any) -> str:
    """Name of the data set that a network's weights are of; empty where nothing says it.

    A run's folder and the Hub say it, in `ferzoo_cfg`. Otherwise it is the one that has the network's classes in their
    order.

    Args:
        network: What `load_model` returns.
    """
    stated = getattr(network, "ferzoo_cfg", None) or {}
    for key in ("dataset", "labels"):
        if isinstance(name := stated.get(key), str) and name:
            return name
    names = tuple((getattr(network, "pretrained_cfg", None) or {}).get("label_names") or ())
    return next((name for name, labels in LABELS.items() if labels == names), "")


def _stated(networks: Iterable[Any], dataset: str, way: str) -> tuple[str, ...] | None:
    """What the folders of runs on a data set say of a key of `WAYS`, where they agree."""
    said = [(getattr(n, "ferzoo_cfg", None) or {}).get(way) for n in networks if dataset_of(n) == dataset]
    found = {tuple(v) for v in said if isinstance(v, list) and v and all(isinstance(name, str) for name in v)}
    return found.pop() if len(found) == 1 else None


def _dataset_of_all(networks: Iterable[Any]) -> str:
    """The data set that networks are measured on where nobody gave one."""
    found = sorted({name for network in networks if (name := dataset_of(network))})
    if not found or (len(found) > 1 and DEFAULT_DATASET in found):
        return DEFAULT_DATASET
    if len(found) > 1:
        raise DataError(
            f"The weights are of different data sets, {', '.join(found)}: say on which to measure by dataset='NAME'."
        )
    # A config.json may be a stranger's, and a name of another library can start a download.
    if found[0] not in DATASETS:
        raise DataError(
            f"The weights are of the data set {found[0][:80]!r}, which is none of {', '.join(DATASETS)} and is read "
            "only where it is asked for: say on which to measure by dataset='NAME'."
        )
    return found[0]


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
