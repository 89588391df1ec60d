"""RAF-DB in each of its layouts, on tiny copies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from image_trees import class_tree, pixels, save, seeds

from ferzoo.data import rafdb
from ferzoo.data.readers import read_faces
from ferzoo.errors import DataError, DataWarning, UnknownNameError
from ferzoo.labels import RAFDB

# RAF-DB: the image of seed i has the label i % 7 + 1 in the list; 0 to 8 are train, 9 to 13 test.
RAF = {"train": range(9), "test": range(9, 14)}


def raf_list(folder: Path) -> None:
    lines = []
    for split, rows in RAF.items():
        for number, seed in enumerate(rows, start=1):
            lines.append(f"{split}_{number:05}.jpg {seed % 7 + 1}\n")
            save(folder / f"Image/aligned/{split}_{number:05}_aligned.jpg", pixels(seed, 20, 16, colour=True))
    (folder / "EmoLabel").mkdir(parents=True)
    (folder / "EmoLabel/list_patition_label.txt").write_text("".join(lines))


def raf_below_basic(folder: Path) -> None:
    raf_list(folder / "basic")


def raf_folders(folder: Path) -> None:
    for split, rows in RAF.items():
        for seed in rows:
            name = f"DATASET/{split}/{seed % 7 + 1}/{split}_{seed:05}_aligned.jpg"
            save(folder / name, pixels(seed, 20, 16, colour=True))


@pytest.fixture
def raf_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for split, rows in RAF.items():
        monkeypatch.setitem(rafdb.COUNTS, split, len(rows))


@pytest.mark.usefixtures("raf_counts")
@pytest.mark.parametrize("split", RAF)
@pytest.mark.parametrize("layout", [raf_list, raf_below_basic, raf_folders])
@pytest.mark.parametrize("within", ["", "RAF-DB"])
def test_rafdb_in_each_layout(layout: Callable[[Path], None], split: str, within: str, tmp_path: Path) -> None:
    (tmp_path / within).mkdir(exist_ok=True)
    layout(tmp_path / within)
    faces = read_faces("rafdb", tmp_path, split)
    assert faces.class_names == RAFDB and faces.images[0].shape == (20, 16, 3)
    assert sorted(seeds(faces)) == list(RAF[split])
    assert [seed % 7 for seed in seeds(faces)] == faces.labels.tolist() == faces.targets.argmax(1).tolist()


@pytest.mark.usefixtures("raf_counts")
def test_the_folder_of_the_list_and_other_spaces(tmp_path: Path) -> None:
    raf_list(tmp_path)
    (tmp_path / "Image").rename(tmp_path / "EmoLabel" / "Image")
    path = tmp_path / "EmoLabel/list_patition_label.txt"
    path.write_text(path.read_text().replace(" 1\n", "\t1\r\n").replace(" 2\n", "  2 \n"))
    for folder in (tmp_path, tmp_path / "EmoLabel"):
        assert sorted(seeds(read_faces("rafdb", folder, "train"))) == list(RAF["train"])


@pytest.mark.usefixtures("raf_counts")
def test_nothing_is_taken_from_outside_of_the_folder(tmp_path: Path) -> None:
    raf_list(tmp_path / "mine")
    for path in ("EmoLabel/list_patition_label.txt", "Image/aligned"):
        (tmp_path / "mine" / path).rename(tmp_path / "mine" / Path(path).name)
    for seed in RAF["train"]:
        save(tmp_path / f"aligned/train_{seed + 1:05}_aligned.jpg", pixels(seed + 20, 20, 16, colour=True))
    assert sorted(seeds(read_faces("rafdb", tmp_path / "mine", "train"))) == list(RAF["train"])


def test_the_later_part_of_the_images_is_found(tmp_path: Path) -> None:
    raf_list(tmp_path)
    (tmp_path / "Image/aligned").rename(tmp_path / "Image/old")
    (tmp_path / "Image/old").rename(tmp_path / "aligned")
    for number in range(1, 9):
        (tmp_path / f"aligned/train_{number:05}_aligned.jpg").unlink()
    with pytest.warns(DataWarning):
        assert seeds(read_faces("rafdb", tmp_path, "train", strict=False)) == [8]


@pytest.mark.usefixtures("raf_counts")
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("train_00001.jpg 8", "line 1: the label is '8', expected a whole number from 1 to 7"),
        ("train_00001.jpg 0", "the label is '0'"),
        ("train_00001.jpg", r"line 1: 'train_00001\.jpg', expected a line like 'train_00001\.jpg 5'"),
        ("valid_00001.jpg 3", "expected a line like"),
    ],
)
def test_a_wrong_line_of_rafdb(line: str, message: str, tmp_path: Path) -> None:
    raf_list(tmp_path)
    path = tmp_path / "EmoLabel/list_patition_label.txt"
    path.write_text("\n".join([line, *path.read_text().splitlines()[1:]]))
    with pytest.raises(DataError, match=message):
        read_faces("rafdb", tmp_path, "train")


def test_a_list_of_rafdb_that_is_no_utf8(tmp_path: Path) -> None:
    (tmp_path / "EmoLabel").mkdir()
    (tmp_path / "EmoLabel" / "list_patition_label.txt").write_bytes("train_00001.jpg 5".encode("utf-16"))
    with pytest.raises(DataError, match=r"list_patition_label\.txt cannot be read as UTF-8 text"):
        read_faces("rafdb", tmp_path, "train")


@pytest.mark.usefixtures("raf_counts")
def test_missing_images_of_rafdb(tmp_path: Path) -> None:
    raf_list(tmp_path)
    for number in range(1, 6):
        (tmp_path / f"Image/aligned/train_{number:05}_aligned.jpg").unlink()
    message = r"5 of 9 listed files are not in \S+Image/aligned: train_00001_aligned\.jpg, .* and 2 more"
    with pytest.raises(DataError, match=message):
        read_faces("rafdb", tmp_path, "train")
    with pytest.warns(DataWarning, match=message), pytest.warns(DataWarning, match="holds 4 faces, 9 are expected"):
        assert seeds(read_faces("rafdb", tmp_path, "train", strict=False)) == [5, 6, 7, 8]


def test_a_folder_that_is_no_class_and_one_that_is_there_twice(tmp_path: Path) -> None:
    class_tree(tmp_path / "train", ["1", "2"])
    (tmp_path / "train" / "8").mkdir()
    with pytest.raises(DataError, match=r"train/8 is no class: .*or the numbers 1 to 7"):
        read_faces("rafdb", tmp_path, "train")
    (tmp_path / "train" / "8").rename(tmp_path / "train" / "surprised")
    with pytest.raises(DataError, match="two folders of the class surprise: 1 and surprised"):
        read_faces("rafdb", tmp_path, "train")


def test_rafdb_has_no_validation_split(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="The splits of RAF-DB are train, test"):
        read_faces("rafdb", tmp_path, "validation")
    with pytest.raises(DataError, match=r"neither EmoLabel/list_patition_label\.txt nor a folder train"):
        read_faces("rafdb", tmp_path, "train")
