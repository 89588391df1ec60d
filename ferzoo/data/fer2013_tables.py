"""The images of FER-2013 where they lie in a table: Kaggle's csv, and parquet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ..errors import DataError, MissingExtraError
from .dataset import Query
from .layouts import csv_rows, find_below
from .lazy_images import decode

__all__ = [
    "CSV_NAMES",
    "SIDE",
    "USAGE",
    "decode_pixels",
    "decode_stored",
    "find_csv",
    "parquet_path",
    "parquet_rows",
    "stacked",
]

SIDE = 48
#: What the Usage column calls each split.
USAGE = {"train": "Training", "validation": "PublicTest", "test": "PrivateTest"}
CSV_NAMES = ("fer2013.csv", "icml_face_data.csv")


def find_csv(folder: Path) -> Path | None:
    """Kaggle's table in a folder or its sub-folders, None where there is none."""
    return find_below(folder, CSV_NAMES)


def csv_images(path: Path) -> Iterator[tuple[int, str, str, str]]:
    """Line number, emotion, pixels and usage of every row.

    Raises:
        DataError: If a column is missing or a usage unknown.
    """
    for line, (emotion, pixels, usage) in csv_rows(path, ("emotion", "pixels", "Usage")):
        usage = usage.strip()
        if usage not in USAGE.values():
            raise DataError(f"{path}, line {line}: Usage is {usage!r}, expected {', '.join(USAGE.values())}.")
        yield line, emotion, pixels, usage


def decode_pixels(query: Query, text: str, where: str) -> np.ndarray | None:
    """An image from the numbers of the column `pixels`.

    Args:
        query: What was asked.
        text: 2304 numbers from 0 to 255, separated by spaces.
        where: File and line.

    Returns:
        uint8 (48, 48); None where it is damaged and left out.

    Raises:
        DataError: If it is damaged and not left out.
    """
    try:
        data = bytes(map(int, text.split()))
    except ValueError:
        query.broken(where, "has pixels that are no numbers from 0 to 255.")
        return None
    if len(data) != SIDE * SIDE:
        query.broken(where, f"has {len(data)} pixels, {SIDE}x{SIDE} make {SIDE * SIDE}.")
        return None
    return np.frombuffer(data, np.uint8).reshape(SIDE, SIDE)


def decode_stored(query: Query, value: Any, where: str) -> np.ndarray | None:
    """An image from a parquet file's column, as `decode_pixels` gives it.

    Args:
        query: What was asked.
        value: The encoded image, bare or as Hugging Face stores images, under ``"bytes"``; None where there is none.
        where: File and row.

    Raises:
        DataError: Also if the column holds something else.
    """
    data = value["bytes"] if isinstance(value, Mapping) and "bytes" in value else value
    if data is None:
        query.broken(where, "is missing: the table has none there.")
        return None
    if not isinstance(data, bytes):
        raise DataError(
            f"{where} is no image: the column must hold encoded images, as bytes or as {{bytes, path}}; got "
            f"{value!r:.60}."
        )
    try:
        image = decode(data, where)
    except DataError as error:
        query.broken(where, f"cannot be decoded: {error.__cause__}.")
        return None
    if image.shape[:2] != (SIDE, SIDE):
        query.broken(where, f"is {image.shape[1]}x{image.shape[0]} pixels, FER-2013's images are {SIDE}x{SIDE}.")
        return None
    # Some copies hold the grey images as RGB, as WebP always does.
    return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))


def stacked(images: Sequence[np.ndarray]) -> np.ndarray:
    """Images (N, 48, 48), also where there is none."""
    return np.stack(images) if images else np.empty((0, SIDE, SIDE), np.uint8)


def parquet_path(folder: Path, split: str) -> Path | None:
    """The parquet file of a split where the folder holds parquet at all, which need not exist."""
    names = chain.from_iterable(folder.glob(f"{name}.parquet") for name in USAGE)
    return folder / f"{split}.parquet" if any(names) else None


def parquet_rows(path: Path, columns: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of a parquet file.

    Args:
        path: The file.
        columns: Columns to read.

    Raises:
        DataError: If it is missing, cannot be read or lacks a column.
        MissingExtraError: Without pyarrow.
    """
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError("Reading parquet", "train") from None
    if not path.is_file():
        here = ", ".join(sorted(p.name for p in path.parent.glob("*.parquet"))) or "no parquet file"
        raise DataError(
            f"{path} is missing: give the folder that holds train.parquet and validation.parquet; it holds {here}."
        )
    try:
        file = parquet.ParquetFile(path)
        lacking = [name for name in columns if name not in file.schema_arrow.names]
        if lacking:
            raise DataError(
                f"{path} cannot be read with the columns {' and '.join(columns)}: it has "
                f"{', '.join(file.schema_arrow.names)}."
            )
        return file.read(columns=list(columns)).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read with the columns {' and '.join(columns)}: {error}") from error
