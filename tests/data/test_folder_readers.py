"""Any image folder, and what `read_faces` says of names and damaged files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_trees import class_tree, pixels, save

from ferzoo.data.faces import Faces
from ferzoo.data.readers import DATASETS, find_dataset, read_faces
from ferzoo.errors import DataError, DataWarning, UnknownNameError
from ferzoo.labels import LABELS


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two splits; validation lacks a class."""
    class_tree(tmp_path / "train", ["angry", "happy", "sad"], each=2)
    class_tree(tmp_path / "val", ["happy", "sad"], start=10)
    return tmp_path


def names_of(faces: Faces) -> list[str]:
    return [faces.class_names[label] for label in faces.labels]


@pytest.mark.parametrize("dataset", ["folder", "timm:folder", "timm:torch/image_folder"])
def test_class_folders(dataset: str, tree: Path) -> None:
    faces = read_faces(dataset, tree, "train")
    assert faces.class_names == ("angry", "happy", "sad")
    assert faces.labels.tolist() == [0, 0, 1, 1, 2, 2] and faces.targets.argmax(1).tolist() == faces.labels.tolist()
    expected = Faces(np.stack([pixels(i, 20, 16, colour=True) for i in range(6)]), faces.targets, faces.labels, ())
    assert faces.digests() == expected.digests()
    assert faces.in_memory().images.shape == (6, 20, 16, 3)


def test_a_class_that_one_split_lacks_shifts_no_index(tree: Path) -> None:
    faces = read_faces("folder", tree, "validation")
    assert faces.class_names == ("angry", "happy", "sad") and faces.labels.tolist() == [1, 2]


def test_given_classes_are_matched_by_synonym(tree: Path) -> None:
    faces = read_faces("folder", tree, "train", class_names=["neutral", "sadness", "happiness", "anger"])
    folders = [Path(faces.images.name(i)).parent.name for i in range(len(faces))]
    assert list(zip(folders, names_of(faces), strict=True)) == [
        ("sad", "sadness"),
        ("sad", "sadness"),
        ("happy", "happiness"),
        ("happy", "happiness"),
        ("angry", "anger"),
        ("angry", "anger"),
    ]
    with pytest.raises(DataError, match=r"train/angry is no class: the classes are happy, sad\."):
        read_faces("folder", tree, "train", class_names=["happy", "sad"])


@pytest.mark.parametrize("names", [("happy", "happiness"), ("Calm", "calm")])
def test_two_names_for_one_class(names: tuple[str, str], tmp_path: Path) -> None:
    for split, name in zip(("train", "validation"), names, strict=True):
        save(tmp_path / split / name / "0.png", pixels(0))
        save(tmp_path / split / "sad" / "1.png", pixels(1))
    with pytest.raises(DataError, match=f"two names for one class, {' and '.join(sorted(names))}"):
        read_faces("folder", tmp_path, "train")
    chosen = read_faces("folder", tmp_path, "validation", class_names=("sad", names[0]))
    assert sorted(chosen.labels.tolist()) == [0, 1]


def test_two_names_in_one_split_are_two_classes(tmp_path: Path) -> None:
    for name in ("happy", "happiness"):
        save(tmp_path / "train" / name / "0.png", pixels(0))
    save(tmp_path / "validation" / "happy" / "0.png", pixels(0))
    assert read_faces("folder", tmp_path, "validation").class_names == ("happiness", "happy")


def test_class_folders_without_splits(tree: Path) -> None:
    assert len(read_faces("folder", tree / "train", "all")) == 6
    with pytest.raises(DataError, match="holds the splits train, val, each with class folders: ask for one of them"):
        read_faces("folder", tree, "all")
    with pytest.raises(UnknownNameError, match="'train'.*It has train, validation"):
        read_faces("folder", tree, "trian")
    with pytest.raises(UnknownNameError, match="It has all"):
        read_faces("folder", tree / "train", "train")


def test_numbered_classes_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    class_tree(tmp_path, ["10", "9", "1"])
    faces = read_faces("folder", tmp_path, "all")
    assert faces.class_names == ("1", "9", "10") and faces.labels.tolist() == [0, 1, 2]


def test_files_that_are_no_images(tree: Path) -> None:
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini"):
        (tree / "train/sad" / name).write_bytes(b"")
    assert len(read_faces("folder", tree, "train")) == 6
    (tree / "train/sad/labels.txt").write_text("sad")
    with pytest.warns(DataWarning, match=r"1 files below \S+train are no images and are left out: \S+labels\.txt"):
        assert len(read_faces("folder", tree, "train")) == 6


@pytest.mark.parametrize("dataset", ["folder", "timm:folder", "timm:torch/image_folder"])
def test_damaged_files_are_left_out_with_one_warning(dataset: str, tree: Path) -> None:
    damaged = sorted((tree / "train").rglob("*.jpg"))[1:5]
    for path in damaged:
        path.write_bytes(b"no image")
    faces = read_faces(dataset, tree, "train")
    with pytest.raises(DataError, match="cannot be decoded"):
        faces.images[1]
    with pytest.warns(DataWarning, match=r"4 of 6 images cannot be decoded.*: \S+, \S+, \S+ and 1 more") as caught:
        sound = read_faces(dataset, tree, "train", skip_damaged=True)
    assert len(caught) == 1 and str(damaged[0]) in str(caught[0].message)
    assert sound.labels.tolist() == [0, 2] and len(sound.digests()) == 2


def test_empty_and_missing_folders(tmp_path: Path, tree: Path) -> None:
    with pytest.raises(DataError, match="does not exist: give the folder that holds RAF-DB"):
        read_faces("rafdb", tmp_path / "nowhere", "train")
    with pytest.raises(DataError, match="is a file: give the folder that it lies in"):
        read_faces("fer2013", save(tmp_path / "x.png", pixels(0)), "train")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    with pytest.raises(DataError, match="has no sub-folder with images"):
        read_faces("folder", tmp_path / "empty", "train")
    with pytest.raises(DataError, match="holds no image in class folders"):
        read_faces("folder", tmp_path / "empty", "train", class_names=["a"])


def test_names_of_data_sets() -> None:
    for asked, near in (("fer-plus", "ferplus"), ("RAF-DB", "rafdb"), ("affectnet", "affectnet7")):
        with pytest.raises(UnknownNameError, match=f"'{near}'.*There are fer2013, .*timm:NAME, hf:NAME"):
            find_dataset(asked)
    with pytest.raises(UnknownNameError, match="library of data sets 'tim'. Did you mean 'timm'"):
        find_dataset("tim:folder")
    with pytest.raises(DataError, match="KDEF has its own classes"):
        read_faces("kdef", ".", "all", class_names=["happy"])


@pytest.mark.parametrize("name", DATASETS)
def test_every_data_set_is_described(name: str) -> None:
    dataset = DATASETS[name]
    assert dataset.name == name and dataset.title and dataset.summary.endswith(".") and dataset.obtain and dataset.terms
    assert all(what and tree.startswith("FOLDER/") for what, tree in dataset.layouts.items())
    if name != "folder":
        assert dataset.labels == LABELS[name] and dataset.counts and dataset.citation
