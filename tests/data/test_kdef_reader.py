"""KDEF in each of its layouts, on tiny copies."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from image_trees import pixels, save

from ferzoo.data import kdef
from ferzoo.data.readers import read_faces
from ferzoo.errors import DataError, DataWarning

# KDEF: two sessions of persons 1, 25, 26 and 31 of each sex.
SUBJECTS = [f"{session}{sex}{person:02}" for session in "AB" for sex in "FM" for person in (1, 25, 26, 31)]
PERSONS = {"all": (1, 25, 26, 31), "train": (1, 25), "validation": (26,), "test": (31,)}


def kdef_tree(folder: Path, flat: bool = False) -> None:
    image = pixels(0, 20, 16, colour=True)
    for subject in SUBJECTS:
        for code in kdef.CODES:
            save(folder / ("" if flat else subject) / f"{subject}{code}.JPG", image)


@pytest.fixture
def kdef_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for split, persons in PERSONS.items():
        monkeypatch.setitem(kdef.COUNTS, split, len(persons) * 4 * 35)


def test_the_counts_of_kdef_are_those_of_its_design() -> None:
    for split, persons in kdef.PERSONS.items():
        assert kdef.COUNTS[split] == 2 * 2 * len(persons) * 7 * 5
    assert kdef.COUNTS["all"] == 4900
    parts = [set(kdef.PERSONS[split]) for split in ("train", "validation", "test")]
    assert sorted(person for part in parts for person in part) == list(range(1, 36))


@pytest.mark.usefixtures("kdef_counts")
@pytest.mark.parametrize("flat", [False, True])
def test_kdef_reads_its_names(flat: bool, tmp_path: Path) -> None:
    kdef_tree(tmp_path, flat)
    faces = read_faces("kdef", tmp_path, "all")
    assert faces.angles is not None and faces.groups is not None
    rows = {Path(faces.images.name(i)).name: i for i in range(len(faces))}
    expected = {  # from the description that comes with KDEF
        "AF01ANFL.JPG": ("angry", -90),
        "BM25AFHL.JPG": ("afraid", -45),
        "AM26NES.JPG": ("neutral", 0),
        "BF31SUHR.JPG": ("surprised", 45),
        "AF25DIFR.JPG": ("disgusted", 90),
        "AF25HAS.JPG": ("happy", 0),
        "AF25SAS.JPG": ("sad", 0),
    }
    for name, (emotion, angle) in expected.items():
        assert faces.class_names[faces.labels[rows[name]]] == emotion
        assert faces.angles[rows[name]] == angle
    persons = {name: faces.groups[row] for name, row in rows.items()}
    assert persons["AF01ANFL.JPG"] == persons["BF01SUS.JPG"]
    assert len({persons[f"A{sex}{p:02}NES.JPG"] for sex in "FM" for p in PERSONS["all"]}) == 8


@pytest.mark.usefixtures("kdef_counts")
def test_nobody_is_in_two_splits(tmp_path: Path) -> None:
    kdef_tree(tmp_path)
    parts = {split: read_faces("kdef", tmp_path, split) for split in ("train", "validation", "test")}
    groups = [set(part.groups.tolist()) for part in parts.values() if part.groups is not None]
    assert [len(g) for g in groups] == [4, 2, 2] and len(set.union(*groups)) == 8
    assert all(np.unique(part.labels).tolist() == list(range(7)) for part in parts.values())


@pytest.mark.usefixtures("kdef_counts")
def test_a_short_name_is_the_one_image_that_is_missing(tmp_path: Path) -> None:
    kdef_tree(tmp_path)
    (tmp_path / "AM31/AM31SAHR.JPG").rename(tmp_path / "AM31/AM31H.JPG")
    with pytest.warns(DataWarning, match=r"AM31H\.JPG is taken for AM31SAHR, the only image that is missing of AM31"):
        faces = read_faces("kdef", tmp_path, "test")
    assert faces.angles is not None
    [row] = [i for i in range(len(faces)) if faces.images.name(i).endswith("AM31H.JPG")]
    assert faces.class_names[faces.labels[row]] == "sad" and faces.angles[row] == 45
    (tmp_path / "AM31/AM31SAHL.JPG").unlink()
    with (
        pytest.warns(DataWarning, match="1 images below .* are not named like"),
        pytest.raises(DataError, match="2 are"),
    ):
        read_faces("kdef", tmp_path, "test")


@pytest.mark.usefixtures("kdef_counts")
def test_images_of_other_names_are_left_out_and_the_same_name_twice_is_an_error(tmp_path: Path) -> None:
    kdef_tree(tmp_path)
    for name in ("AKDEF/ANFAFHL.JPG", "AF36NES.JPG", "portrait.png"):
        save(tmp_path / name, pixels(1))
    (tmp_path / "ReadMe.txt").write_text("no image")
    with pytest.warns(DataWarning, match="3 images below .* are not named like AF01ANFL"):
        assert len(read_faces("kdef", tmp_path, "all")) == len(SUBJECTS) * 35
    save(tmp_path / "copy/AF01ANFL.JPG", pixels(1))
    with pytest.raises(DataError, match="have the same name: keep one of them"):
        read_faces("kdef", tmp_path, "all")


@pytest.mark.usefixtures("kdef_counts")
def test_what_kdef_lacks(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no file is named like AF01ANFL\.JPG; other images: none"):
        read_faces("kdef", tmp_path, "all")
    kdef_tree(tmp_path)
    (tmp_path / "AF01/AF01NES.JPG").unlink()
    (tmp_path / "AF01/AF01NEHL.JPG").unlink()
    with pytest.raises(DataError, match="KDEF, split train: .* holds 278 faces, 280 are expected: 2 are missing"):
        read_faces("kdef", tmp_path, "train")
