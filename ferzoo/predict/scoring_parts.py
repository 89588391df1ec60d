"""Parts of a source: images in an order that never changes, none of them decoded yet."""

from __future__ import annotations

import hashlib
import io
import os
from array import array
from codecs import BOM_UTF8
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from PIL import Image

from ..errors import DataError, ImageError
from .images import decode, open_image, printable

__all__ = ["IMAGES", "Files", "Item", "ListFile", "Part", "stamp"]

#: Suffixes of images, in folders and WebDatasets.
IMAGES = tuple("jpg jpeg jpe jfif mpo png webp bmp gif tif tiff ppm pgm pbm pnm avif jp2 j2k heic heif".split())
#: Lines of a list between two whose place in the file is kept.
STRIDE = 1000


@dataclass
class Item:
    """One image of a source, not decoded yet.

    Attributes:
        index: Its number in its part.
        name: Its path, or that of what holds it and its name there.
        data: The encoded image; None where `name` is a file's path.
        kept: Values of the columns that go into the result.
        problem: Why there is no image, the rest of a sentence.
        part: Number of its part.
    """

    index: int
    name: str
    data: bytes | None = None
    kept: dict[str, Any] = field(default_factory=dict)
    problem: str | None = None
    part: int = 0

    def picture(self) -> Image.Image:
        """Decode it to a picture in RGB, upright.

        Raises:
            ImageError: If it is missing or no image; names it.
        """
        if self.problem is not None:
            raise ImageError(f"{printable(self.name)}: {self.problem}.")
        if self.data is None:
            return open_image(self.name)
        if not self.data:
            raise ImageError(f"{printable(self.name)}: is empty (0 bytes).")
        return decode(io.BytesIO(self.data), printable(self.name))


def stamp(path: str) -> tuple[int, int]:
    """Size in bytes, and when it was changed, in seconds."""
    status = os.stat(path)
    return status.st_size, int(status.st_mtime)


class Part(Protocol):
    """Images in their order, from one file or folder."""

    @property
    def count(self) -> int | None:
        """How many there are, None where that is not known before the end."""
        ...

    @property
    def facts(self) -> list[Any]:
        """What tells this part from another, for JSON."""
        ...

    @property
    def relative(self) -> bool:
        """Whether its names mean other files in another folder."""
        ...

    @property
    def kinds(self) -> dict[str, Any]:
        """Arrow types of the columns that are kept, by name; None for text."""
        ...

    def read(self, start: int, stop: int | None) -> Iterator[Item]:
        """Images `start` to before `stop`, or to the end."""
        ...


class Files:
    """Image files."""

    def __init__(self, names: Sequence[str]) -> None:
        """Keep the paths; none of the files is opened yet."""
        self._names, self.count, self.kinds = names, len(names), dict[str, Any]()
        digest = hashlib.sha256()
        for name in names:
            digest.update(os.fsencode(name) + b"\0")
        self.facts = ["files", len(names), digest.hexdigest()]
        self.relative = not all(map(os.path.isabs, names))

    def read(self, start: int, stop: int | None) -> Iterator[Item]:
        """As in `Part`."""
        return (Item(i, self._names[i]) for i in range(start, self.count if stop is None else stop))


class ListFile:
    """A text file with one path a line; empty lines do not count, nor does a byte order mark."""

    def __init__(self, path: str) -> None:
        """Count the lines.

        Raises:
            DataError: If the file cannot be read.
        """
        self.path, self.kinds, self.relative = path, dict[str, Any](), not os.path.isabs(path)
        digest, count, self._marks = hashlib.sha256(), 0, array("Q")
        try:
            with open(path, "rb") as file:
                place = file.seek(len(BOM_UTF8) if file.read(len(BOM_UTF8)) == BOM_UTF8 else 0)
                for line in file:
                    digest.update(line)
                    if line.strip():
                        self.relative = self.relative or not os.path.isabs(line)
                        if count % STRIDE == 0:
                            self._marks.append(place)
                        count += 1
                    place += len(line)
        except OSError as error:
            raise DataError(f"The list {printable(path)} cannot be read: {error.strerror}.") from error
        self.count, self.facts = count, ["list", path, count, digest.hexdigest()]

    def read(self, start: int, stop: int | None) -> Iterator[Item]:
        """As in `Part`."""
        stop = self.count if stop is None else stop
        if start >= stop:
            return
        with open(self.path, "rb") as file:
            file.seek(self._marks[start // STRIDE])
            index = start - start % STRIDE
            for line in file:
                if not line.strip():
                    continue
                if index >= start:
                    yield Item(index, os.fsdecode(line.rstrip(b"\r\n")))
                index += 1
                if index >= stop:
                    return
