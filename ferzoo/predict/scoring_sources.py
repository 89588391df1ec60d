"""Where the images of a scoring job come from: files, folders, lists, tables and WebDatasets, one after the other."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterator, Sequence

from ..errors import DataError
from .images import expand, is_many, printable
from .scoring_archives import Archive, Table, is_archive, is_table
from .scoring_parts import Files, Item, ListFile, Part

__all__ = ["Place", "Source", "open_source"]

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
        digest = hashlib.sha256(json.dumps([part.facts for part in parts]).encode("utf-8", "surrogateescape"))
        self.facts = {"images": self.total, "sha256": digest.hexdigest()}

    def read(self, place: Place = (0, 0), stop: int | None = None) -> Iterator[Item]:
        """Images from a place on, to the end or to before number `stop` of the same part."""
        first, index = place
        for number in range(first, len(self.parts) if stop is None else first + 1):
            for item in self.parts[number].read(index, stop):
                item.part = number
                yield item
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
        source: One or several of: an image file; a folder, for the files directly in it; a pattern; a list of paths
            (``.txt``); a ``.parquet`` file with a column of images; a WebDataset (``.tar``, ``.tar.gz``, ``.tgz``).
            ``{000..010}`` in a path stands for its numbers.
        keep: Columns of a table, or suffixes of a WebDataset, that go into the result.
        column: The image column of a table, where there is more than one candidate.
        without: Absolute paths of files that a folder or pattern may hold and that are none of its images.

    Raises:
        DataError: If a list, table or archive cannot be read, or lacks a column.
        ImageError: If a folder or pattern holds no file.
    """
    given = [source] if isinstance(source, str | os.PathLike) else list(source)
    parts: list[Part] = []
    loose: list[str] = []

    def close() -> None:
        if loose:
            parts.append(Files(loose.copy()))
            loose.clear()

    for path in (path for one in given for path in _braces(os.fspath(one))):
        listed = path.lower().endswith(".txt") and not is_many(path)
        for name in map(os.fspath, expand(path)):
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
    return Source(parts, keep)


def _braces(path: str) -> list[str]:
    """Paths for the numbers of ``{000..010}``; the path itself where there are none."""
    match = re.search(r"\{(\d+)\.\.(\d+)\}", path)
    if match is None or os.path.lexists(path):
        return [path]
    low, high = match.groups()
    numbers = (str(i).zfill(len(low)) for i in range(int(low), int(high) + 1))
    return [p for number in numbers for p in _braces(path[: match.start()] + number + path[match.end() :])]
