"""What a video file's own structure says of its end: whether it was cut off, and how many frames it shows."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterable, Iterator
from typing import IO

__all__ = ["frames_shown", "is_count_exact", "is_cut_off"]

#: MP4 boxes that hold a video; a camera's own data may follow them, which is no box at all.
_MEDIA = (b"mdat", b"moof")
#: IDs of Matroska's (RFC 9559) two outermost elements.
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"
#: Where an MP4's track has its edit list, its handler, its clock, and the times of its frames.
_EDITS, _HANDLER, _CLOCK = (b"edts", b"elst"), (b"mdia", b"hdlr"), (b"mdia", b"mdhd")
_TIMES, _OFFSETS = (b"mdia", b"minf", b"stbl", b"stts"), (b"mdia", b"minf", b"stbl", b"ctts")


def is_count_exact(head: bytes) -> bool:
    """Whether OpenCV's count is that of the frames to be shown, in a file that begins so (AVI).

    In other formats it is an estimate from the duration, sound included, or counts what an edit leaves out (MP4,
    where `frames_shown` knows better).
    """
    return head[:4] == b"RIFF"


def frames_shown(file: IO[bytes]) -> int | None:
    """How many frames an MP4 or MOV shows by its own tables: those that its edit list does not leave out.

    Args:
        file: The open file.

    Returns:
        The number, without the pauses between edits; None for other formats, and where the tables do not tell: in a
        fragmented file, with several pictures, and with an edit of no length.
    """
    if not file.seekable():
        return None
    size = file.seek(0, os.SEEK_END)
    index = next(_spans(file, (0, size), b"moov"), None)
    if index is None or _inside(file, index, b"mvex"):
        return None
    tracks = _spans(file, index, b"trak")
    pictures = [track for track in tracks if _inside(file, track, *_HANDLER)[8:12] == b"vide"]
    if len(pictures) != 1:
        return None
    (track,) = pictures
    times = _inside(file, track, *_TIMES)
    frames = sum(count for count, _ in _rows(times, ">II"))
    edits = _edits(_inside(file, track, *_EDITS))
    scale, movie = _timescale(_inside(file, track, *_CLOCK)), _timescale(_inside(file, index, b"mvhd"))
    if not edits or not frames:
        return frames or None
    if not scale or not movie or not all(length for length, _ in edits):
        return None
    # Times are those of decoding, an edit's those of showing, later by as much as the first frame is.
    delay = int.from_bytes(_inside(file, track, *_OFFSETS)[12:16], "big")
    spans = [(max(begin - delay, 0), length * scale // movie) for length, begin in edits]
    return sum(_frames_between(_rows(times, ">II"), begin, begin + length) for begin, length in spans)


def is_cut_off(file: IO[bytes]) -> bool:
    """Whether a part of a file ends behind the file's own end; False for formats that do not say.

    Args:
        file: The open file: MP4 and its like, Matroska or WebM.
    """
    if not file.seekable():
        return False
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    head = file.read(12)
    if head[:4] == _EBML:
        return (_segment_end(file) or 0) > size
    return head[4:8] == b"ftyp" and any(end > size for end in _media_ends(file, size))


def _media_ends(file: IO[bytes], size: int) -> Iterator[int]:
    """Where each of the boxes ends that hold the video (ISO/IEC 14496-12, section 4.2)."""
    return (end for kind, _, end in _boxes(file, 0, size) if kind in _MEDIA)


def _boxes(file: IO[bytes], start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The kind of each box between two places, and where its content begins and ends."""
    while start < end:
        file.seek(start)
        head = file.read(16)
        length, least = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, least = int.from_bytes(head[8:], "big"), 16
        if length < least:  # of no size, which goes to the end of the file, or no box
            return
        yield head[4:8], start + least, start + length
        start += length


def _spans(file: IO[bytes], span: tuple[int, int], name: bytes) -> Iterator[tuple[int, int]]:
    """Where the content of each box of a name lies inside another, whose own end no damaged length leads beyond."""
    return ((start, min(end, span[1])) for kind, start, end in _boxes(file, *span) if kind == name)


def _inside(file: IO[bytes], span: tuple[int, int], *path: bytes) -> bytes:
    """The content of the box that a path leads to from inside another; nothing where there is none."""
    for name in path:
        found = next(_spans(file, span, name), None)
        if found is None:
            return b""
        span = found
    file.seek(span[0])
    return file.read(max(span[1] - span[0], 0))


def _rows(content: bytes, form: str) -> Iterator[tuple[int, ...]]:
    """The rows of a table, as many as it states and has, behind version, flags and their number; not what follows."""
    stated, there = int.from_bytes(content[4:8], "big"), max(len(content) - 8, 0) // struct.calcsize(form)
    return struct.iter_unpack(form, memoryview(content)[8 : 8 + min(stated, there) * struct.calcsize(form)])


def _timescale(content: bytes) -> int:
    """Units a second of a header of times (mvhd, mdhd), whose version 1 has longer ones."""
    at = 20 if content[:1] == b"\1" else 12
    return int.from_bytes(content[at : at + 4], "big")


def _edits(content: bytes) -> list[tuple[int, int]]:
    """Length, in the movie's units, and begin, in the track's, of what an edit list shows; not of the pauses."""
    form = ">Qqi" if content[:1] == b"\1" else ">Iii"
    return [(length, begin) for length, begin, _ in _rows(content, form) if begin >= 0]


def _frames_between(times: Iterable[tuple[int, ...]], begin: int, end: int) -> int:
    """How many of the frames, given as numbers of frames with one step between them, begin in a time."""
    now = shown = 0
    for count, step in times:
        before = [min(max(-(-(place - now) // max(step, 1)), 0), count) for place in (begin, end)]
        shown += before[1] - before[0]
        now += count * step
    return shown


def _segment_end(file: IO[bytes]) -> int | None:
    """Where the segment of a Matroska file ends, or None where it does not say."""
    file.seek(4)
    length = _number(file)
    if length is None:
        return None
    file.seek(length, os.SEEK_CUR)
    if file.read(4) != _SEGMENT:
        return None
    length = _number(file)
    return None if length is None else file.tell() + length


def _number(file: IO[bytes]) -> int | None:
    """An EBML number (RFC 8794, section 4), whose leading zero bits say how many bytes follow.

    None where it is none, or all ones, which means unknown.
    """
    first = file.read(1)
    if not first or not first[0]:
        return None
    count = 9 - first[0].bit_length()
    rest = file.read(count - 1)
    ones = (1 << 7 * count) - 1
    value = int.from_bytes(first + rest, "big") & ones
    return None if len(rest) < count - 1 or value == ones else value
