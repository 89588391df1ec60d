"""AffectNet in each of its layouts, on tiny copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from image_trees import csv_text, pixels, save, seeds

from ferzoo.data import affectnet
from ferzoo.data.readers import read_faces
from ferzoo.errors import DataError
from ferzoo.labels import AFFECTNET7, AFFECTNET8

# AffectNet: the image of seed i has the expression i % 11: 0 to 7 are classes, 8 to 10 none, uncertain, no face.
AFFECT = {"train": range(22), "validation": range(22, 36)}
HEADER = affectnet.COLUMNS


def kept(split: str, classes: int) -> list[int]:
    return [seed for seed in AFFECT[split] if seed % 11 < classes]


def affect_csv(folder: Path, images: str = "Manually_Annotated/Manually_Annotated_Images", header: bool = True) -> None:
    for split, name in (("train", "training.csv"), ("validation", "validation.csv")):
        lines = [HEADER] if header else []
        for seed in AFFECT[split]:
            path = f"{seed % 3}/{seed}.JPG"
            save(folder / images / path, pixels(seed, 20, 16, colour=True))
            lines.append((path, 0, 0, 16, 20, "1;2", seed % 11, 0.1, -0.2))
        (folder / name).write_text(csv_text(lines))


def affect_compressed(folder: Path) -> None:
    affect_csv(folder, "Manually_Annotated_compressed", header=False)


def affect_lists_apart(folder: Path) -> None:
    affect_csv(folder)
    lists = folder / "Manually_Annotated_file_lists"
    lists.mkdir()
    for name in ("training.csv", "validation.csv"):
        (folder / name).rename(lists / name)


def affect_numbered(folder: Path) -> None:
    for split, name in (("train", "train_set"), ("validation", "val_set")):
        (folder / name / "annotations").mkdir(parents=True)
        for seed in AFFECT[split]:
            if seed % 11 < 8:
                save(folder / name / "images" / f"{seed}.jpg", pixels(seed, 20, 16, colour=True))
                kinds = (
                    np.array(str(seed % 11)),
                    np.array([seed % 11]),
                    np.array(float(seed % 11)),
                    np.array(str(seed % 11).encode()),
                )
                code = kinds[seed % len(kinds)]
                np.save(folder / name / "annotations" / f"{seed}_exp.npy", code)
                np.save(folder / name / "annotations" / f"{seed}_val.npy", np.array(0.5))


def affect_classes(folder: Path, named: bool = False) -> None:
    for split, name in (("train", "train"), ("validation", "val")):
        for seed in kept(split, 8):
            place = AFFECTNET8[seed % 11].capitalize() if named else str(seed % 11)
            save(folder / name / place / f"{seed}.png", pixels(seed, 20, 16, colour=True))


def affect_names(folder: Path) -> None:
    affect_classes(folder / "AffectNet", named=True)


AFFECT_LAYOUTS = [affect_csv, affect_compressed, affect_lists_apart, affect_numbered, affect_classes, affect_names]


@pytest.fixture
def affect_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for split in AFFECT:
        monkeypatch.setitem(affectnet.COUNTS8, split, len(kept(split, 8)))
        monkeypatch.setitem(affectnet.COUNTS7, split, len(kept(split, 7)))


@pytest.mark.usefixtures("affect_counts")
@pytest.mark.parametrize("split", AFFECT)
@pytest.mark.parametrize(("classes", "names"), [(7, AFFECTNET7), (8, AFFECTNET8)])
@pytest.mark.parametrize("layout", AFFECT_LAYOUTS)
@pytest.mark.parametrize("within", ["", "AffectNet"])
def test_affectnet_in_each_layout(
    layout: Callable[[Path], None], classes: int, names: tuple[str, ...], split: str, within: str, tmp_path: Path
) -> None:
    (tmp_path / within).mkdir(exist_ok=True)
    layout(tmp_path / within)
    faces = read_faces(f"affectnet{classes}", tmp_path, split)
    assert faces.class_names == names and faces.targets.shape[1] == classes
    assert sorted(seeds(faces)) == kept(split, classes)
    assert [seed % 11 for seed in seeds(faces)] == faces.labels.tolist()


@pytest.mark.usefixtures("affect_counts")
def test_the_archive_of_a_split_in_a_folder_of_its_name(tmp_path: Path) -> None:
    (tmp_path / "train_set").mkdir()
    affect_numbered(tmp_path / "train_set")
    assert sorted(seeds(read_faces("affectnet8", tmp_path, "train"))) == kept("train", 8)


@pytest.mark.usefixtures("affect_counts")
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("expression", "emotion", "has no column expression; its first line is 'subDirectory_filePath"),
        ("1;2,0,", "1;2,11,", r"training\.csv, line 2: the expression is '11', expected a whole number from 0 to 10"),
        ("1;2,0,", "1;2,-1,", "the expression is '-1'"),
        ("0/0.JPG", "0/nobody.JPG", r"1 of 16 listed files are not in \S+Manually_Annotated_Images: 0/nobody\.JPG"),
    ],
)
def test_a_wrong_table_of_affectnet(old: str, new: str, message: str, tmp_path: Path) -> None:
    affect_csv(tmp_path)
    path = tmp_path / "training.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_faces("affectnet8", tmp_path, "train")


@pytest.mark.usefixtures("affect_counts")
@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array("happy"), r"0_exp\.npy: the expression is 'happy'"),
        (np.array([1, 2]), r"the expression is '\[1 2\]'"),
        (np.array([{"a": 1}], dtype=object), r"0_exp\.npy cannot be read as a numpy array"),
    ],
)
def test_a_wrong_annotation_of_affectnet(value: np.ndarray, message: str, tmp_path: Path) -> None:
    affect_numbered(tmp_path)
    np.save(tmp_path / "train_set/annotations/0_exp.npy", value, allow_pickle=True)
    with pytest.raises(DataError, match=message):
        read_faces("affectnet8", tmp_path, "train")


@pytest.mark.usefixtures("affect_counts")
def test_an_image_without_annotation_and_the_reverse(tmp_path: Path) -> None:
    affect_numbered(tmp_path)
    (tmp_path / "train_set/annotations/4_exp.npy").unlink()
    with pytest.raises(DataError, match=r"1 of 16 listed files are not in \S+annotations: 4_exp\.npy"):
        read_faces("affectnet8", tmp_path, "train")
    affect_numbered(tmp_path / "again")
    (tmp_path / "again/train_set/images/5.jpg").unlink()
    with pytest.raises(DataError, match=r"1 of 16 listed files are not in \S+images: 5\.jpg"):
        read_faces("affectnet8", tmp_path / "again", "train")


@pytest.mark.usefixtures("affect_counts")
def test_counts_of_affectnet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    affect_numbered(tmp_path)
    (tmp_path / "val_set/images/22.jpg").unlink()
    (tmp_path / "val_set/annotations/22_exp.npy").unlink()
    found = len(kept("validation", 8)) - 1
    for name in ("affectnet7", "affectnet8"):
        with pytest.raises(DataError, match="1 are missing"):
            read_faces(name, tmp_path, "validation")
    monkeypatch.setitem(affectnet.NUMBERED, "validation", found)
    assert len(read_faces("affectnet8", tmp_path, "validation")) == found
    with pytest.raises(DataError, match=r"there is none of training\.csv, train_set/annotations and a folder train"):
        read_faces("affectnet8", tmp_path / "val_set", "train")
