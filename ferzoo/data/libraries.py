"""Data sets of timm (`timm:NAME`) and of Hugging Face's `datasets` (`hf:NAME`)."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, MissingPackageError, UnknownNameError
from ..labels import map_labels
from .dataset import Dataset, Found, Query
from .layouts import split_folder
from .lazy_images import DecodedImages, ImageFiles, LazyImages

__all__ = ["LIBRARIES", "library_dataset"]

#: Names under which timm reads class folders.
TIMM_FOLDERS = ("", "folder", "torch/folder", "torch/image_folder")
TIMM_PREFIXES = ("torch", "hfds", "hfids", "tfds", "wds")
TIMM_NAMES = "Names are those of timm.data.create_dataset: timm:folder, timm:torch/cifar10, timm:hfds/NAME and others."
#: Builders of `datasets` that read local files of one kind, and the ending of these files.
LOCAL_BUILDERS = {"parquet": ".parquet", "arrow": ".arrow"}
IMAGE_COLUMNS = ("image", "img", "face", "picture")
LABEL_COLUMNS = ("label", "labels", "expression", "emotion", "class", "fine_label")


def _read_timm(query: Query) -> Found:
    """Through `timm.data.create_dataset`; a damaged image raises, where timm would give another image instead."""
    from timm.data import create_dataset

    name = query.dataset.name.partition(":")[2]
    root: Path | None = query.folder
    if name in TIMM_FOLDERS and query.folder.is_dir():
        # timm would read the whole folder where the split has none of its own, train and test together.
        root = split_folder(query.folder, query.split)
        if root is None and query.split != "all":
            query.not_found(f"it has no folder {query.split}; the split all is the folder itself")
    elif name not in TIMM_FOLDERS and name.partition("/")[0] not in TIMM_PREFIXES:
        raise DataError(f"timm has no data set {name!r}. {TIMM_NAMES}")
    try:
        dataset: Any = create_dataset(
            name, root=os.fspath(root or query.folder), split=query.split, search_split=False, download=False
        )
    except (AssertionError, RuntimeError, ValueError, OSError, ImportError) as error:
        reason = str(error).rstrip(".") or type(error).__name__
        raise DataError(
            f"timm has no data set {name!r}, split {query.split}, in {query.folder}: {reason}. {TIMM_NAMES}"
        ) from error
    if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
        raise DataError(f"timm:{name} is a stream without row numbers; ferzoo reads data sets whose rows have numbers.")
    reader = getattr(dataset, "reader", None)
    images: LazyImages
    source = dataset if reader is None else reader
    samples = getattr(source, "samples", None)
    if samples and isinstance(samples[0][0], str):
        images = ImageFiles([path for path, _ in samples])
        labels = [label for _, label in samples]
    else:
        images = DecodedImages(len(source), lambda row: source[row][0], f"timm:{name}")
        targets = getattr(source, "targets", None)
        labels = [source[row][1] for row in range(len(source))] if targets is None else list(targets)
    known = getattr(source, "class_to_idx", None) or {}
    return _named(query, images, labels, sorted(known, key=known.__getitem__))


def _read_hf(query: Query) -> Found:
    """Through `datasets.load_dataset`."""
    try:
        datasets: Any = importlib.import_module("datasets")
    except ImportError:
        raise MissingPackageError(f"Reading {query.dataset.name}", "datasets") from None
    name = query.dataset.name.partition(":")[2]
    options: dict[str, Any] = {}
    if name in LOCAL_BUILDERS:
        options = {"data_files": {query.split: _local_files(query, LOCAL_BUILDERS[name])}}
    elif name == "imagefolder":
        options = {"data_dir": os.fspath(query.folder)}
    elif (query.folder / name).is_dir():
        name = os.fspath(query.folder / name)
    try:
        table = datasets.load_dataset(name, split=query.split, **options)
    except Exception as error:  # each builder raises what it likes
        raise DataError(f"{query.dataset.name}, split {query.split}, cannot be loaded: {error}") from error
    image, label = query.columns or _columns(query, table.features)
    lacking = [column for column in (image, label) if column not in table.features]
    if lacking:
        raise DataError(f"{query.dataset.name} has no column {', '.join(lacking)}; it has {', '.join(table.features)}.")
    encoded = table.cast_column(image, datasets.Image(decode=False))
    images = DecodedImages(len(table), lambda row: _encoded(encoded[row][image]), query.dataset.name)
    feature, labels = table.features[label], list(table[label])
    return _named(query, images, labels, getattr(feature, "names", None) or [])


def _local_files(query: Query, suffix: str) -> list[str]:
    files = sorted(os.fspath(path) for path in query.folder.glob(f"{query.split}*{suffix}"))
    if not files:
        query.not_found(f"there is no file {query.split}*{suffix}")
    return files


def _encoded(value: dict[str, Any] | None) -> bytes | str:
    """Bytes where the table holds them, else the path."""
    for key in ("bytes", "path"):
        if value and (found := value.get(key)) is not None:
            return found
    raise ValueError("the table has no image there")


def _columns(query: Query, features: Any) -> tuple[str, str]:
    """Image and label column by their types, else by their usual names."""

    def one(kind: str, usual: Sequence[str]) -> str:
        typed = [name for name, feature in features.items() if type(feature).__name__ == kind]
        found = typed if len(typed) == 1 else [name for name in usual if name in features]
        if not found:
            raise DataError(
                f"{query.dataset.name} has no column that is surely the {'image' if kind == 'Image' else 'label'}: it "
                f"has {', '.join(features)}. Give both as columns=(image, label)."
            )
        return found[0]

    return one("Image", IMAGE_COLUMNS), one("ClassLabel", LABEL_COLUMNS)


def _named(query: Query, images: LazyImages, labels: Sequence[Any], names: Sequence[str]) -> Found:
    """Class indices and names, from what a library gives as labels."""
    if len(labels) and not all(isinstance(label, str | int | np.integer) for label in labels):
        raise DataError(f"{query.dataset.name}: a label is neither a number nor a name: {labels[0]!r}.")
    if any(isinstance(label, str) for label in labels):
        names = sorted({str(label) for label in labels})
        indices = np.array([names.index(str(label)) for label in labels], dtype=np.int64)
    else:
        indices = np.array(labels, dtype=np.int64)
    if query.class_names is not None and names:
        # The library names its classes: they are brought into the order that was asked for.
        mapping = np.array(map_labels(names, query.class_names))
        unmapped = [name for name, index in zip(names, mapping, strict=True) if index < 0]
        if unmapped:
            raise DataError(f"{query.dataset.name} has the classes {', '.join(unmapped)}, which class_names lack.")
        indices, names = mapping[indices], query.class_names
    names = tuple(query.class_names or names or (str(i) for i in range(int(indices.max(initial=-1)) + 1)))
    if len(indices) and not 0 <= indices.min() <= indices.max() < len(names):
        raise DataError(
            f"{query.dataset.name}: labels go from {indices.min()} to {indices.max()}, there are {len(names)} classes."
        )
    return Found(images, indices, query.dataset.name, class_names=names)


#: Prefix of the name to its reader, and what it is.
LIBRARIES: dict[str, tuple[Callable[[Query], Found], str, str]] = {
    "timm": (
        _read_timm,
        "any data set of timm.data.create_dataset whose rows have numbers",
        "FOLDER is its root: `timm:folder` reads class folders; other names are timm's, as `timm:torch/cifar10`.",
    ),
    "hf": (
        _read_hf,
        "any image data set of Hugging Face's library datasets",
        "`hf:parquet`, `hf:arrow` and `hf:imagefolder` read FOLDER; other names are folders in it or Hub repositories.",
    ),
}


def library_dataset(name: str) -> Dataset:
    """The data set behind a name like ``"timm:torch/image_folder"`` or ``"hf:parquet"``.

    Raises:
        UnknownNameError: If the library is unknown.
    """
    prefix = name.partition(":")[0]
    if prefix not in LIBRARIES:
        raise UnknownNameError("library of data sets", prefix, LIBRARIES, "Names are timm:NAME and hf:NAME.")
    read, summary, folder = LIBRARIES[prefix]
    return Dataset(name, name, summary, (), {}, {folder: ""}, "", "", "", read)
