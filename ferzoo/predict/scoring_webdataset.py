"""Images that are the samples of a WebDataset."""

from __future__ import annotations

import os
import posixpath
import re
import tarfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import DataError, first_line
from .images import printable
from .scoring_parts import IMAGES, Item, stamp

__all__ = ["Archive", "is_archive"]

#: Most bytes of a member that is read: an image thread holds a few.
MAX_BYTES = 1 << 28
_DAMAGE = (tarfile.TarError, OSError, EOFError, zlib.error)


def is_archive(path: str) -> bool:
    """Whether a path names a WebDataset."""
    return path.lower().endswith((".tar", ".tar.gz", ".tgz"))


class _Blocks:
    """An open file that remembers what was read last, and reads nothing that is too large for the memory."""

    def __init__(self, file: Any) -> None:
        self.last = b""
        self.file = file

    def read(self, size: int = -1) -> bytes:
        if size > MAX_BYTES:  # members are looked at before, so it is the header of one
            raise tarfile.ReadError(f"a header in it has {size:,} bytes")
        self.last = self.file.read(size)
        return self.last

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


class _Tar(tarfile.TarFile):
    fileobj: Any

    def __init__(self, name: Any = None, mode: Any = "r", fileobj: Any = None, **options: Any) -> None:
        super().__init__(name, mode, _Blocks(fileobj), **options)

    def forward(self) -> Iterator[tarfile.TarInfo]:
        """The members, none of which is remembered: that would grow with the file."""
        if self.firstmember is None:  # type: ignore[attr-defined]  # empty: Python 3.10 seeks to before its beginning
            return
        while (member := self.next()) is not None:
            self.members.clear()  # type: ignore[attr-defined]
            yield member


class _Member(NamedTuple):
    """A file in an archive; what is not wanted, or has a problem, has no data."""

    name: str
    suffix: str
    data: bytes
    problem: str | None


class _Links:
    """What the links of an archive lead to, found in a second reading of its headers; a compressed one has no such."""

    def __init__(self, path: str, compressed: bool) -> None:
        self._path, self._compressed = path, compressed

    @cached_property
    def _places(self) -> dict[str, tuple[int, int] | str | None]:
        """By name where the data begin and how long they are, or a link's target; None where that is not clear."""
        found: dict[str, tuple[int, int] | str | None] = {}
        # The reading that comes upon damage says so.
        with suppress(*_DAMAGE), open(self._path, "rb") as file, _Tar.open(fileobj=file, mode="r:") as tar:
            for member in tar.forward():
                name = posixpath.normpath(member.name)
                plain = (member.offset_data, member.size) if member.isreg() and not member.issparse() else None
                found[name] = None if name in found else _target(member) if _is_link(member) else plain
        return found

    def read(self, member: tarfile.TarInfo) -> tuple[bytes, str | None]:
        """The data that a link leads to, and what is wrong with it."""
        target, seen = _target(member), set[str]()
        what = f"is a link to {printable(target)}"
        if self._compressed:
            return b"", f"{what}, and a compressed archive is read forward alone: pack it without compression"
        while isinstance(place := self._places.get(target), str) and target not in seen:
            seen.add(target)
            target = place
        if not isinstance(place, tuple):
            return b"", f"{what}, and the archive has no file of that name, or more than one"
        start, size = place
        if size > MAX_BYTES:
            return b"", _too_large(size)
        with open(self._path, "rb") as file:
            file.seek(start)
            return file.read(size), None


def _is_link(member: tarfile.TarInfo) -> bool:
    return member.islnk() or member.issym()


def _target(link: tarfile.TarInfo) -> str:
    """The name that a link leads to; a symbolic one counts from its own folder."""
    folder = posixpath.dirname(link.name) if link.issym() else ""
    return posixpath.normpath(posixpath.join(folder, link.linkname))


def _too_large(size: int) -> str:
    return f"has {size:,} bytes, more than the {MAX_BYTES:,} that a member of an archive may have"


def _is_image(suffix: str) -> bool:
    return suffix.rpartition(".")[2] in IMAGES


class Archive:
    """A WebDataset: members of a tar file that follow each other and differ in suffix alone are one sample."""

    count: int | None = None

    def __init__(self, path: str, keep: Sequence[str]) -> None:
        """Keep the path.

        Raises:
            DataError: If there is no such file.
        """
        if not Path(path).is_file():
            raise DataError(f"{printable(path)}: there is no such file.")
        self.path, self._keep, self.kinds = path, tuple(keep), dict[str, Any].fromkeys(keep)
        self._kept = {name.lower() for name in keep}  # suffixes are told apart without their case
        self.facts, self.relative = ["archive", path, *stamp(path)], not os.path.isabs(path)

    def read(self, start: int, stop: int | None) -> Iterator[Item]:
        """As in `Part`; one sample is in memory."""
        index = 0
        opened = False
        try:
            # Read forward, never back: that is what a pipe of compressed bytes needs.
            with open(self.path, "rb") as file, _Tar.open(fileobj=file, mode="r:*") as tar:
                opened = True
                links = _Links(self.path, compressed=tar.fileobj.file is not file)
                sample: list[_Member] = []
                key = None
                for member in tar.forward():
                    match = re.fullmatch(r"((?:.*/)?[^./][^./]*)\.([^/]+)", member.name, re.DOTALL)
                    if match is None:
                        continue
                    suffix = match[2].lower()
                    wanted = _is_image(suffix) or suffix in self._kept
                    # A symbolic link may be to a folder, or to nothing.
                    if not (member.isreg() or member.islnk() or (member.issym() and wanted)):
                        continue
                    # The same name once more is another sample: what was appended to the file is no less there.
                    if sample and (match[1] != key or suffix in (one.suffix for one in sample)):
                        yield from self._item(index, start, stop, sample)
                        index, sample = index + 1, []
                    key = match[1]
                    data, problem = _read(tar, member, links) if wanted and index >= start else (b"", None)
                    sample.append(_Member(member.name, suffix, data, problem))
                if tar.fileobj.last != bytes(tarfile.BLOCKSIZE):  # tarfile takes a broken header for the end
                    raise tarfile.ReadError("it is cut off, or a header in it is broken")
                if sample:
                    yield from self._item(index, start, stop, sample)
        except _DAMAGE as error:
            what = first_line(error) if opened else "it is no tar file, or is empty or damaged"
            raise DataError(
                f"{printable(self.path)} cannot be read after {index} samples: {what}. Get an undamaged copy, or leave "
                "it out."
            ) from error

    def _item(self, index: int, start: int, stop: int | None, sample: list[_Member]) -> Iterator[Item]:
        if index < start or (stop is not None and index >= stop):
            return
        texts = {one.suffix: one.data.decode("utf-8", "replace").strip() for one in sample if one.suffix in self._kept}
        kept = {name: texts.get(name.lower()) for name in self._keep}
        image = next((one for one in sample if _is_image(one.suffix)), None)
        bad = next((one for one in sample if one.problem and (one is image or one.suffix in self._kept)), None)
        problem = None
        if bad:
            problem = bad.problem
        elif image is None:
            problem = f"is of a sample without an image: it has {printable(', '.join(one.suffix for one in sample))}"
        named = bad or image or sample[0]
        yield Item(index, f"{self.path}/{named.name}", None if problem else named.data, kept, problem)


def _read(tar: _Tar, member: tarfile.TarInfo, links: _Links) -> tuple[bytes, str | None]:
    """The data of a member, and what is wrong with it."""
    if _is_link(member):
        return links.read(member)
    if member.size > MAX_BYTES:
        return b"", _too_large(member.size)
    file = tar.extractfile(member)
    return file.read() if file else b"", None
