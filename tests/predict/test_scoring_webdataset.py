"""Archives with members that are no plain files, or whose names are odd: none goes missing without a word."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from test_scoring_sources import png, value, write_tar

from ferzoo.errors import DataError, ImageError
from ferzoo.predict import scoring_webdataset
from ferzoo.predict.scoring_sources import open_source


def write(path: Path, *members: tuple[str, bytes | str, bytes]) -> Path:
    """Members: name, data or what a link leads to, and type."""
    with tarfile.open(path, "w:gz" if path.suffix == ".tgz" else "w") as tar:
        for name, content, kind in members:
            info = tarfile.TarInfo(name)
            info.type = kind
            if isinstance(content, str):
                info.linkname = content
                tar.addfile(info)
            else:
                info.size = len(content)
                tar.addfile(info, io.BytesIO(content))
    return path


FILE, HARD, SOFT = tarfile.REGTYPE, tarfile.LNKTYPE, tarfile.SYMTYPE


def test_links_have_the_data_of_their_files(tmp_path: Path) -> None:
    path = write(
        tmp_path / "s.tar",
        ("d/a.png", png(1), FILE),
        ("d/b.png", "d/a.png", HARD),
        ("b.cls", b"7", FILE),
        ("c.png", "d/../e/later.png", SOFT),
        ("c.cls", "b.cls", HARD),
        ("e/f.png", "../c.png", SOFT),
        ("e/later.png", png(2), FILE),
        ("folder.v2", "d", SOFT),
    )
    items = list(open_source(path, keep=["cls"]).read())
    names = ["d/a.png", "d/b.png", "b.cls", "c.png", "e/f.png", "e/later.png"]
    assert [item.name for item in items] == [f"{path}/{name}" for name in names]
    assert [value(item) for item in items if not item.problem] == [1, 1, 2, 2, 2]
    assert [item.kept["cls"] for item in items] == [None, None, "7", "7", None, None]
    # From any place on it is the same.
    for start in range(len(items)):
        assert [item.data for item in open_source(path).read((0, start))] == [item.data for item in items[start:]]


def test_links_that_lead_nowhere_cost_a_row_with_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    links = [
        ("gone.png", "/etc/passwd"),
        ("loop.png", "loop.png"),
        ("out.png", "../../x.png"),
        ("two.png", "twice.png"),
    ]
    path = write(
        tmp_path / "s.tar",
        *(("twice.png", png(i), FILE) for i in range(2)),
        ("large.png", png(1) + bytes(5000), FILE),
        *((name, target, SOFT) for name, target in links),
    )
    items = list(open_source(path).read())
    assert [Path(item.name).name for item in items[3:]] == [name for name, _ in links]
    for item in items[3:]:
        with pytest.raises(ImageError, match=r"s.tar/\w+.png: is a link to \S+, and the archive has no file of that"):
            item.picture()
    monkeypatch.setattr(scoring_webdataset, "MAX_BYTES", 4096)
    path = write(tmp_path / "l.tar", ("a.png", bytes(5000), FILE), ("b.png", "a.png", HARD))
    assert ["has 5,000 bytes" in str(item.problem) for item in open_source(path).read()] == [True, True]
    path = write(tmp_path / "s.tgz", ("a.png", png(1), FILE), ("b.png", "a.png", HARD))
    plain, link = open_source(path).read()
    assert value(plain) == 1
    with pytest.raises(ImageError, match="b.png: is a link to a.png, and a compressed archive is read forward alone"):
        link.picture()


def test_names_with_a_line_break(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", [("a\nb/1.png", png(1)), ("a\nb/2\n.png", png(2)), ("3.x\ny", b"?")])
    items = list(open_source(path).read())
    assert [item.name for item in items] == [f"{path}/{name}" for name in ("a\nb/1.png", "a\nb/2\n.png", "3.x\ny")]
    assert [value(item) for item in items[:2]] == [1, 2] and "\n" not in str(items[2].problem)


def test_a_name_that_comes_twice_is_two_samples(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "s.tar", [("a.png", png(1)), ("a.cls", b"1"), ("a.png", png(2)), ("a.PNG", png(3))])
    items = list(open_source(path, keep=["cls"]).read())
    assert [(value(item), item.kept["cls"]) for item in items] == [(1, "1"), (2, None), (3, None)]


@pytest.mark.parametrize("content", [b"", b"no tar"])
def test_what_is_no_archive(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "s.tar").write_bytes(content)
    with pytest.raises(
        DataError, match=r"cannot be read after 0 samples: it is no tar file, or is empty or damaged\. Get"
    ):
        list(open_source(tmp_path / "s.tar").read())
