"""FERPlus (Barsoum et al. 2016): the images of FER-2013 with the votes of ten annotators each."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError
from ..labels import FERPLUS, FERPLUS_VOTES
from .dataset import Dataset, Found, Query
from .faces import Faces
from .fer2013_tables import (
    USAGE,
    csv_images,
    decode_pixels,
    decode_stored,
    find_csv,
    parquet_path,
    parquet_rows,
    stacked,
)
from .layouts import best_root, csv_rows, existing, find_below, places_below, whole
from .lazy_images import ImageFiles

__all__ = ["COUNTS", "FERPLUS_DATASET", "ROWS", "read_ferplus"]

#: Rows that FERPlus keeps of each split that is shared as parquet: those whose most voted column is an emotion.
ROWS = {"train": 28386, "validation": 3553}
#: The same for every split.
COUNTS = {**ROWS, "test": 3546}
FOLDERS = {"train": "FER2013Train", "validation": "FER2013Valid", "test": "FER2013Test"}
VOTES_CSV = "fer2013new.csv"


def read_ferplus(folder: str | Path, split: str, soft: bool = True) -> Faces:
    """Read a split of FERPlus from parquet into memory.

    The folder holds ``train.parquet`` and ``validation.parquet`` with the columns `image` (bytes and
    path, as Hugging Face stores images) and `votes` (ten counts). Rows whose most voted column is
    "unknown" or "NF" are left out; a tie goes to the first column.
    `ferzoo.data.readers.read_faces` reads the other layouts too.

    Args:
        folder: Where the parquet files lie.
        split: ``"train"`` or ``"validation"``.
        soft: Targets are the eight counts normalised; otherwise one-hot majorities.

    Raises:
        DataError: If the file is missing, lacks a column, or holds another number of rows than FERPlus has.
        MissingExtraError: Without pyarrow.
    """
    if split not in ROWS:
        raise DataError(f"FERPlus has the splits {', '.join(ROWS)}, not {split!r}.")
    path = Path(folder).expanduser() / f"{split}.parquet"
    found = _from_parquet(Query(FERPLUS_DATASET, path.parent, split, soft), path)
    if len(found.labels) != ROWS[split]:
        raise DataError(
            f"{path} holds {len(found.labels)} usable rows, FERPlus has {ROWS[split]}: the file is incomplete."
        )
    return found.faces(FERPLUS)


def chosen(votes: np.ndarray) -> np.ndarray:
    """Mask (N,) of the rows whose most voted column is an emotion; a tie goes to the first column.

    Args:
        votes: float (N, 10).
    """
    return (votes.argmax(1) < len(FERPLUS)) & (votes.sum(1) > 0)


def _found(query: Query, images: np.ndarray | ImageFiles, votes: np.ndarray, where: Path) -> Found:
    """Targets from the votes of the chosen rows.

    Args:
        query: What was asked.
        images: N images.
        votes: float (N, 10).
        where: What was read.
    """
    votes = votes[:, : len(FERPLUS)]
    targets = votes / votes.sum(1, keepdims=True) if query.soft else None
    return Found(images, votes.argmax(1), where, targets)


def _decoded(query: Query, rows: list[tuple[np.ndarray | None, np.ndarray]], where: Path) -> Found:
    """From images in memory, None where they are damaged, and their votes."""
    kept = [(image, votes) for image, votes in rows if image is not None]
    votes = np.array([v for _, v in kept], dtype=np.float32).reshape(len(kept), len(FERPLUS_VOTES))
    return _found(query, stacked([image for image, _ in kept]), votes, where)


def _from_parquet(query: Query, path: Path) -> Found:
    decoded = []
    for i, row in enumerate(parquet_rows(path, ("image", "votes"))):
        if row["votes"] is None:
            continue
        votes = _counts(row["votes"], f"{path}, row {i}")
        if chosen(votes[None])[0]:
            decoded.append((decode_stored(query, row["image"], f"{path}: the image of row {i}"), votes))
    return _decoded(query, decoded, path)


def _counts(votes: Any, where: str) -> np.ndarray:
    """Ten counts of a parquet row."""
    wanted = len(FERPLUS_VOTES)
    if not isinstance(votes, list) or len(votes) != wanted:
        got = f"{len(votes)}" if isinstance(votes, list) else repr(votes)
        raise DataError(f"{where}: votes must have {wanted} counts a row, got {got}.")
    if not all(isinstance(v, int | float) and 0 <= v < math.inf for v in votes):
        raise DataError(f"{where}: votes must be {wanted} counts of 0 or more, got {votes}.")
    return np.array(votes, dtype=np.float32)


def _voted(path: Path) -> Iterator[tuple[str, str, np.ndarray]]:
    """Usage, image name and votes of every row of FERPlus' own table."""
    for line, (usage, name, *votes) in csv_rows(path, ("Usage", "Image name", *FERPLUS_VOTES)):
        yield usage.strip(), name.strip(), _numbers(votes, f"{path}, line {line}")


def _numbers(votes: list[str], where: str) -> np.ndarray:
    return np.array([whole(vote, where, "number of votes", 0, 99) for vote in votes], dtype=np.float32)


def _from_csv(query: Query, images: Path, labels: Path) -> Found:
    """Two tables whose rows stand in the same order."""
    rows = []
    for number, pair in enumerate(zip_longest(csv_images(images), _voted(labels)), start=1):
        if pair[0] is None or pair[1] is None:
            shorter = images if pair[0] is None else labels
            raise DataError(
                f"{images} and {labels} do not belong together: {shorter} ends after {number - 1} rows, the other "
                "goes on."
            )
        (line, _, pixels, usage), (other, _, votes) = pair
        if usage != other:
            raise DataError(
                f"{images} and {labels} do not belong together: row {number} is {usage} in one and {other} in the "
                "other. Take both tables in their original order."
            )
        if usage == USAGE[query.split] and chosen(votes[None])[0]:
            rows.append((decode_pixels(query, pixels, f"{images}, line {line}"), votes))
    return _decoded(query, rows, images)


def _from_folder(query: Query, folder: Path) -> Found:
    """FERPlus' own folders: images and, without header, name, box and ten votes in label.csv."""
    path = folder / "label.csv"
    columns = ("name", "box", *FERPLUS_VOTES)
    rows = [
        (name, _numbers(votes, f"{path}, line {line}"))
        for line, (name, _, *votes) in csv_rows(path, columns, no_header=columns)
    ]
    return _files(query, folder, [name for name, _ in rows], [votes for _, votes in rows], path)


def _from_names(query: Query, labels: Path) -> Found:
    """Images anywhere below the folder, joined to their votes by name."""
    rows = [(name, votes) for usage, name, votes in _voted(labels) if usage == USAGE[query.split] and name]
    places = dict.fromkeys((*places_below(labels.parent, 1), *places_below(query.folder)))
    root = best_root(list(places), [name for name, _ in rows])
    return _files(query, root, [name for name, _ in rows], [votes for _, votes in rows], labels)


def _files(query: Query, root: Path, names: list[str], votes: list[np.ndarray], where: Path) -> Found:
    """Image files with their votes, the chosen ones."""
    table = np.array(votes, dtype=np.float32).reshape(len(names), len(FERPLUS_VOTES))
    keep = chosen(table)
    names, table = [name for name, k in zip(names, keep, strict=True) if k], table[keep]
    there = existing(root, names)
    query.lacking([name for name, t in zip(names, there, strict=True) if not t], len(names), str(root))
    paths = [root / name for name, t in zip(names, there, strict=True) if t]
    return _found(query, ImageFiles(paths), table[np.array(there, dtype=bool)], where)


def read(query: Query) -> Found:
    """Read a split of FERPlus from any of its layouts."""
    path = parquet_path(query.folder, query.split)
    if path is not None:
        return _from_parquet(query, path)
    labels, images = find_below(query.folder, (VOTES_CSV,)), find_csv(query.folder)
    if labels is not None and images is not None:
        return _from_csv(query, images, labels)
    for place in places_below(query.folder):
        if (place / FOLDERS[query.split] / "label.csv").is_file():
            return _from_folder(query, place / FOLDERS[query.split])
    if labels is not None:
        return _from_names(query, labels)
    lacks = f"{VOTES_CSV} with the votes is missing beside {images.name}" if images else "there is neither of them"
    query.not_found(f"looked for {query.split}.parquet, {VOTES_CSV} and {FOLDERS[query.split]}/label.csv, {lacks}")


FERPLUS_DATASET = Dataset(
    name="ferplus",
    title="FERPlus",
    summary="FER-2013's images, labelled again by ten annotators each: 48x48 grey, 8 classes with contempt.",
    labels=FERPLUS,
    counts=COUNTS,
    layouts={
        "parquet files with the columns image and votes": "FOLDER/\n  train.parquet\n  validation.parquet",
        "fer2013.csv with fer2013new.csv, rows in the same order": "FOLDER/\n  fer2013.csv\n  fer2013new.csv",
        "FERPlus' own folders with a label.csv each": (
            "FOLDER/\n  FER2013Train/\n    label.csv\n    fer0000000.png ...\n  FER2013Valid/ ...\n  FER2013Test/ ..."
        ),
        "a folder of images with fer2013new.csv, joined by image name": (
            "FOLDER/\n  fer2013new.csv\n  images/\n    fer0000000.png ...      or directly in FOLDER"
        ),
    },
    obtain="The labels are in Microsoft's repository FERPlus; the images are those of FER-2013.",
    citation=(
        "E. Barsoum, C. Zhang, C. Canton Ferrer, Z. Zhang: Training Deep Networks for Facial Expression Recognition "
        "with Crowd-Sourced Label Distribution. ICMI 2016"
    ),
    terms="The labels are under the MIT licence; FER-2013's terms hold for the images.",
    read=read,
    notes=(
        'Kept are the rows whose most voted of the ten columns is one of the eight emotions, not "unknown" or '
        '"NF" (not a face); a tie goes to the first column. Targets are the eight counts normalised, or the majority '
        "alone with `soft=False`; accuracy is against the majority."
    ),
)
