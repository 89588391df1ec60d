"""Whether a video file is shorter than its own structure says, which no count of frames tells as surely."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import IO

__all__ = ["counts_frames", "is_cut_off"]

#: MP4 boxes that hold a video; a camera's own data may follow them, which is no box at all.
_MEDIA = (b"mdat", b"moof")
#: IDs of Matroska's (RFC 9559) two outermost elements.
_EBML, _SEGMENT = b"\x1a\x45\xdf\xa3", b"\x18\x53\x80\x67"


def counts_frames(head: bytes) -> bool:
    """Whether a file that begins so (AVI) says how many frames there are to be shown.

    In other formats OpenCV has an estimate, as Matroska's duration, sound included, or counts what an edit of the
    file leaves out (MP4).
    """
    return head[:4] == b"RIFF"


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
    start = 0
    while start < size:
        file.seek(start)
        head = file.read(16)
        length, least = int.from_bytes(head[:4], "big"), 8
        if length == 1:
            length, least = int.from_bytes(head[8:], "big"), 16
        if length < least:  # of no size, which goes to the end of the file, or no box
            return
        start += length
        if head[4:8] in _MEDIA:
            yield start


def _segment_end(file: IO[bytes]) -> int | None:
    """Where the segment of a Matroska file ends, as far as it says."""
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
