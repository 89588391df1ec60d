"""Any folder of images in class folders."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from ..errors import DataError, UnknownNameError
from ..labels import expression
from .dataset import Dataset, Found, Query
from .layouts import SPLIT_FOLDERS, class_files, image_files, split_folder, subfolders
from .lazy_images import ImageFiles

__all__ = ["FOLDER_DATASET"]


def _holds_images(folder: Path) -> bool:
    return bool(image_files(folder)[0])


def _is_split(folder: Path) -> bool:
    """Whether a folder holds class folders, not images."""
    return any(_holds_images(place) for place in subfolders(folder))


def _sort(names: set[str]) -> tuple[str, ...]:
    """By name, numbers by value."""
    return tuple(sorted(names, key=lambda n: (0, int(n), "") if n.isdecimal() else (1, 0, n)))


def read(query: Query) -> Found:
    """Read `FOLDER/SPLIT/CLASS/*.jpg`, or `FOLDER/CLASS/*.jpg` as the split ``"all"``.

    Without given class names, those of all splits together are taken, so that a class that one split lacks does
    not shift the indices of the others.
    """
    splits = [place for place in subfolders(query.folder) if _is_split(place)]
    place = split_folder(query.folder, query.split)
    if query.split == "all" and place is None:
        place = query.folder
        if splits and not any(_holds_images(p) for p in subfolders(place)):
            found = ", ".join(p.name for p in splits)
            raise DataError(f"{query.folder} holds the splits {found}, each with class folders: ask for one of them.")
        splits = [place]
    if place is None:
        known = sorted({_canonical(p.name) for p in splits}) or ["all"]
        raise UnknownNameError(
            f"split of {query.folder}", query.split, known, f"It has {', '.join(known)}; all is FOLDER/CLASS/*.jpg."
        )
    found_in = [{p.name for p in subfolders(split) if _holds_images(p)} for split in {*splits, place}]
    names = query.class_names or _sort(_one_name_each(query, found_in))
    if not names:
        query.not_found(f"{place} has no sub-folder with images")
    paths, labels = class_files(query, place, names)
    return Found(ImageFiles(paths), labels, place, class_names=names)


def _one_name_each(query: Query, found_in: list[set[str]]) -> set[str]:
    """The class names of all splits together.

    Args:
        query: What was asked.
        found_in: Those of each split.

    Raises:
        DataError: If splits have two names for one class.
    """
    names, classes = set().union(*found_in), defaultdict[str, set[str]](set)
    for name in sorted(names):
        classes[expression(name)].add(name)
    for alike in classes.values():
        if len(alike) > 1 and not any(alike <= split for split in found_in):
            raise DataError(
                f"The splits of {query.folder} have two names for one class, {' and '.join(sorted(alike))}: rename the "
                "folders of one of them, or give the classes by class_names."
            )
    return names


def _canonical(name: str) -> str:
    return next((split for split, names in SPLIT_FOLDERS.items() if name.lower() in names), name)


FOLDER_DATASET = Dataset(
    name="folder",
    title="Image folder",
    summary="Any images in one folder a class, of any size, grey or colour.",
    labels=(),
    counts={},
    layouts={
        "class folders in a folder for each split, or class folders alone as the split all": (
            "FOLDER/\n  train/\n    happy/\n      anything.jpg ...\n    sad/ ...\n"
            "  validation/              or valid, val\n    happy/ ...\n    sad/ ..."
        )
    },
    obtain="Your own images.",
    citation="",
    terms="Yours to know.",
    read=read,
    notes=(
        "Classes are the names of the folders of all splits, sorted, or those given as `class_names`; folders are then "
        "matched by name or synonym (happy, happiness), and any other folder is an error."
    ),
)
