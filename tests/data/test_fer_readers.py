"""FER-2013 and FERPlus in each of their layouts, on tiny copies; once on the real parquet files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fer_trees import (
    FER_LAYOUTS,
    KEPT,
    MAJORITY,
    PLUS_LAYOUTS,
    ROWS,
    USAGES,
    Layout,
    digest,
    image_folders,
    kaggle_csv,
    parquet,
    rows_of,
)
from image_trees import encoded, pixels, save, write_parquet

from ferzoo.data import fer2013, ferplus
from ferzoo.data.faces import Faces
from ferzoo.data.readers import read_faces
from ferzoo.errors import DataError, DataWarning
from ferzoo.labels import FER2013, FERPLUS


@pytest.fixture(autouse=True)
def small_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for split in USAGES:
        monkeypatch.setitem(fer2013.COUNTS, split, len(rows_of(split)))
        monkeypatch.setitem(ferplus.COUNTS, split, len(KEPT[split]))


def by_image(faces: Faces) -> dict[bytes, tuple[int, list[float]]]:
    """Label and target by the image, whatever the order."""
    return {d: (int(n), t.tolist()) for d, n, t in zip(faces.digests(), faces.labels, faces.targets, strict=True)}


def everywhere(layouts: list[Layout]) -> list[tuple[Layout, str]]:
    """In the folder itself and in one within it; parquet files lie in the folder itself."""
    return [(layout, within) for layout in layouts for within in ("", "outer") if not within or layout is not parquet]


def build(layout: Layout, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    layout(folder)


@pytest.mark.parametrize("split", USAGES)
@pytest.mark.parametrize(("layout", "within"), everywhere(FER_LAYOUTS))
def test_fer2013_in_each_layout(layout: Layout, split: str, within: str, tmp_path: Path) -> None:
    build(layout, tmp_path / within)
    faces = read_faces("fer2013", tmp_path, split)
    assert faces.class_names == FER2013
    expected = {digest(i): (ROWS[i][1], np.eye(7)[ROWS[i][1]].tolist()) for i in rows_of(split)}
    assert by_image(faces) == expected


@pytest.mark.parametrize("split", USAGES)
@pytest.mark.parametrize(("layout", "within"), everywhere(PLUS_LAYOUTS))
def test_ferplus_in_each_layout(layout: Layout, split: str, within: str, tmp_path: Path) -> None:
    build(layout, tmp_path / within)
    faces, hard = read_faces("ferplus", tmp_path, split), read_faces("ferplus", tmp_path, split, soft=False)
    assert faces.class_names == FERPLUS
    assert [digest(i) for i in KEPT[split]] == faces.digests()
    assert faces.labels.tolist() == hard.labels.tolist() == MAJORITY[split]
    assert hard.targets.tolist() == np.eye(8)[MAJORITY[split]].tolist()
    for i, target in zip(KEPT[split], faces.targets, strict=True):
        emotions = ROWS[i][2][:8]
        assert target.tolist() == pytest.approx([v / sum(emotions) for v in emotions])


def test_the_reader_of_parquet_gives_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet(tmp_path)
    monkeypatch.setitem(fer2013.ROWS, "train", 3)
    one, other = fer2013.read_ferplus(tmp_path, "train"), read_faces("ferplus", tmp_path, "train")
    assert by_image(one) == by_image(other)


def test_rows_of_fer2013_without_votes_stay(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    write_parquet(tmp_path / "validation.parquet", [(encoded(pixels(0)), 2, None)])
    assert read_faces("fer2013", tmp_path, "validation").labels.tolist() == [2]
    with pytest.raises(DataError, match="holds 0 faces, 1 are expected"):
        read_faces("ferplus", tmp_path, "validation")


def test_parquet_in_colour_becomes_grey(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    grey = np.repeat(pixels(0)[..., None], 3, axis=2)
    write_parquet(tmp_path / "test.parquet", [(encoded(grey), 2, None)])
    assert np.array_equal(read_faces("fer2013", tmp_path, "test").images, pixels(0)[None])


@pytest.mark.parametrize(("dataset", "layout"), [("fer2013", kaggle_csv), ("fer2013", image_folders)])
@pytest.mark.parametrize(("published", "words"), [(7, "2 are missing"), (3, "2 are too many")])
def test_a_count_that_is_off(
    dataset: str, layout: Layout, published: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout(tmp_path)
    monkeypatch.setitem(fer2013.COUNTS, "train", published)
    message = f"FER-2013, split train: .* holds 5 faces, {published} are expected: {words}"
    with pytest.raises(DataError, match=message):
        read_faces(dataset, tmp_path, "train")
    with pytest.warns(DataWarning, match=message):
        assert len(read_faces(dataset, tmp_path, "train", strict=False)) == 5


def test_the_parquet_without_faceless_images_is_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parquet(tmp_path)
    monkeypatch.setitem(fer2013.COUNTS, "train", 28709)
    monkeypatch.setitem(fer2013.WITH_FACE, "train", 5)
    assert len(read_faces("fer2013", tmp_path, "train")) == 5


def test_test_folders_that_nothing_tells_apart(tmp_path: Path) -> None:
    for i, (split, emotion, _) in enumerate(ROWS):
        save(tmp_path / ("train" if split == "train" else "test") / FER2013[emotion] / f"im{i}.png", pixels(i))
    assert len(read_faces("fer2013", tmp_path, "train")) == 5
    for split in ("validation", "test"):
        with pytest.raises(DataError, match=r"train and test alone: .* holds 2 images.*PublicTest_ or PrivateTest_"):
            read_faces("fer2013", tmp_path, split)
    with pytest.raises(DataError, match="train and test alone"):
        read_faces("fer2013", tmp_path, "validation", strict=False)
    with pytest.warns(DataWarning, match="All of them are taken for the split test"):
        assert len(read_faces("fer2013", tmp_path, "test", strict=False)) == 2


SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "fer2013"


@pytest.mark.skipif(
    not (SHARED / "validation.parquet").is_file(), reason="FER-2013 does not lie beside this repository"
)
def test_the_real_validation_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    faces, plus = (read_faces(name, SHARED, "validation") for name in ("fer2013", "ferplus"))
    assert (len(faces), len(plus)) == (3589, 3553)
    assert faces.images.shape == (3589, 48, 48)
    # Goodfellow et al. name disgust as by far the rarest and happiness as the most frequent class.
    assert np.bincount(faces.labels).argmin() == 1 and np.bincount(faces.labels).argmax() == 3
    assert not plus.unseen(faces).any()
    assert plus.targets.sum(1) == pytest.approx(1)
    # Both agree for the most part on happiness.
    happy = dict(zip(faces.digests(), faces.labels == 3, strict=True))
    agree = np.mean([happy[d] == (label == 1) for d, label in zip(plus.digests(), plus.labels, strict=True)])
    assert agree > 0.9
