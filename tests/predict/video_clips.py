"""Clips: coloured squares with a detector that finds them, a photograph's face that moves, MP4 surgery."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

ASTRONAUT = Path(__file__).parents[2] / "docs" / "images" / "astronaut.jpg"
RED, GREEN, BLUE = (220, 30, 30), (30, 220, 30), (30, 30, 220)
SIDE = 24


def scene(*squares: tuple[tuple[int, int, int], int, int], size: tuple[int, int] = (80, 200)) -> np.ndarray:
    """Grey with squares of a colour at x, y."""
    rgb = np.full((*size, 3), 90, np.uint8)
    for colour, x, y in squares:
        rgb[y : y + SIDE, x : x + SIDE] = colour
    return rgb


def find_squares(rgb: np.ndarray) -> list[tuple[int, int, int, int]]:
    """The box of what is red, green and blue, in this order; there may be none of a colour."""
    boxes = []
    for channel in range(3):
        others = np.delete(rgb, channel, 2).max(2).astype(int)
        rows, columns = np.nonzero(rgb[:, :, channel] - others > 60)
        if len(rows):
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
    return boxes


def walk(count: int) -> list[np.ndarray]:
    """A red square goes right and a blue one left, 3 px a frame."""
    return [scene((RED, 10 + 3 * i, 5), (BLUE, 160 - 3 * i, 45)) for i in range(count)]


def portrait(count: int) -> list[np.ndarray]:
    """The astronaut's face goes right, 4 px a frame."""
    face = np.asarray(Image.open(ASTRONAUT).convert("RGB").crop((150, 40, 310, 240)).resize((96, 120)))
    frames = []
    for i in range(count):
        frames.append(np.full((140, 240, 3), 90, np.uint8))
        frames[-1][10:130, 10 + 4 * i : 106 + 4 * i] = face
    return frames


def write_clip(path: Path, frames: Iterable[np.ndarray], fps: float = 25) -> Path:
    """Write frames by OpenCV; skips the test where it cannot."""
    cv2: Any = pytest.importorskip("cv2", reason="comes with the extra faces")
    code = {".avi": "MJPG", ".mkv": "MJPG", ".mp4": "mp4v"}[path.suffix]
    writer: Any = None
    for rgb in frames:
        if writer is None:
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*code), fps, rgb.shape[1::-1])
            if not writer.isOpened():
                pytest.skip(f"this OpenCV cannot write {code}")
        writer.write(np.ascontiguousarray(rgb[:, :, ::-1]))
    writer.release()
    return path


def quarter_turn(path: Path) -> None:
    """Write into an MP4 that it is to be shown turned by 90 degrees clockwise, as phones do."""
    data = bytearray(path.read_bytes())
    # ISO 14496-12, 8.3.2: version 0 has 40 bytes between the name and the matrix.
    at = data.index(b"tkhd") + 4 + 40
    height = struct.unpack_from(">I", data, at + 40)[0]
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, height, 0, 1 << 30)
    path.write_bytes(data)


def slow_down(path: Path, fast: int, factor: int) -> None:
    """Let the frames of an MP4 after the first `fast` last longer by a factor."""
    data = bytearray(path.read_bytes())
    at = data.index(b"stts")
    entries, count, step = struct.unpack_from(">III", data, at + 8)
    assert entries == 1
    struct.pack_into(">III", data, at + 8, 2, fast, step)
    append(data, "moov trak mdia minf stbl stts", struct.pack(">II", count - fast, step * factor))
    # The edit list ends where the movie did.
    edit = data.index(b"edts")
    data[edit : edit + 4] = b"free"
    path.write_bytes(data)


def append(data: bytearray, boxes: str, content: bytes) -> None:
    """Put bytes behind the content of an MP4's box, whose name follows those of the boxes around it."""
    places = [data.index(name.encode()) - 4 for name in boxes.split()]
    sizes = [struct.unpack_from(">I", data, place)[0] for place in places]
    assert data.index(b"mdat") < places[0]  # the places of the frames stay
    for place, size in zip(places, sizes, strict=True):
        struct.pack_into(">I", data, place, size + len(content))
    end = places[-1] + sizes[-1]
    data[end:end] = content


def trim(path: Path, *edits: tuple[int, int]) -> None:
    """Write into an MP4 of 25 frames a second which frames its edits are to show: the first and how many of each."""
    data = bytearray(path.read_bytes())
    scales = [struct.unpack_from(">I", data, data.index(name) + 16)[0] for name in (b"mvhd", b"mdhd")]
    at = data.index(b"elst")
    assert struct.unpack_from(">II", data, at + 4) == (0, 1)
    begin = struct.unpack_from(">I", data, at + 16)[0]
    rows = [(frames * scales[0] // 25, begin + start * scales[1] // 25, 1 << 16) for start, frames in edits]
    struct.pack_into(">4I", data, at + 8, len(rows), *rows[0])
    append(data, "moov trak edts elst", b"".join(struct.pack(">3I", *row) for row in rows[1:]))
    path.write_bytes(data)


def zero_the_tail(path: Path) -> None:
    """Let the last 40 % of an MP4's video be zeros, as where a download stopped that had its space already."""
    data = bytearray(path.read_bytes())
    at = data.index(b"mdat")
    end = at - 4 + struct.unpack_from(">I", data, at - 4)[0]
    begin = end - (end - at) * 2 // 5
    data[begin:end] = bytes(end - begin)
    path.write_bytes(data)
