"""One way to read every data set."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..errors import DataError, UnknownNameError
from .affectnet import AFFECTNET7_DATASET, AFFECTNET8_DATASET
from .dataset import Dataset, Found, Query, first_few, warn
from .faces import Faces
from .fer2013 import FER2013_DATASET
from .ferplus import FERPLUS_DATASET
from .image_folder import FOLDER_DATASET
from .kdef import KDEF_DATASET
from .lazy_images import LazyImages, sound_images
from .libraries import LIBRARIES, library_dataset
from .rafdb import RAFDB_DATASET

__all__ = ["DATASETS", "find_dataset", "read_faces", "split_to_measure"]

#: Every data set by the name to ask for.
DATASETS: dict[str, Dataset] = {
    dataset.name: dataset
    for dataset in (
        FER2013_DATASET,
        FERPLUS_DATASET,
        RAFDB_DATASET,
        AFFECTNET7_DATASET,
        AFFECTNET8_DATASET,
        KDEF_DATASET,
        FOLDER_DATASET,
    )
}


def find_dataset(name: str) -> Dataset:
    """The data set of a name.

    Args:
        name: A key of `DATASETS`, ``"timm:NAME"`` or ``"hf:NAME"``.

    Raises:
        UnknownNameError: If there is none; names the nearest.
    """
    if ":" in name:
        return library_dataset(name)
    if name not in DATASETS:
        raise UnknownNameError(
            "data set", name, DATASETS, f"There are {', '.join(DATASETS)}, {':NAME, '.join(LIBRARIES)}:NAME."
        )
    return DATASETS[name]


def split_to_measure(dataset: Dataset) -> str:
    """``"validation"`` where a data set has it, else ``"test"``; empty where its splits are not known."""
    return next((name for name in ("validation", "test") if name in dataset.counts), "")


def read_faces(
    dataset: str,
    folder: str | Path,
    split: str,
    soft: bool = True,
    *,
    strict: bool = True,
    skip_damaged: bool = False,
    class_names: Sequence[str] | None = None,
    columns: tuple[str, str] | None = None,
) -> Faces:
    """Read a split of a data set, in whichever of its known layouts it lies there.

    Images in a csv or parquet file are decoded into memory, image files when they are asked for; `Faces.in_memory`
    decodes a small set once.

    Args:
        dataset: A key of `DATASETS`, or ``"timm:NAME"`` or ``"hf:NAME"`` for any data set of these libraries.
        folder: Where it lies.
        split: A split of the data set, for example ``"train"``.
        soft: Targets are distributions where the data set has votes, as FERPlus; otherwise one-hot.
        strict: Another number of faces than the published one, or a listed file that is missing, is an error;
            otherwise a warning.
        skip_damaged: Leave out images that cannot be decoded, with one warning. Every image is decoded once to
            find them. Otherwise a damaged file is an error when it is asked for.
        class_names: Classes of ``"folder"``, ``"timm:NAME"`` and ``"hf:NAME"`` in order, those of the data where None.
        columns: Image and label column of ``"hf:NAME"``, found by type and name where None.

    Raises:
        DataError: If the data is missing, incomplete, damaged or in no known layout.
        UnknownNameError: If the data set or split is unknown; names the nearest.
        MissingExtraError: For parquet without pyarrow.
        MissingPackageError: For ``"hf:NAME"`` without the package datasets.

    Examples:
        >>> faces = read_faces("rafdb", "/data/RAF-DB", "train")  # doctest: +SKIP
    """
    known = find_dataset(dataset)
    if known.counts and split not in known.counts:
        hint = f"The splits of {known.title} are {', '.join(known.counts)}."
        raise UnknownNameError(f"split of {known.name}", split, known.counts, hint)
    if known.labels and class_names is not None:
        raise DataError(f"{known.title} has its own classes: leave class_names out, or map them with map_labels.")
    place = Path(folder).expanduser()
    if known.name.partition(":")[0] != "hf" and not place.exists():
        raise DataError(f"{place} does not exist: give the folder that holds {known.title}.")
    if place.is_file() and ":" not in known.name:
        raise DataError(f"{place} is a file: give the folder that it lies in.")
    names = None if class_names is None else tuple(class_names)
    query = Query(known, place, split, soft, strict, skip_damaged, names, columns)
    found = known.read(query)
    _check_count(query, found)
    faces = found.faces(known.labels)
    if skip_damaged:
        faces = _undamaged(query, faces)
    return faces


def _check_count(query: Query, found: Found) -> None:
    published = query.dataset.counts.get(query.split)
    count = len(found.labels) + len(query.damaged)
    if published is None or count == published or count in found.also:
        return
    short = f"{published - count} are missing" if count < published else f"{count - published} are too many"
    message = (
        f"{query.dataset.title}, split {query.split}: {found.where} holds {count} faces, {published} are expected: "
        f"{short}."
    )
    if query.strict:
        raise DataError(f"{message} Complete the copy, or read what is there with strict=False.")
    warn(message)


def _undamaged(query: Query, faces: Faces) -> Faces:
    """The faces whose images can be decoded, and one warning about all others."""
    damaged = list(query.damaged)
    if isinstance(faces.images, LazyImages):
        sound = sound_images(faces.images)
        damaged += [faces.images.name(int(row)) for row in np.flatnonzero(~sound)]
        faces = faces.take(sound)
    if damaged:
        total = len(faces) + len(damaged)
        warn(f"{len(damaged)} of {total} images cannot be decoded and are left out: {first_few(damaged)}.")
    return faces
