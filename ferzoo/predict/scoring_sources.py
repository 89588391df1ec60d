"""Where the images of a scoring job come from: files, folders, lists, tables and WebDatasets, one after the other."""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence

from ..errors import DataError, ImageError
from .images import expand, is_many, printable
from .scoring_parts import IMAGES, Files, Item, ListFile, Part
from .scoring_tables import Table, is_table
from .scoring_webdataset import Archive, is_archive

__all__ = ["Place", "Source", "no_image", "open_source"]

#: Number of a part of the source, and of an image in it.
Place = tuple[int, int]


class Source:
    """Parts one after the other.

    Attributes:
        parts: The parts.
        total: Number of images, None where a part does not know its own.
        kinds: Arrow types of the columns that are kept, one for each part.
        facts: What a resumed job compares.
    """

    def __init__(self, parts: Sequence[Part], keep: Sequence[str]) -> None:
        """Join parts; each has the columns `keep`."""
        self.parts = list(parts)
        counts = [part.count for part in parts]
        self.total = None if None in counts else sum(count or 0 for count in counts)
        self.kinds = {name: [part.kinds[name] for part in parts] for name in keep}
        told = [json.dumps(part.facts).encode("utf-8", "surrogateescape") for part in parts]
        relative = any(part.relative for part in parts)
        self.facts = {
            "images": self.total,
            "sha256": hashlib.sha256(b"[" + b", ".join(told) + b"]").hexdigest(),
            "parts": [hashlib.sha256(one).hexdigest()[:16] for one in told],
            "folder": os.getcwd() if relative else None,
        }

    def part(self, number: int, start: int = 0, stop: int | None = None) -> Iterator[Item]:
        """Images `start` to before `stop` of one part, or to its end."""
        for item in self.parts[number].read(start, stop):
            item.part = number
            yield item

    def read(self, place: Place = (0, 0)) -> Iterator[Item]:
        """Images from a place on."""
        first, index = place
        for number in range(first, len(self.parts)):
            yield from self.part(number, index)
            index = 0

    def slices(self, place: Place, size: int) -> list[tuple[int, int, int | None]]:
        """What lies from a place on, cut into pieces of `size` images at most: part, start and stop.

        A part that does not know its count is one piece, without stop.
        """
        out: list[tuple[int, int, int | None]] = []
        first, index = place
        for number in range(first, len(self.parts)):
            count = self.parts[number].count
            if count is None:
                out.append((number, index, None))
            else:
                out += [(number, start, min(start + size, count)) for start in range(index, count, size)]
            index = 0
        return out


def open_source(
    source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    keep: Sequence[str] = (),
    column: str | None = None,
    without: Collection[str] = (),
) -> Source:
    """Find out what a source is.

    Args:
        source: One or several of: an image file; a folder, for the images directly in it; a pattern; a list of paths
            (``.txt``); a ``.parquet`` file with a column of images; a WebDataset (``.tar``, ``.tar.gz``, ``.tgz``).
            A pattern that ends in a suffix stands for all such files, except the results of other jobs; another one,
            like a folder, for those with the suffix of an image.
            ``{000..010}`` in a path stands for its numbers.
        keep: Columns of a table, or suffixes of a WebDataset, that go into the result.
        column: The image column of a table, where there is more than one candidate.
        without: Absolute paths of files that are none of the source, although a pattern may match them.

    Raises:
        DataError: If a list, table or archive cannot be read, or lacks a column, or there is no image at all.
        ImageError: If a folder or pattern holds no image.
    """
    given = [source] if isinstance(source, str | os.PathLike) else list(source)
    parts: list[Part] = []
    loose: list[str] = []

    def close() -> None:
        if loose:
            parts.append(Files(loose.copy()))
            loose.clear()

    for path in (path for one in given for path in _braces(os.fspath(one))):
        for name in _files(path):
            listed = name.lower().endswith(".txt")
            if os.path.abspath(name) in without:
                continue
            if keep and not (is_table(name) or is_archive(name)):
                raise DataError(f"{printable(name)} has no columns to keep: leave out {', '.join(keep)}.")
            if is_table(name) or is_archive(name) or listed:
                close()
                parts.append(
                    ListFile(name) if listed else Table(name, keep, column) if is_table(name) else Archive(name, keep)
                )
            else:
                loose.append(name)
    close()
    if column and not any(isinstance(part, Table) for part in parts):
        raise DataError(f"There is no table in {', '.join(map(printable, given))}: leave out the column {column}.")
    found = Source(parts, keep)
    if found.total == 0:
        raise no_image(source)
    return found


def no_image(source: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> DataError:
    """The error of a source, as `open_source` takes it, that is empty."""
    given = [source] if isinstance(source, str | os.PathLike) else source
    return DataError(f"There is no image in {', '.join(map(printable, given)) or 'an empty list'}.")


def _files(path: str) -> list[str]:
    """Files that a path stands for."""
    names = [os.fspath(name) for name in expand(path)]
    if not is_many(path):
        return names
    suffix = os.path.splitext(path)[1]
    if suffix and not glob.has_magic(suffix) and not os.path.isdir(path):
        return [name for name in names if not os.path.lexists(f"{name}.progress")]
    images = [name for name in names if os.path.splitext(name)[1][1:].lower() in IMAGES]
    if not images:
        raise ImageError(
            f"{printable(path)} holds no file with the suffix of an image, and {len(names):,} others: give a "
            'pattern that ends in the suffix of what is meant, such as "FOLDER/*.tar".'
        )
    return images


def _braces(path: str) -> list[str]:
    """Paths for the numbers of ``{000..010}``; the path itself where there are none."""
    match = re.search(r"\{(\d+)\.\.(\d+)\}", path)
    if match is None or os.path.lexists(path):
        return [path]
    low, high = match.groups()
    numbers = (str(i).zfill(len(low)) for i in range(int(low), int(high) + 1))
    return [p for number in numbers for p in _braces(path[: match.start()] + number + path[match.end() :])]
