"""What the readers share: class folders, tables, and files that a list names."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import DataError, nearest
from ..labels import expression, map_labels
from .dataset import Query, first_few, warn

__all__ = [
    "SPLIT_FOLDERS",
    "best_root",
    "class_files",
    "class_index",
    "csv_rows",
    "existing",
    "find_below",
    "image_files",
    "places_below",
    "split_folder",
    "subfolders",
    "whole",
]

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".gif", ".pgm", ".ppm")
#: Folders within folders that a data set is looked for in: archives of archives unpack so.
DEPTH = 2
#: Files that systems leave in folders.
_LITTER = ("thumbs.db", "desktop.ini")
#: What circulating copies call the folder of a split.
SPLIT_FOLDERS = {
    "train": ("train", "training", "train_set"),
    "validation": ("validation", "valid", "val", "val_set"),
    "test": ("test", "testing", "test_set"),
}


def subfolders(folder: Path) -> list[Path]:
    """Sub-folders by name, numbers by value, without hidden ones and what archives of a Mac leave."""
    return _listed(folder)[1]


def _listed(folder: Path) -> tuple[dict[str, Path], list[Path]]:
    """Files by their names in lower case, and sub-folders, of a folder that may hold a million images."""
    files: dict[str, Path] = {}
    places: list[Path] = []
    if folder.is_dir():
        with os.scandir(folder) as entries:
            for entry in entries:
                if not entry.is_dir():
                    lower = entry.name.lower()
                    files[lower] = min(files.get(lower, folder / entry.name), folder / entry.name)
                elif not entry.name.startswith((".", "__MACOSX")):
                    places.append(folder / entry.name)
    return files, sorted(places, key=lambda p: (0, int(p.name), "") if p.name.isdecimal() else (1, 0, p.name))


def split_folder(folder: Path, split: str) -> Path | None:
    """The sub-folder of a split under any of its usual names, None where there is none."""
    by_name = {path.name.lower(): path for path in subfolders(folder)}
    names = (split.lower(), *SPLIT_FOLDERS.get(split, ()))
    return next((by_name[name] for name in names if name in by_name), None)


def places_below(folder: Path, depth: int = DEPTH) -> Iterator[Path]:
    """A folder, its sub-folders, those of these, and so on, the upper ones first.

    Args:
        folder: Where to begin.
        depth: How many levels there are below it.
    """
    level = [folder]
    for i in range(depth + 1):
        yield from level
        level = [path for place in level for path in subfolders(place)] if i < depth else []


def find_below(folder: Path, names: Sequence[str], depth: int = DEPTH) -> Path | None:
    """The first existing of some files, in a folder or in the sub-folders of it.

    Args:
        folder: Where to look first.
        names: File names, best first; case is ignored.
        depth: How many levels of sub-folders are looked through.
    """
    level = [folder]
    for _ in range(depth + 1):
        listed = [_listed(place) for place in level]
        for name in names:
            for files, _ in listed:
                if name.lower() in files:
                    return files[name.lower()]
        level = [path for _, places in listed for path in places]
    return None


def best_root(roots: Sequence[Path], names: Sequence[str]) -> Path:
    """The root below which most of some files exist; the first where none does.

    Args:
        roots: Folders, best first.
        names: Paths below a root, with slashes.
    """
    some = names[:: max(1, len(names) // 200)]
    for asked in (some, names):
        counts = [sum(existing(root, asked)) for root in roots]
        if any(counts):
            return roots[counts.index(max(counts))]
    return roots[0]


def image_files(folder: Path) -> tuple[list[str], list[str]]:
    """Images directly in a folder, and its other files, each sorted by name; hidden files do not count."""
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if not e.name.startswith(".") and not e.is_dir())
    images = [name for name in names if name.lower().endswith(SUFFIXES)]
    others = [name for name in names if not name.lower().endswith(SUFFIXES) and name.lower() not in _LITTER]
    return images, others


def class_index(name: str, names: Sequence[str], first: int | None = None) -> int | None:
    """The class that a folder's name stands for: its name, a synonym, or its number.

    Args:
        name: The folder's name.
        names: The classes.
        first: Number of the first class, None where numbers mean nothing.

    Returns:
        The index, None where it is no class.
    """
    if first is not None and name.isdecimal():
        index = int(name) - first
        return index if 0 <= index < len(names) else None
    # A name of its own is no synonym, and map_labels would raise.
    if expression(name) not in {expression(n) for n in names}:
        return None
    return map_labels([name], names)[0]


def class_files(
    query: Query, folder: Path, names: Sequence[str], first: int | None = None
) -> tuple[list[str], list[int]]:
    """Images of a folder of class folders.

    Args:
        query: What was asked.
        folder: The folder.
        names: The classes.
        first: As in `class_index`.

    Returns:
        Paths by class and name, and their class indices.

    Raises:
        DataError: If a sub-folder is no class, two are the same one, or there is no image.
    """
    paths: list[str] = []
    labels: list[int] = []
    others: list[str] = []
    taken: dict[int, str] = {}
    for place in subfolders(folder):
        index = class_index(place.name, names, first)
        if index is None:
            close = nearest(place.name, names)
            hint = f" Did you mean {' or '.join(close)}?" if close else ""
            numbers = "" if first is None else f", or the numbers {first} to {first + len(names) - 1}"
            raise DataError(
                f"{place} is no class: the classes are {', '.join(names)}{numbers}.{hint} Rename or move it."
            )
        if index in taken:
            raise DataError(f"{folder} has two folders of the class {names[index]}: {taken[index]} and {place.name}.")
        taken[index] = place.name
        images, unknown = image_files(place)
        paths += [os.path.join(place, name) for name in images]
        labels += [index] * len(images)
        others += [os.path.join(place, name) for name in unknown]
    if not paths:
        raise DataError(
            f"{query.dataset.title}, split {query.split}: {folder} holds no image in class folders; looked for "
            f"CLASS/*{', *'.join(SUFFIXES[:4])} and other image files."
        )
    if others:
        warn(f"{len(others)} files below {folder} are no images and are left out: {first_few(others)}.")
    order = sorted(range(len(paths)), key=lambda i: labels[i])
    return [paths[i] for i in order], [labels[i] for i in order]


def csv_rows(
    path: Path, columns: Sequence[str], no_header: Sequence[str] = ()
) -> Iterator[tuple[int, tuple[str, ...]]]:
    """Rows of a csv file with their line numbers.

    Args:
        path: The file.
        columns: Columns to give, in this order; case and spaces around names are ignored.
        no_header: All columns in order, for a file that may lack its header: it does where its first line holds
            none of them.

    Raises:
        DataError: If the file cannot be read, lacks a column, or has a row that is too short.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            first = next(reader, [])
            header = [name.strip().lower() for name in first]
            headless = bool(no_header) and len(first) == len(no_header) and not set(header) & _lower(no_header)
            if headless:
                header = [name.lower() for name in no_header]
            lacking = [name for name in columns if name.lower() not in header]
            if lacking:
                raise DataError(
                    f"{path} has no column {' and no column '.join(lacking)}; its first line is "
                    f"{','.join(first)[:80]!r}. Expected at least {','.join(columns)}."
                )
            places = [header.index(name.lower()) for name in columns]
            if headless:
                yield 1, tuple(first[i] for i in places)
            for row in reader:
                if not row:
                    continue
                if len(row) <= max(places):
                    raise DataError(f"{path}, line {reader.line_num}: {len(row)} values, {len(header)} are expected.")
                yield reader.line_num, tuple(row[i] for i in places)
    except (OSError, csv.Error, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as csv: {error}") from error


def _lower(names: Sequence[str]) -> set[str]:
    return {name.lower() for name in names}


def whole(text: str, where: str, what: str, low: int, high: int) -> int:
    """A whole number out of a table.

    Args:
        text: What the table holds.
        where: File and line, for the error.
        what: What the number is.
        low: Smallest value.
        high: Largest value.

    Raises:
        DataError: If it is no such number.
    """
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise DataError(f"{where}: the {what} is {text!r}, expected a whole number from {low} to {high}.")
    return value


def existing(root: Path, names: Sequence[str]) -> list[bool]:
    """Which files exist; every folder is listed once, which is faster than to ask for each file.

    Args:
        root: The folder that the names begin in.
        names: Paths below it, with slashes.
    """
    listed: dict[str, set[str]] = {}
    found = []
    for name in names:
        parent, _, base = name.rpartition("/")
        if parent not in listed:
            place = root / parent
            listed[parent] = set(os.listdir(place)) if place.is_dir() else set()
        found.append(base in listed[parent])
    return found
