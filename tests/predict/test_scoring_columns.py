"""Tables as the source of a job: kept columns of each type, parquet that cannot be made, and changed files."""

from __future__ import annotations

import datetime
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from mean_colour import MeanColour
from PIL import Image

from ferzoo.errors import DataError, FerzooError
from ferzoo.predict import scoring_rows
from ferzoo.predict.scoring import Summary, score
from ferzoo.predict.scoring_sources import open_source

pyarrow: Any = pytest.importorskip("pyarrow", reason="comes with the extra train")
parquet: Any = pytest.importorskip("pyarrow.parquet")
PYARROW = int(pyarrow.__version__.partition(".")[0])
#: Values of a column, and what they are in parquet: themselves, or text where parquet gets JSON.
COLUMNS: dict[str, tuple[Any, list[Any], list[Any] | None]] = {
    "struct": (pyarrow.struct([("a", pyarrow.int8()), ("b", pyarrow.string())]), [{"a": 1, "b": "x"}, None], None),
    "nested": (pyarrow.list_(pyarrow.struct([("a", pyarrow.list_(pyarrow.int64()))])), [[{"a": [1]}], []], None),
    # Before 26, pyarrow does not read back a list of fixed length that is none.
    "box": (pyarrow.list_(pyarrow.float32(), 2), [[0.5, 2.0], None if PYARROW >= 26 else [1.0, 1.0]], None),
    "map": (
        pyarrow.map_(pyarrow.string(), pyarrow.int64()), [[("k", 7)], []], ['[["k", 7]]', "[]"],
    ),
    "half": (pyarrow.float16(), [0.5, None], None),
    "numbers": (pyarrow.dictionary(pyarrow.int8(), pyarrow.int64()), [5, 6], None),
    "days": (pyarrow.list_(pyarrow.date32()), [[datetime.date(2024, 2, 1)], []], [["2024-02-01"], []]),
    "large": (pyarrow.uint64(), [2**64 - 1, 0], None),
    "flag": (pyarrow.bool_(), [True, None], None),
}  # fmt: skip


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (8, 8), (9, 90, 180)).save(data, "png")
    return data.getvalue()


def table(path: Path, **columns: Any) -> Path:
    """A table of two images and what else is given."""
    parquet.write_table(pyarrow.table({"image": [png(), png()], **columns}), path)
    return path


def go(source: Any, out: Path, **changed: Any) -> Summary:
    return score(source, out, MeanColour(), **{"detect": False, "workers": 1, **changed})


def test_every_type_is_kept(tmp_path: Path) -> None:
    source = table(tmp_path / "t.parquet", **{n: pyarrow.array(v, kind) for n, (kind, v, _) in COLUMNS.items()})
    for suffix in (".parquet", ".jsonl", ".csv"):
        go(source, tmp_path / f"rows{suffix}", keep=list(COLUMNS))
    found = parquet.read_table(tmp_path / "rows.parquet")
    lines = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    for name, (_, values, expected) in COLUMNS.items():
        assert found[name].to_pylist() == (values if expected is None else expected), name
        texts = [json.loads(value) if name == "map" else value for value in found[name].to_pylist()]
        assert [line[name] for line in lines] == texts


@pytest.mark.parametrize(
    ("first", "second", "kind", "values"),
    [
        (pyarrow.int16(), pyarrow.int64(), pyarrow.int64(), [1, 2, 1, 2]),
        (pyarrow.float32(), pyarrow.float64(), pyarrow.float64(), [1.0, 2.0, 1.0, 2.0]),
        (pyarrow.int64(), pyarrow.string(), pyarrow.string(), ["1", "2", "1", "2"]),
        (pyarrow.int64(), pyarrow.float64(), pyarrow.string(), ["1", "2", "1.0", "2.0"]),
    ],
)
def test_parts_of_other_types(tmp_path: Path, first: Any, second: Any, kind: Any, values: list[Any]) -> None:
    columns = (pyarrow.array([1, 2]).cast(one) for one in (first, second))
    sources = [table(tmp_path / f"{i}.parquet", kept=column) for i, column in enumerate(columns)]
    go(sources, tmp_path / "rows.parquet", keep=["kept"])
    found = parquet.read_table(tmp_path / "rows.parquet")
    assert found.schema.field("kept").type == kind and found["kept"].to_pylist() == values


def test_a_table_and_an_archive(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "s.tar", "w") as tar:
        for name, data in (("1.cls", b"8"), ("1.png", png())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    sources = [table(tmp_path / "t.parquet", cls=[1, 2]), tmp_path / "s.tar"]
    go(sources, tmp_path / "rows.parquet", keep=["cls"])
    assert parquet.read_table(tmp_path / "rows.parquet")["cls"].to_pylist() == ["1", "2", "8"]


def test_images_in_a_dictionary(tmp_path: Path) -> None:
    images = pyarrow.array([png(), png(), None], pyarrow.binary()).dictionary_encode()
    parquet.write_table(pyarrow.table({"label": [1, 2, 3], "photo": images}), tmp_path / "t.parquet")
    done = go(tmp_path / "t.parquet", tmp_path / "rows.csv")
    assert (done.images, done.errors) == (3, 1)
    # Beside a plain column it is one of categories.
    plain = pyarrow.table({"site": images, "photo": pyarrow.array([png()] * 3, pyarrow.binary())})
    parquet.write_table(plain, tmp_path / "two.parquet")
    assert go(tmp_path / "two.parquet", tmp_path / "two.csv").errors == 0


@pytest.mark.parametrize(
    "kind",
    [
        pyarrow.list_(pyarrow.binary()),
        pyarrow.struct([("raw", pyarrow.binary(2))]),
        pyarrow.map_(pyarrow.string(), pyarrow.large_binary()),
        *[view() for name in ("binary_view",) if (view := getattr(pyarrow, name, None))],  # since pyarrow 16
    ],
)
def test_bytes_anywhere_are_refused(tmp_path: Path, kind: Any) -> None:
    source = table(tmp_path / "t.parquet", kept=pyarrow.nulls(2, kind))
    with pytest.raises(DataError, match="The column kept of .* holds bytes"):
        go(source, tmp_path / "rows.jsonl", keep=["kept"], column="image")


def test_rows_that_parquet_does_not_take_are_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = table(tmp_path / "t.parquet", kept=[1, 2])
    monkeypatch.setattr(scoring_rows, "_joined", lambda kinds: pyarrow.list_(pyarrow.int64()))
    for resume in (False, True):
        with pytest.raises(FerzooError, match="rows.parquet cannot be made of the rows: .*rename it to rows.jsonl"):
            go(source, tmp_path / "rows.parquet", keep=["kept"], resume=resume)
        assert not (tmp_path / "rows.parquet").exists()
    (tmp_path / "rows.parquet.rows").rename(tmp_path / "rows.jsonl")
    (tmp_path / "rows.parquet.progress").rename(tmp_path / "rows.jsonl.progress")
    done = go(source, tmp_path / "rows.jsonl", keep=["kept"], resume=True)
    assert (done.images, done.resumed) == (2, 2)
    go(source, tmp_path / "new.jsonl", keep=["kept"])
    assert (tmp_path / "rows.jsonl").read_bytes() == (tmp_path / "new.jsonl").read_bytes()


def test_a_job_knows_its_folder_and_its_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, out = table(tmp_path / "t.parquet"), tmp_path / "rows.csv"
    (tmp_path / "other").mkdir()
    table(tmp_path / "other" / "t.parquet")
    monkeypatch.chdir(tmp_path)
    go("t.parquet", out)
    monkeypatch.chdir(tmp_path / "other")
    with pytest.raises(FerzooError, match=f"relative names, which count from {tmp_path}: start it there"):
        go("t.parquet", out, resume=True)
    monkeypatch.chdir(tmp_path)
    assert go("t.parquet", out, resume=True).resumed == 2
    small = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    large = pyarrow.struct([("bytes", pyarrow.large_binary()), ("path", pyarrow.large_string())])
    here = str(tmp_path)
    for data, path, kind, folder in (
        (None, "a.png", small, here), (None, "a.png", large, here),
        (png(), "a.png", small, None), (None, "/a", small, None),
    ):  # fmt: skip
        images = pyarrow.array([{"bytes": data, "path": path}], kind)
        parquet.write_table(pyarrow.table({"image": images}), tmp_path / "named.parquet")
        assert open_source(tmp_path / "named.parquet").facts["folder"] == folder
    os.utime(source, (0, 0))
    with pytest.raises(FerzooError, match="the size or date of a table or archive, have changed"):
        go("t.parquet", out, resume=True)


def test_an_empty_archive_leaves_nothing_behind(tmp_path: Path) -> None:
    tarfile.open(tmp_path / "s.tar", "w").close()
    with pytest.raises(DataError, match="There is no image in .*s.tar"):
        go(tmp_path / "s.tar", tmp_path / "rows.csv")
    assert [path.name for path in tmp_path.iterdir()] == ["s.tar"]
