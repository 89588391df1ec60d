"""What a data set is, what is asked of its reader, and what the reader finds."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np

from ..errors import DataError, DataWarning
from .faces import Faces
from .lazy_images import LazyImages

__all__ = ["Dataset", "Found", "Query", "first_few", "warn"]


@dataclass(frozen=True)
class Dataset:
    """A data set and its reader.

    Attributes:
        name: The name to ask for.
        title: Its name in the literature.
        summary: What it is, one line.
        labels: Class names in the order of the class indices; none where the folders name them.
        counts: Number of faces of each split, as published or as the published ones are divided; none where any
            split may exist.
        layouts: The accepted layouts: what each is, and its tree.
        obtain: Where it comes from, in words.
        citation: The paper to cite.
        terms: Under which terms it may be used.
        read: The reader.
        notes: What else a user has to know.
    """

    name: str
    title: str
    summary: str
    labels: tuple[str, ...]
    counts: Mapping[str, int]
    layouts: Mapping[str, str]
    obtain: str
    citation: str
    terms: str
    read: Callable[[Query], Found]
    notes: str = ""


@dataclass(frozen=True)
class Query:
    """What a reader is asked.

    Attributes:
        dataset: The data set.
        folder: Where it lies.
        split: Which part of it.
        soft: Whether targets are distributions where the data set has them.
        strict: Whether a lacking image is an error, not a warning.
        skip_damaged: Whether images that cannot be decoded are left out.
        class_names: Classes of an image folder in order, None for those of the folders.
        columns: Image and label column of a Hugging Face data set, None to find them.
        damaged: Names of images that were left out while reading; the reader adds to it.
    """

    dataset: Dataset
    folder: Path
    split: str
    soft: bool = True
    strict: bool = True
    skip_damaged: bool = False
    class_names: tuple[str, ...] | None = None
    columns: tuple[str, str] | None = None
    damaged: list[str] = field(default_factory=list)

    def not_found(self, looked_for: str) -> NoReturn:
        """Raise that the folder holds no known layout.

        Args:
            looked_for: What was looked for and is not there, the end of a sentence.

        Raises:
            DataError: Always; it names the known layouts.
        """
        layouts = "; ".join(self.dataset.layouts).rstrip(".")
        raise DataError(
            f"{self.dataset.title}, split {self.split}, was not found in {self.folder}: {looked_for}. "
            f"Known layouts: {layouts}."
        )

    def lacking(self, missing: Sequence[str], total: int, where: str) -> None:
        """Report files that a list names and that do not exist.

        Args:
            missing: Their names.
            total: Number of files that the list names.
            where: Where they were looked for.

        Raises:
            DataError: If any is missing and the query is strict.
        """
        if not missing:
            return
        message = (
            f"{self.dataset.title}, split {self.split}: {len(missing)} of {total} listed files are not in {where}: "
            f"{first_few(missing)}."
        )
        if self.strict:
            raise DataError(f"{message} Complete the copy, or read what is there with strict=False.")
        warn(f"{message} They are left out.")

    def broken(self, name: str, why: str) -> None:
        """Report an image that is stored inside a table and cannot be decoded.

        Args:
            name: The table and the row.
            why: What is wrong, the rest of the sentence.

        Raises:
            DataError: Unless damaged images are left out.
        """
        if not self.skip_damaged:
            raise DataError(f"{name} {why} Get an undamaged copy, or leave damaged images out with skip_damaged=True.")
        self.damaged.append(name)


@dataclass(frozen=True)
class Found:
    """What a reader found.

    Attributes:
        images: The images, as in `Faces`.
        labels: int (N,), class indices.
        where: The file or folder that was read.
        targets: float (N, C), None for one-hot labels.
        angles: As in `Faces`.
        groups: As in `Faces`.
        class_names: Class names, None for those of the data set.
        also: Counts other than the published one that this layout is known to have.
    """

    images: np.ndarray | LazyImages
    labels: np.ndarray | Sequence[int]
    where: Path | str
    targets: np.ndarray | None = None
    angles: np.ndarray | None = None
    groups: np.ndarray | None = None
    class_names: tuple[str, ...] | None = None
    also: tuple[int, ...] = ()

    def faces(self, labels: tuple[str, ...]) -> Faces:
        """The same as `Faces`.

        Args:
            labels: Class names, where the reader found none.
        """
        names = labels if self.class_names is None else self.class_names
        indices = np.asarray(self.labels, dtype=np.int64).reshape(-1)
        targets = np.eye(len(names), dtype=np.float32)[indices] if self.targets is None else self.targets
        return Faces(self.images, targets.astype(np.float32), indices, names, self.angles, self.groups)


def first_few(names: Sequence[str], count: int = 3) -> str:
    """The first names, and how many more there are.

    Args:
        names: All names.
        count: How many to give.
    """
    more = f" and {len(names) - count} more" if len(names) > count else ""
    return ", ".join(names[:count]) + more


def warn(message: str) -> None:
    """Warn with a `DataWarning`."""
    warnings.warn(message, DataWarning, stacklevel=2)
