"""The rows of a recipe: how they are read, decoded, limited, and what errors tell to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from noise import faces
from PIL import Image

from ferzoo.data import rafdb
from ferzoo.data.faces import Faces
from ferzoo.data.lazy_images import LazyImages
from ferzoo.errors import DataError, DataWarning, RecipeError, UnknownNameError
from ferzoo.train.recipe import Recipe
from ferzoo.train.splits import read_splits

CLASSES = ("angry", "happy", "sad")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eight images of three classes for training, two for validation."""
    rng = np.random.default_rng(0)
    for split, each in (("train", 8), ("validation", 2)):
        for name in CLASSES:
            place = tmp_path / split / name
            place.mkdir(parents=True)
            for i in range(each):
                Image.fromarray(rng.integers(0, 256, (20, 16, 3), dtype=np.uint8)).save(place / f"{i}.png")
    return tmp_path


def recipe(data: Path, **changes: Any) -> Recipe:
    given = {"dataset": "folder", "data": str(data), "batch_size": 2, **changes}
    return Recipe.from_dict(given)


def test_files_are_decoded_once_where_they_fit(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = read_splits(recipe(folder, in_memory=False))
    assert all(isinstance(rows.images, LazyImages) for rows in lazy)
    memory = read_splits(recipe(folder))
    for before, after in zip(lazy, memory, strict=True):
        assert isinstance(after.images, np.ndarray) and after.digests() == before.digests()
    monkeypatch.setattr(Faces.fitting_memory, "__defaults__", (24 * 20 * 16 * 3 - 1,))
    train, validation = read_splits(recipe(folder))
    assert isinstance(train.images, LazyImages) and isinstance(validation.images, np.ndarray)


def test_images_of_two_sizes_stay_in_files(folder: Path) -> None:
    Image.new("RGB", (30, 10)).save(folder / "train" / "sad" / "7.png")
    train, validation = read_splits(recipe(folder))
    assert isinstance(train.images, LazyImages) and isinstance(validation.images, np.ndarray)


def test_folds_of_files_are_decoded(folder: Path) -> None:
    train, validation = read_splits(recipe(folder, folds=4, fold=1))
    assert isinstance(train.images, np.ndarray) and (len(train), len(validation)) == (18, 6)
    files = read_splits(recipe(folder, folds=4, fold=1, in_memory=False))
    assert [part.digests() for part in files] == [train.digests(), validation.digests()]


def test_a_limit_draws_from_all_classes() -> None:
    rows = faces(600, 0)
    labels = np.sort(rows.labels)  # as class folders are read
    rows = Faces(rows.images, np.eye(8, dtype=np.float32)[labels], labels, rows.class_names)
    splits = {"train": rows, "validation": faces(8, 1)}

    def drawn(seed: int) -> list[bytes]:
        train, validation = read_splits(Recipe(limit=80, batch_size=8, seed=seed), splits)
        assert len(train) == 80 and len(validation) == 8
        assert np.bincount(train.labels, minlength=8).min() >= 2
        return train.digests()

    assert drawn(0) == drawn(0) != drawn(1)
    everything, _ = read_splits(Recipe(limit=1000, batch_size=8), splits)
    assert everything.digests() == rows.digests()


def test_a_split_that_is_not_there_and_an_incomplete_copy_name_the_key(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for split, name in (("train", "1"), ("test", "2")):
        (folder / "raf" / split / name).mkdir(parents=True)
        for i in range(2):
            Image.new("RGB", (9, 9), (i, i, i)).save(folder / "raf" / split / name / f"{i}.jpg")
    monkeypatch.setitem(rafdb.COUNTS, "train", 2)
    monkeypatch.setitem(rafdb.COUNTS, "test", 2)
    options = {"dataset": "rafdb", "data": str(folder / "raf"), "batch_size": 2}
    with pytest.raises(RecipeError, match=r"split of rafdb 'validation'.*train, test\. Set validation_split=test\."):
        read_splits(Recipe(**options))
    with pytest.raises(RecipeError, match=r"'trian'\. Did you mean 'train'.*Set train_split to one of them"):
        read_splits(Recipe(**options, train_split="trian"))
    options["validation_split"] = "test"
    monkeypatch.setitem(rafdb.COUNTS, "train", 3)
    with pytest.raises(DataError, match=r"read what is there with strict=false\."):
        read_splits(Recipe(**options))
    with pytest.warns(DataWarning, match="1 are missing"):
        train, _ = read_splits(Recipe(**options, strict=False))
    assert len(train) == 2


def test_a_folder_without_the_split_names_the_key(folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"It has train, validation; .* Set validation_split to one of them\."):
        read_splits(recipe(folder, validation_split="test"))
    with pytest.raises(UnknownNameError, match="Unknown data set 'rafdbb'"):
        read_splits(recipe(folder, dataset="rafdbb"))


def test_damaged_images_are_left_out_where_the_recipe_says_so(folder: Path) -> None:
    (folder / "train" / "sad" / "3.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"3\.png cannot be decoded: .*skip_damaged=true"):
        read_splits(recipe(folder))
    with pytest.warns(DataWarning, match="1 of 24 images cannot be decoded"):
        train, _ = read_splits(recipe(folder, skip_damaged=True))
    assert len(train) == 23


def test_classes_and_columns_reach_the_reader(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["neutral", "sadness", "happiness", "anger"]
    train, _ = read_splits(recipe(folder, class_names=names))
    assert train.class_names == tuple(names) and sorted(set(train.labels)) == [1, 2, 3]
    asked = []

    def read(*_: Any, **options: Any) -> Faces:
        asked.append((options["class_names"], options["columns"]))
        return faces(8, 0)

    monkeypatch.setattr("ferzoo.data.readers.read_faces", read)
    read_splits(recipe(folder, dataset="hf:x", columns=["face", "emotion"]))
    read_splits(recipe(folder))
    assert asked == [(None, ("face", "emotion"))] * 2 + [(None, None)] * 2
