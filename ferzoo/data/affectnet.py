"""AffectNet (Mollahosseini et al. 2017), 7 and 8 classes: the csv, the numbered and the class folders."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import DataError
from ..labels import AFFECTNET7, AFFECTNET8
from .dataset import Dataset, Found, Query
from .layouts import (
    best_root,
    class_files,
    csv_rows,
    existing,
    find_below,
    image_files,
    places_below,
    split_folder,
    whole,
)
from .lazy_images import ImageFiles

__all__ = ["AFFECTNET7_DATASET", "AFFECTNET8_DATASET", "COUNTS7", "COUNTS8"]

COUNTS8 = {"train": 287651, "validation": 4000}
COUNTS7 = {"train": 283901, "validation": 3500}
#: The numbered download has one validation image fewer.
NUMBERED = {"validation": 3999}
CSV = {"train": ("training.csv", "Manually_training.csv"), "validation": ("validation.csv", "Manually_validation.csv")}
COLUMNS = (
    "subDirectory_filePath",
    "face_x",
    "face_y",
    "face_width",
    "face_height",
    "facial_landmarks",
    "expression",
    "valence",
    "arousal",
)
#: After the eight expressions come 8 none, 9 uncertain, 10 no face.
LAST_CODE = 10
IMAGES = (
    "Manually_Annotated/Manually_Annotated_Images",
    "Manually_Annotated_Images",
    "Manually_Annotated",
    "Manually_Annotated_compressed/Manually_Annotated_Images",
    "Manually_Annotated_compressed",
    "",
)
NUMBERED_FOLDERS = {"train": "train_set", "validation": "val_set"}


def _from_csv(query: Query, path: Path) -> Found:
    names: list[str] = []
    labels: list[int] = []
    for line, (name, code) in csv_rows(path, ("subDirectory_filePath", "expression"), no_header=COLUMNS):
        label = whole(code, f"{path}, line {line}", "expression", 0, LAST_CODE)
        if label < len(query.dataset.labels):
            names.append(name.strip())
            labels.append(label)
    bases = dict.fromkeys((query.folder, path.parent, *([path.parent.parent] if path.parent != query.folder else [])))
    roots = [base / place if place else base for base in bases for place in IMAGES]
    root = best_root(roots, names)
    there = existing(root, names)
    query.lacking([name for name, t in zip(names, there, strict=True) if not t], len(names), str(root))
    rows = [i for i, t in enumerate(there) if t]
    return Found(ImageFiles([os.path.join(root, names[i]) for i in rows]), np.array(labels, dtype=np.int64)[rows], path)


def _from_numbers(query: Query, folder: Path) -> Found:
    """`images/0.jpg` with `annotations/0_exp.npy`."""
    images, _ = image_files(folder / "images") if (folder / "images").is_dir() else ([], [])
    annotations = folder / "annotations"
    stems = {name.removesuffix("_exp.npy") for name in os.listdir(annotations) if name.endswith("_exp.npy")}
    by_stem = {os.path.splitext(name)[0]: name for name in images}
    unlabelled = [f"{stem}_exp.npy" for stem in by_stem if stem not in stems]
    query.lacking(unlabelled, len(by_stem), str(annotations))
    query.lacking([f"{stem}.jpg" for stem in sorted(stems - set(by_stem))], len(stems), str(folder / "images"))
    paths: list[str] = []
    labels: list[int] = []
    for stem in sorted(stems & set(by_stem), key=lambda s: (len(s), s)):
        label = _code(annotations / f"{stem}_exp.npy")
        if label < len(query.dataset.labels):
            paths.append(os.path.join(folder, "images", by_stem[stem]))
            labels.append(label)
    also = (NUMBERED[query.split],) if query.split in NUMBERED and len(query.dataset.labels) == 8 else ()
    return Found(ImageFiles(paths), np.array(labels, dtype=np.int64), folder, also=also)


def _code(path: Path) -> int:
    try:
        value = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as a numpy array: {error}") from error
    # The expression is stored as text; some copies have made a number of it.
    code = value.item() if value.size == 1 else str(value)
    code = code.decode("ascii", "replace") if isinstance(code, bytes) else code
    return whole(re.sub(r"\.0*$", "", str(code)), str(path), "expression", 0, LAST_CODE)


def _from_classes(query: Query, folder: Path) -> Found:
    paths, labels = class_files(query, folder, AFFECTNET8, first=0)
    rows = [i for i, label in enumerate(labels) if label < len(query.dataset.labels)]
    return Found(ImageFiles([paths[i] for i in rows]), np.array(labels, dtype=np.int64)[rows], folder)


def read(query: Query) -> Found:
    """Read a split of AffectNet from any of its layouts; with 7 classes contempt is left out."""
    path = find_below(query.folder, CSV[query.split])
    if path is not None:
        return _from_csv(query, path)
    for root in places_below(query.folder):
        numbered = root / NUMBERED_FOLDERS[query.split]
        if (numbered / "annotations").is_dir():
            return _from_numbers(query, numbered)
    for root in places_below(query.folder):
        place = split_folder(root, query.split)
        if place is not None:
            return _from_classes(query, place)
    query.not_found(
        f"there is none of {CSV[query.split][0]}, {NUMBERED_FOLDERS[query.split]}/annotations and a folder "
        f"{query.split} with class folders"
    )


_LAYOUTS = {
    "training.csv and validation.csv with the manually annotated images": (
        "FOLDER/\n  training.csv             subDirectory_filePath,...,expression,...\n  validation.csv\n"
        "  Manually_Annotated/\n    Manually_Annotated_Images/\n      689/\n        737db2....jpg ..."
    ),
    "train_set and val_set with images and annotations/*_exp.npy": (
        "FOLDER/\n  train_set/\n    images/\n      0.jpg ...\n    annotations/\n      0_exp.npy ...\n  val_set/ ..."
    ),
    "class folders train/0 to train/7, or named": (
        "FOLDER/\n  train/\n    0/ ... 7/\n  validation/              or val/\n    0/ ... 7/"
    ),
}
_CITATION = (
    "A. Mollahosseini, B. Hasani, M. H. Mahoor: AffectNet: A Database for Facial Expression, Valence, and Arousal "
    "Computing in the Wild. IEEE Transactions on Affective Computing 10(1), 2019"
)
_OBTAIN = "Ask the authors at the University of Denver."
_TERMS = "Non-commercial research, by agreement with the authors; the images may not be passed on."
_NOTES = (
    "The literature reports the validation split, as the test split is not public. Images are read as they lie there: "
    "those of the csv are not cropped to its face box. Numbered class folders are taken for AffectNet's own numbers, "
    "the order above."
)

AFFECTNET8_DATASET = Dataset(
    name="affectnet8",
    title="AffectNet-8",
    summary="Faces from a web search, colour, of any size or 224x224, 8 classes with contempt.",
    labels=AFFECTNET8,
    counts=COUNTS8,
    layouts=_LAYOUTS,
    obtain=_OBTAIN,
    citation=_CITATION,
    terms=_TERMS,
    read=read,
    notes=f"{_NOTES} The numbered download is also accepted with 3,999 validation images.",
)
AFFECTNET7_DATASET = replace(
    AFFECTNET8_DATASET,
    name="affectnet7",
    title="AffectNet-7",
    summary="AffectNet without contempt: faces from a web search, colour, 7 classes.",
    labels=AFFECTNET7,
    counts=COUNTS7,
    notes=_NOTES,
)
