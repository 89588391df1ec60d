"""How many frames an MP4 shows by its own tables, and what is said of one that gives fewer."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import pytest
from video_clips import append, trim, walk, write_clip, zero_the_tail

from ferzoo.predict.video_container import frames_shown
from ferzoo.predict.video_source import open_source


@pytest.mark.parametrize("damaged", [False, True])
@pytest.mark.parametrize(
    "edits", [[(0, 40)], [(0, 18)], [(20, 20)], [(0, 9), (10, 9)], [(0, 12), (0, 12)], [(20, 20), (0, 20)]]
)
def test_an_mp4_shows_what_its_edit_list_says(tmp_path: Path, edits: list[tuple[int, int]], damaged: bool) -> None:
    path = write_clip(tmp_path / "clip.mp4", walk(40))
    trim(path, *edits)
    frames = sum(number for _, number in edits)
    if damaged:
        zero_the_tail(path)
    source = open_source(path, None)
    read = len(list(source))
    assert source.note is None
    with path.open("rb") as file:
        assert frames_shown(file) == frames
    if damaged and any(start + number == 40 for start, number in edits):
        assert read < frames and f"is damaged: {read} of {frames} frames could be read" in str(source.problem)
    else:
        assert (read, source.problem) == (frames, None)


@pytest.mark.parametrize(("name", "shown"), [(b"moov", None), (b"hdlr", None), (b"elst", 3)])
def test_a_length_of_an_mp4s_table_that_cannot_be(tmp_path: Path, name: bytes, shown: int | None) -> None:
    data = bytearray(write_clip(tmp_path / "clip.mp4", walk(3)).read_bytes())
    at = data.index(name)
    data[at - 4 : at + 12] = b"\0\0\0\1" + name + b"\xff" * 8
    assert frames_shown(io.BytesIO(data)) == shown


@pytest.mark.parametrize(
    ("boxes", "row", "edited"),
    [
        ("moov trak mdia minf stbl stts", struct.pack(">II", 50, 512), False),
        ("moov trak edts elst", struct.pack(">Iii", 400, 0, 1 << 16), True),
    ],
)
def test_a_table_has_as_many_rows_as_it_states(tmp_path: Path, boxes: str, row: bytes, edited: bool) -> None:
    data = bytearray(write_clip(tmp_path / "clip.mp4", walk(10)).read_bytes())
    if not edited:
        data = data.replace(b"edts", b"free")
    more = data.index(boxes.split()[-1].encode()) + 8
    stated_alone = bytearray(data)
    stated_alone[more : more + 4] = b"\xff" * 4
    append(data, boxes, row)
    assert [frames_shown(io.BytesIO(each)) for each in (data, stated_alone)] == [10, 10]


def edited(path: Path, content: bytes) -> io.BytesIO:
    """A clip of 40 frames whose edit list is this one, its version and number of rows included."""
    data = bytearray(write_clip(path, walk(40)).read_bytes())
    edits = data.index(b"edts") - 4
    size = struct.unpack_from(">I", data, edits)[0]
    struct.pack_into(">I4s", data, edits, size, b"free")
    append(data, "moov trak", struct.pack(">I4sI4s", 16 + len(content), b"edts", 8 + len(content), b"elst") + content)
    return io.BytesIO(data)


@pytest.mark.parametrize(
    ("version", "rows", "shown"),
    [
        (0, [(400, 0)], 10),  # thousandths of a second, in which a frame takes 40
        (1, [(400, 0)], 10),
        (1, [(400, 0), (800, 0)], 30),
        (0, [(2000, -1), (400, 0)], 10),  # a pause of two seconds before it begins
        (0, [(400, 0), (0, 0)], None),  # "to the end", which fragmented files alone may say
    ],
)
def test_the_ways_to_write_an_edit_list(
    tmp_path: Path, version: int, rows: list[tuple[int, int]], shown: int | None
) -> None:
    form = (">Iii", ">Qqi")[version]
    table = b"".join(struct.pack(form, *row, 1 << 16) for row in rows)
    assert frames_shown(edited(tmp_path / "clip.mp4", struct.pack(">II", version << 24, len(rows)) + table)) == shown
