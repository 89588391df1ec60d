"""Sources of a scoring job: each gives its images in order, from any place on, and says what is wrong with it."""

from __future__ import annotations

import gzip
import io
import tarfile
import tracemalloc
from codecs import BOM_UTF8
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ferzoo.errors import DataError, ImageError
from ferzoo.predict import scoring_webdataset
from ferzoo.predict.scoring_parts import STRIDE, Item
from ferzoo.predict.scoring_sources import open_source


def png(value: int) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (2, 2), (value % 256, value // 256, 0)).save(data, "png")
    return data.getvalue()


def value(item: Item) -> int:
    red, green, _ = item.picture().getpixel((0, 0))
    return int(red) + 256 * int(green)


def write_tar(path: Path, members: Sequence[tuple[str, bytes]]) -> Path:
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def write_table(path: Path, rows: int, group: int, kind: str = "struct") -> Path:
    pyarrow = pytest.importorskip("pyarrow", reason="comes with the extra train")
    parquet = pytest.importorskip("pyarrow.parquet")
    images = [{"bytes": png(i), "path": f"{i}.png"} if kind == "struct" else png(i) for i in range(rows)]
    columns = {"image": images, "label": list(range(rows)), "part": [i / 2 for i in range(rows)]}
    parquet.write_table(pyarrow.table(columns), path, row_group_size=group)
    return path


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Any]:
    """Every kind with 150 images, each of which tells its number."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(150):
        (folder / f"{i:03}.png").write_bytes(png(i))
    names = [str(folder / f"{i:03}.png") for i in range(150)]
    (tmp_path / "list.txt").write_text("\n\n".join(names), encoding="utf-8")
    samples = [(f"a/{i:03}.{ext}", data) for i in range(150) for ext, data in (("cls", b"%d\n" % i), ("png", png(i)))]
    write_tar(tmp_path / "shard-00.tar", samples[:140])
    write_tar(tmp_path / "shard-01.tar", samples[140:])
    write_tar(tmp_path / "one.tgz", samples)
    return {
        "folder": folder,
        "pattern": str(folder / "*.png"),
        "files": names,
        "list": tmp_path / "list.txt",
        "shards": str(tmp_path / "shard-{00..01}.tar"),
        "gzip": tmp_path / "one.tgz",
        "mixed": [*names[:10], str(tmp_path / "rest.txt")],
    }


@pytest.mark.parametrize("kind", ["folder", "pattern", "files", "list", "shards", "gzip", "mixed"])
def test_images_come_in_order_from_any_place(sources: dict[str, Any], tmp_path: Path, kind: str) -> None:
    (tmp_path / "rest.txt").write_text("\r\n".join(sources["files"][10:]), encoding="utf-8")
    source = open_source(sources[kind])
    items = list(source.read())
    assert [value(item) for item in items] == list(range(150))
    assert source.total == (None if kind in ("shards", "gzip") else 150)
    for number in (0, 1, 9, 10, 69, 70, 149):
        place = items[number].part, items[number].index
        rest = list(source.read(place))
        assert [(item.part, item.index, item.name) for item in rest] == [
            (item.part, item.index, item.name) for item in items[number:]
        ]
        pieces = source.slices(place, 32)
        joined = [item for part, start, stop in pieces for item in source.parts[part].read(start, stop)]
        assert [item.name for item in joined] == [item.name for item in items[number:]]
    assert list(source.read((items[-1].part, items[-1].index + 1))) == []


@pytest.mark.parametrize("kind", ["struct", "bytes"])
def test_rows_of_a_table(tmp_path: Path, kind: str) -> None:
    path = write_table(tmp_path / "t.parquet", 300, 130, kind)
    source = open_source(path, keep=["label", "part"])
    items = list(source.read())
    assert source.total == 300 and [value(item) for item in items] == list(range(300))
    assert items[7].kept == {"label": 7, "part": 3.5} and items[7].name == f"{path}:7"
    for start, stop in ((0, 1), (63, 65), (129, 131), (130, 260), (299, 300), (250, None)):
        assert [value(item) for item in source.parts[0].read(start, stop)] == list(range(300))[start:stop]
    assert source.slices((0, 5), 120) == [(0, 5, 125), (0, 125, 245), (0, 245, 300)]
    other = open_source(write_table(tmp_path / "u.parquet", 301, 130, kind))
    assert other.facts != source.facts


def test_tables_that_cannot_be_read(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow", reason="comes with the extra train")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "t.parquet"
    parquet.write_table(pyarrow.table({"a": [b"x", None], "b": [png(3), png(4)], "n": [1, 2]}), path)
    with pytest.raises(DataError, match="several columns of bytes .a, b."):
        open_source(path)
    with pytest.raises(DataError, match="no column z: it has a, b, n"):
        open_source(path, column="z")
    with pytest.raises(DataError, match="The column a .* holds bytes"):
        open_source(path, keep=["a"], column="b")
    with pytest.raises(DataError, match="The column n of .* holds int64, not encoded images: .*a list: a text file"):
        open_source(path, column="n")
    assert [value(item) for item in open_source(path, column="b").read()] == [3, 4]
    images = {"coded": pyarrow.array([png(5)]).dictionary_encode(), "paths": pyarrow.array([{"path": "a.png"}])}
    parquet.write_table(pyarrow.table(images), tmp_path / "odd.parquet")
    assert value(next(iter(open_source(tmp_path / "odd.parquet", column="coded").read()))) == 5
    assert next(iter(open_source(tmp_path / "odd.parquet", column="paths").read())).name == "a.png"
    parquet.write_table(pyarrow.table({"paths": ["a.png"]}), tmp_path / "names.parquet")
    with pytest.raises(DataError, match=r"no column of encoded images: it has paths\. Paths are taken from a list"):
        open_source(tmp_path / "names.parquet")
    broken = list(open_source(path, column="a").read())
    for item, said in zip(broken, ("no image of a known format", "holds no image"), strict=True):
        with pytest.raises(ImageError, match=f"t.parquet:{item.index}: .*{said}"):
            item.picture()
    for data in (b"no parquet", b""):
        path.write_bytes(data)
        with pytest.raises(DataError, match="t.parquet cannot be read"):
            open_source(path)
    with pytest.raises(DataError, match="gone.parquet cannot be read"):
        open_source(tmp_path / "gone.parquet")


def test_samples_of_a_webdataset(tmp_path: Path) -> None:
    path = write_tar(
        tmp_path / "s.tar",
        [
            ("a/1.json", b'{"x": 1}'), ("a/1.cls", b"5\n"), ("a/1.seg.png", png(1)), ("b/1.png", png(2)),
            ("2.txt", b"alone"), ("._3.png", b"?"), ("3.PNG", png(3)), ("4.png", b""),
        ],
    )  # fmt: skip
    upper = [item.kept for item in open_source(path, keep=["CLS"]).read()]
    assert upper[:2] == [{"CLS": "5"}, {"CLS": None}]
    with pytest.raises(DataError, match=r"There is no table in .*s\.tar: leave out the column png"):
        open_source(path, column="png")
    items = list(open_source(path, keep=["cls", "json"]).read())
    assert [item.name for item in items] == [
        f"{path}/{n}" for n in ("a/1.seg.png", "b/1.png", "2.txt", "3.PNG", "4.png")
    ]
    assert [value(items[i]) for i in (0, 1, 3)] == [1, 2, 3]
    assert items[0].kept == {"cls": "5", "json": '{"x": 1}'} and items[1].kept == {"cls": None, "json": None}
    with pytest.raises(ImageError, match="sample without an image: it has txt"):
        items[2].picture()
    with pytest.raises(ImageError, match="is empty"):
        items[4].picture()


@pytest.mark.parametrize("name", ["s.tar", "s.tgz"])
def test_a_damaged_archive_is_an_error(tmp_path: Path, name: str) -> None:
    rng = np.random.default_rng(0)
    path = write_tar(tmp_path / name, [(f"{i}.png", rng.bytes(5000)) for i in range(9)])
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(DataError, match=f"{name} cannot be read after [23] samples"):
        list(open_source(path).read())
    path.write_bytes(gzip.compress(b"no tar") if name == "s.tgz" else b"no tar")
    with pytest.raises(DataError, match="cannot be read after 0 samples"):
        list(open_source(path).read())
    with pytest.raises(DataError, match="there is no such file"):
        open_source(tmp_path / "gone.tar")


@pytest.mark.parametrize("damage", ["cut between two members", "cut in a header", "a broken header"])
def test_an_archive_that_ends_early_is_an_error(tmp_path: Path, damage: str) -> None:
    path = write_tar(tmp_path / "s.tar", [(f"{i}.png", b"x" * 500) for i in range(6)])
    content = path.read_bytes()
    at = 3 * 1024  # each member is a header and a block
    changed = {
        "cut between two members": content[:at],
        "cut in a header": content[: at + 200],
        "a broken header": content[: at + 150] + b"\xff" * 8 + content[at + 158 :],
    }
    path.write_bytes(changed[damage])
    with pytest.raises(DataError, match=r"s\.tar cannot be read after 2 samples: it is cut off, or a header in it"):
        list(open_source(path).read())


def test_lists(tmp_path: Path) -> None:
    path = tmp_path / "l.txt"
    path.write_bytes(b"".join(b"%d.png\n" % i for i in range(2 * STRIDE + 50)))
    source = open_source(path)
    for start in (0, STRIDE - 1, STRIDE, STRIDE + 1, 2 * STRIDE + 49):
        assert [item.name for item in source.parts[0].read(start, start + 1)] == [f"{start}.png"]
    with pytest.raises(ImageError, match="0.png: there is no such file"):
        next(iter(source.read())).picture()
    for content in (b"\n\n", b"", BOM_UTF8):
        path.write_bytes(content)
        with pytest.raises(DataError, match="There is no image in .*l.txt"):
            open_source(path)
    with pytest.raises(DataError, match="There is no image in an empty list"):
        open_source([])
    with pytest.raises(DataError, match="The list .*gone.txt cannot be read"):
        open_source(tmp_path / "gone.txt")


def test_a_byte_order_mark_is_no_name(tmp_path: Path) -> None:
    (tmp_path / "l.txt").write_bytes(BOM_UTF8 + b"a.png\nb.png\n")
    (part,) = open_source(tmp_path / "l.txt").parts
    assert [[item.name for item in part.read(i, None)] for i in range(2)] == [["a.png", "b.png"], ["b.png"]]


def test_folders_and_open_patterns_hold_images_alone(tmp_path: Path) -> None:
    others = [
        "r.csv",
        "r.csv.progress",
        "q.parquet",
        "q.parquet.rows",
        "q.parquet.progress",
        "l.txt",
        "README",
        "s.json",
    ]
    for name in ("a.jpg", "b.PNG", "c.webp", "s.tar", *others):
        (tmp_path / name).touch()

    def names(source: Any) -> list[str]:
        return [Path(item.name).name for item in open_source(source).read()]

    for source in (tmp_path, str(tmp_path / "*"), str(tmp_path / "**/*"), str(tmp_path / "*.[jJpPwW]*")):
        assert names(source) == ["a.jpg", "b.PNG", "c.webp"]
    assert names(str(tmp_path / "*.webp")) == ["c.webp"]
    # What is named is taken: the archive is empty, and the table is none.
    assert [type(part).__name__ for part in open_source(str(tmp_path / "*.tar")).parts] == ["Archive"]
    with pytest.raises(DataError, match="q.parquet cannot be read"):
        open_source(tmp_path / "q.parquet")
    # The table that a job has written is no source of the next.
    with pytest.raises(DataError, match="There is no image"):
        open_source(str(tmp_path / "*.parquet"))
    (tmp_path / "tables").mkdir()
    (tmp_path / "tables" / "t.parquet").touch()
    with pytest.raises(ImageError, match="no file with the suffix of an image, and 1 others: give a pattern"):
        open_source(tmp_path / "tables")


def test_members_that_are_too_large_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring_webdataset, "MAX_BYTES", 4096)
    members = [("1.cls", b"5"), ("1.png", b"x" * 4097), ("2.cls", b"y" * 5000), ("2.png", png(2)), ("3.png", png(3))]
    path = write_tar(tmp_path / "s.tar", members)
    for keep, refused in (((), [True, False, False]), (("cls",), [True, True, False])):
        items = list(open_source(path, keep=keep).read())
        assert [item.problem is not None for item in items] == refused and not items[0].data
    with pytest.raises(ImageError, match="s.tar/1.png: has 4,097 bytes, more than the 4,096"):
        items[0].picture()
    assert value(items[2]) == 3
    for first, said in (([], "cannot be read after 0 samples"), ([("a.png", png(1))], "a header in it has")):
        long = write_tar(tmp_path / "long.tar", [*first, ("x" * 9000 + ".png", png(1))])
        with pytest.raises(DataError, match=said):
            list(open_source(long).read())


def test_memory_does_not_grow_with_a_source(tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "s.tar", [(f"{i}.png", b"x" * 400) for i in range(1200)])
    (tmp_path / "l.txt").write_text("some/image.png\n" * 20_000)
    for path, count in ((archive, 1200), (tmp_path / "l.txt", 20_000)):
        tracemalloc.start()
        try:
            assert sum(1 for _ in open_source(path).read()) == count
            assert tracemalloc.get_traced_memory()[1] < 400_000
        finally:
            tracemalloc.stop()
