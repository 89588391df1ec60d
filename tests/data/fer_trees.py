"""FER-2013 and FERPlus in each of their layouts, a few rows of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_trees import csv_text, encoded, numbers, pixels, save, write_parquet

from ferzoo.data import ferplus
from ferzoo.data.faces import Faces
from ferzoo.labels import FER2013, FERPLUS_VOTES

USAGES = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
#: Split, emotion of FER-2013, ten votes of FERPlus; the index is the seed of the image.
ROWS = [
    ("train", 0, [4, 0, 0, 3, 0, 0, 0, 0, 3, 0]),  # neutral
    ("train", 6, [5, 5, 0, 0, 0, 0, 0, 0, 0, 0]),  # a tie goes to the first: neutral
    ("train", 3, [0, 0, 0, 0, 0, 0, 0, 5, 5, 0]),  # a tie of contempt with unknown: contempt
    ("train", 4, [0, 0, 0, 0, 0, 0, 0, 4, 6, 0]),  # unknown: left out
    ("train", 2, [0, 0, 0, 0, 0, 0, 0, 0, 0, 10]),  # not a face: left out, and without a name
    ("validation", 5, [0, 0, 0, 0, 0, 0, 2, 8, 0, 0]),  # contempt
    ("test", 1, [0, 9, 0, 0, 0, 1, 0, 0, 0, 0]),  # happiness
]
KEPT = {"train": [0, 1, 2], "validation": [5], "test": [6]}
MAJORITY = {"train": [0, 0, 7], "validation": [7], "test": [1]}


def rows_of(split: str) -> list[int]:
    return [i for i, (s, _, _) in enumerate(ROWS) if s == split]


def image_name(row: int) -> str:
    # The numbers of FERPlus' names skip some: they are no row numbers.
    return "" if ROWS[row][2][-1] == 10 else f"fer{10 * row:07}.png"


def kaggle_csv(folder: Path) -> None:
    header = ("emotion", "pixels", "Usage")
    lines = [(e, numbers(pixels(i)), USAGES[s]) for i, (s, e, _) in enumerate(ROWS)]
    (folder / "fer2013.csv").write_text(csv_text([header, *lines]))


def icml_csv(folder: Path) -> None:
    header = ("emotion", " Usage", " pixels")
    lines = [(e, USAGES[s], numbers(pixels(i))) for i, (s, e, _) in enumerate(ROWS)]
    (folder / "icml_face_data.csv").write_text(csv_text([header, *lines]))


def unpacked_csv(folder: Path) -> None:
    (folder / "fer2013").mkdir()
    kaggle_csv(folder / "fer2013")


def image_folders(folder: Path) -> None:
    for i, (split, emotion, _) in enumerate(ROWS):
        place = folder / ("train" if split == "train" else "test") / FER2013[emotion]
        save(place / f"{USAGES[split]}_{i}.jpg", pixels(i))


def three_folders(folder: Path) -> None:
    for i, (split, emotion, _) in enumerate(ROWS):
        save(folder / "images" / {"validation": "val"}.get(split, split) / str(emotion) / f"{i}.jpg", pixels(i))


def parquet(folder: Path) -> None:
    pytest.importorskip("pyarrow")
    for split in USAGES:
        write_parquet(folder / f"{split}.parquet", [(encoded(pixels(i)), *ROWS[i][1:]) for i in rows_of(split)])


def votes_csv(folder: Path) -> None:
    header = ("Usage", "Image name", *FERPLUS_VOTES)
    lines = [(USAGES[s], image_name(i), *votes) for i, (s, _, votes) in enumerate(ROWS)]
    (folder / "fer2013new.csv").write_text(csv_text([header, *lines]))


def two_tables(folder: Path) -> None:
    kaggle_csv(folder)
    votes_csv(folder)


def own_folders(folder: Path) -> None:
    for split, name in ferplus.FOLDERS.items():
        rows = [i for i in rows_of(split) if image_name(i)]
        for i in rows:
            save(folder / "data" / name / image_name(i), pixels(i))
        lines = [(image_name(i), '"(0, 0, 48, 48)"', *ROWS[i][2]) for i in rows]
        (folder / "data" / name / "label.csv").write_text(csv_text(lines))


def named_images(folder: Path) -> None:
    votes_csv(folder)
    for i in range(len(ROWS)):
        if image_name(i):
            save(folder / "images" / image_name(i), pixels(i))


Layout = Callable[[Path], None]
FER_LAYOUTS = [kaggle_csv, icml_csv, unpacked_csv, image_folders, three_folders, parquet]
PLUS_LAYOUTS = [two_tables, own_folders, named_images, parquet]


def digest(row: int) -> bytes:
    return Faces(pixels(row)[None], np.zeros((1, 1)), np.zeros(1), ()).digests()[0]
