"""RAF-DB (Li et al. 2017), basic expressions: the list with aligned images, and class folders."""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import DataError
from ..labels import RAFDB
from .dataset import Dataset, Found, Query
from .layouts import best_root, class_files, existing, find_below, places_below, split_folder, whole
from .lazy_images import ImageFiles

__all__ = ["COUNTS", "RAFDB_DATASET"]

COUNTS = {"train": 12271, "test": 3068}
# The first is the authors' spelling.
LISTS = ("list_patition_label.txt", "list_partition_label.txt")
ALIGNED = ("Image/aligned", "Image/aligned/aligned", "aligned")


def _from_list(query: Query, path: Path) -> Found:
    """Lines of an image name and a label from 1 to 7; the name says which split."""
    names: list[str] = []
    labels: list[int] = []
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text: {error}. Take the authors' file.") from error
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words:
            continue
        if len(words) != 2 or not re.fullmatch(r"(train|test)_\d+\.jpg", words[0]):
            raise DataError(f"{path}, line {number}: {line[:60]!r}, expected a line like 'train_00001.jpg 5'.")
        name, label = words
        if name.startswith(f"{query.split}_"):
            names.append(name.replace(".jpg", "_aligned.jpg"))
            labels.append(whole(label, f"{path}, line {number}", "label", 1, len(RAFDB)) - 1)
    bases = (*([path.parent.parent] if path.parent != query.folder else []), path.parent)
    root = best_root([base / place for base in bases for place in ALIGNED], names)
    there = existing(root, names)
    query.lacking([name for name, t in zip(names, there, strict=True) if not t], len(names), str(root))
    rows = [i for i, t in enumerate(there) if t]
    return Found(ImageFiles([root / names[i] for i in rows]), [labels[i] for i in rows], path)


def read(query: Query) -> Found:
    """Read a split of RAF-DB from any of its layouts."""
    path = find_below(query.folder, LISTS, depth=3)
    if path is not None:
        return _from_list(query, path)
    for root in places_below(query.folder):
        place = split_folder(root, query.split)
        if place is not None:
            paths, labels = class_files(query, place, RAFDB, first=1)
            return Found(ImageFiles(paths), labels, place)
    query.not_found(f"there is neither EmoLabel/{LISTS[0]} nor a folder {query.split} with the folders 1 to 7")


RAFDB_DATASET = Dataset(
    name="rafdb",
    title="RAF-DB",
    summary="Faces from the web, aligned, 100x100 colour, 7 basic expressions.",
    labels=RAFDB,
    counts=COUNTS,
    layouts={
        "EmoLabel/list_patition_label.txt with Image/aligned": (
            "FOLDER/\n  EmoLabel/\n    list_patition_label.txt  train_00001.jpg 5\n  Image/\n    aligned/\n"
            "      train_00001_aligned.jpg ..."
        ),
        "class folders train/1 to train/7 and test/1 to test/7": (
            "FOLDER/\n  DATASET/                   or its content directly in FOLDER\n    train/\n      1/ ... 7/\n"
            "    test/\n      1/ ... 7/"
        ),
    },
    obtain="Ask the authors at Beijing University of Posts and Telecommunications.",
    citation=(
        "S. Li, W. Deng, J. Du: Reliable Crowdsourcing and Deep Locality-Preserving Learning for Expression "
        "Recognition in the Wild. CVPR 2017"
    ),
    terms="Non-commercial research, by agreement with the authors; the images may not be passed on.",
    read=read,
    notes="There is no validation split: the literature reports the test split. Labels 1 to 7 become 0 to 6.",
)
