"""What the readers of FER-2013 and FERPlus say of copies that are incomplete, damaged or wrong."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path

import pytest
from fer_trees import (
    KEPT,
    ROWS,
    USAGES,
    Layout,
    digest,
    image_folders,
    kaggle_csv,
    named_images,
    own_folders,
    parquet,
    rows_of,
    two_tables,
)
from image_trees import encoded, numbers, pixels, write_parquet

from ferzoo.data import fer2013, ferplus
from ferzoo.data.readers import read_faces
from ferzoo.errors import DataError, DataWarning, UnknownNameError


@pytest.fixture(autouse=True)
def small_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    for split in USAGES:
        monkeypatch.setitem(fer2013.COUNTS, split, len(rows_of(split)))
        monkeypatch.setitem(ferplus.COUNTS, split, len(KEPT[split]))


@pytest.mark.parametrize("dataset", ["fer2013", "ferplus"])
def test_an_empty_folder_is_told_the_layouts(dataset: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"was not found in .*: .*fer2013.*Known layouts: .*parquet"):
        read_faces(dataset, tmp_path, "train")


def test_a_missing_split_of_the_folders(tmp_path: Path) -> None:
    image_folders(tmp_path)
    shutil.rmtree(tmp_path / "test")
    with pytest.raises(DataError, match=r"has the sub-folders train, but no test"):
        read_faces("fer2013", tmp_path, "validation")


def test_a_missing_parquet_file(tmp_path: Path) -> None:
    parquet(tmp_path)
    (tmp_path / "test.parquet").unlink()
    for dataset in ("fer2013", "ferplus"):
        with pytest.raises(DataError, match=r"test\.parquet is missing.*it holds train\.parquet, validation\.parquet"):
            read_faces(dataset, tmp_path, "test")


@pytest.mark.parametrize(("dataset", "column"), [("fer2013", "label"), ("ferplus", "votes")])
def test_a_missing_column_of_parquet(dataset: str, column: str, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    parquet(tmp_path)
    table = pq.read_table(tmp_path / "train.parquet")
    pq.write_table(table.drop_columns([column]), tmp_path / "train.parquet")
    with pytest.raises(DataError, match=f"cannot be read with the columns image and {column}: it has image, "):
        read_faces(dataset, tmp_path, "train")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("emotion,", "feeling,", r"fer2013\.csv has no column emotion; its first line is 'feeling,pixels,Usage'"),
        ("\n6,", "\n7,", r"fer2013\.csv, line 3: the emotion is '7', expected a whole number from 0 to 6"),
        ("\n6,", "\nhappy,", "line 3: the emotion is 'happy'"),
        ("PublicTest", "Public", "line 7: Usage is 'Public', expected Training, PublicTest, PrivateTest"),
        (",Training\n6", "\n6", "line 2: 2 values, 3 are expected"),
    ],
)
def test_a_wrong_table(old: str, new: str, message: str, tmp_path: Path) -> None:
    kaggle_csv(tmp_path)
    text = (tmp_path / "fer2013.csv").read_text()
    assert old in text
    (tmp_path / "fer2013.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(DataError, match=message):
        read_faces("fer2013", tmp_path, "train")


@pytest.mark.parametrize(
    ("damage", "message"), [("300 ", "are no numbers from 0 to 255"), ("x ", "are no numbers"), ("", "has 2303 pixels")]
)
@pytest.mark.parametrize("dataset", ["fer2013", "ferplus"])
def test_damaged_pixels_name_their_line(dataset: str, damage: str, message: str, tmp_path: Path) -> None:
    two_tables(tmp_path)
    text = (tmp_path / "fer2013.csv").read_text()
    first = numbers(pixels(1))
    (tmp_path / "fer2013.csv").write_text(text.replace(first, damage + first.partition(" ")[2]))
    with pytest.raises(DataError, match=f"fer2013.csv, line 3 .*{message}"):
        read_faces(dataset, tmp_path, "train")
    with pytest.warns(DataWarning, match=r"1 of \d images cannot be decoded and are left out: .*line 3") as caught:
        faces = read_faces(dataset, tmp_path, "train", skip_damaged=True)
    assert len(caught) == 1 and digest(1) not in faces.digests() and digest(0) in faces.digests()


@pytest.mark.parametrize("data", [b"", b"no image", encoded(pixels(0))[:60], encoded(pixels(0, 20, 30))])
def test_a_damaged_row_of_parquet_is_left_out(data: bytes, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    rows = [(encoded(pixels(i)), *ROWS[i][1:]) for i in rows_of("train")]
    write_parquet(tmp_path / "train.parquet", [*rows[:2], (data, 3, ROWS[2][2]), *rows[3:]])
    with pytest.raises(DataError, match=r"the image of row 2 (cannot be decoded|is 30x20 pixels)"):
        read_faces("fer2013", tmp_path, "train")
    with pytest.warns(DataWarning, match="1 of 5 images"):
        faces = read_faces("fer2013", tmp_path, "train", skip_damaged=True)
    assert faces.labels.tolist() == [0, 6, 4, 2]


def table(path: Path, images: list, votes: list) -> None:
    """A parquet file whose columns hold whatever they are given."""
    pyarrow, parquet_file = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    parquet_file.write_table(pyarrow.table({"image": images, "label": [0, 6, 3], "votes": votes}), path)


@pytest.mark.parametrize("dataset", ["fer2013", "ferplus"])
def test_images_of_parquet_as_bytes_and_none(dataset: str, tmp_path: Path) -> None:
    images, votes = [encoded(pixels(i)) for i in range(3)], [ROWS[i][2] for i in range(3)]
    table(tmp_path / "train.parquet", images, votes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)  # of rows that are missing
        assert read_faces(dataset, tmp_path, "train", strict=False).digests() == [digest(i) for i in range(3)]
    for lacking in ([images[0], None, images[2]], [{"bytes": data} for data in (images[0], None, images[2])]):
        table(tmp_path / "train.parquet", lacking, votes)
        with pytest.raises(DataError, match="the image of row 1 is missing"):
            read_faces(dataset, tmp_path, "train")
        with pytest.warns(DataWarning, match="1 of 3 images"):
            assert len(read_faces(dataset, tmp_path, "train", strict=False, skip_damaged=True)) == 2
    table(tmp_path / "train.parquet", ["a.png", "b.png", "c.png"], votes)
    with pytest.raises(DataError, match="the image of row 0 is no image: the column must hold encoded images"):
        read_faces(dataset, tmp_path, "train")


@pytest.mark.parametrize(
    ("votes", "message"),
    [
        ([3, 3, 3], "row 0: votes must have 10 counts a row, got 3"),
        ([ROWS[0][2], ROWS[1][2][:9], ROWS[2][2]], "row 1: votes must have 10 counts a row, got 9"),
        ([ROWS[0][2], [None, *ROWS[1][2][1:]], ROWS[2][2]], "row 1: votes must be 10 counts of 0 or more"),
        ([[-1, *ROWS[0][2][1:]], ROWS[1][2], ROWS[2][2]], "row 0: votes must be 10 counts of 0 or more"),
    ],
)
def test_wrong_votes_of_parquet(votes: list, message: str, tmp_path: Path) -> None:
    table(tmp_path / "train.parquet", [encoded(pixels(i)) for i in range(3)], votes)
    with pytest.raises(DataError, match=message):
        read_faces("ferplus", tmp_path, "train")


def test_tables_that_do_not_belong_together(tmp_path: Path) -> None:
    two_tables(tmp_path)
    path = tmp_path / "fer2013new.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match=r"do not belong together: \S*fer2013new\.csv ends after 6 rows"):
        read_faces("ferplus", tmp_path, "train")
    path.write_text("".join([lines[0], lines[-1], *lines[1:-1]]))
    with pytest.raises(DataError, match="row 1 is Training in one and PrivateTest in the other"):
        read_faces("ferplus", tmp_path, "train")


def test_the_table_of_votes_is_missing(tmp_path: Path) -> None:
    kaggle_csv(tmp_path)
    with pytest.raises(DataError, match=r"fer2013new\.csv with the votes is missing beside fer2013\.csv"):
        read_faces("ferplus", tmp_path, "train")


@pytest.mark.parametrize(("layout", "place"), [(own_folders, "data/FER2013Train"), (named_images, "images")])
def test_a_listed_image_is_missing(layout: Layout, place: str, tmp_path: Path) -> None:
    layout(tmp_path)
    (tmp_path / place / "fer0000010.png").unlink()
    message = r"1 of 3 listed files are not in .*: fer0000010\.png"
    with pytest.raises(DataError, match=message):
        read_faces("ferplus", tmp_path, "train")
    with pytest.warns(DataWarning) as caught:
        faces = read_faces("ferplus", tmp_path, "train", strict=False)
    assert faces.labels.tolist() == [0, 7]
    assert [("listed files" in str(w.message), "are expected" in str(w.message)) for w in caught] == [
        (True, False),
        (False, True),
    ]


def test_a_wrong_number_of_votes(tmp_path: Path) -> None:
    two_tables(tmp_path)
    path = tmp_path / "fer2013new.csv"
    path.write_text(path.read_text().replace(",4,0,0,3,", ",4.5,0,0,3,"))
    with pytest.raises(DataError, match=r"line 2: the number of votes is '4\.5'"):
        read_faces("ferplus", tmp_path, "train")


def test_an_unknown_split(tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="'validation'.*splits of FER-2013 are train, validation, test"):
        read_faces("fer2013", tmp_path, "valid")
