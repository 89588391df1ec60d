"""Images that are decoded when they are asked for, so that a data set need not fit into memory."""

from __future__ import annotations

import copy
import io
import os
import struct
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, TypeVar, overload

import numpy as np
from PIL import Image

from ..errors import DataError
from .processors import usable_cores

__all__ = ["DecodedImages", "ImageFiles", "LazyImages", "decode", "map_images", "sound_images"]

Result = TypeVar("Result")

#: What Pillow raises on a damaged file, depending on the format.
_DAMAGED = (
    OSError,
    ValueError,
    SyntaxError,
    EOFError,
    IndexError,
    KeyError,
    struct.error,
    Image.DecompressionBombError,
)
_GREY = ("1", "L", "LA", "La")


def decode(source: str | Path | bytes | IO[bytes] | Image.Image, name: str) -> np.ndarray:
    """Decode an image as it is stored: EXIF's orientation is ignored, transparency dropped.

    Args:
        source: Path, encoded bytes, open file or PIL image.
        name: What the image is called in an error.

    Returns:
        uint8, grey (H, W) where the image is stored in grey, else RGB (H, W, 3).

    Raises:
        DataError: If it is missing or cannot be decoded.
    """
    try:
        image = source if isinstance(source, Image.Image) else Image.open(_openable(source))
        if image.mode.startswith("I;16"):
            return (np.asarray(image) >> 8).astype(np.uint8)
        if image.mode in ("I", "F"):
            raise ValueError(f"its pixels are 32-bit numbers (mode {image.mode})")
        mode = "L" if image.mode in _GREY else "RGB"
        image.load()
        return np.asarray(image if image.mode == mode else image.convert(mode))
    except FileNotFoundError as error:
        raise DataError(f"{name} is missing: it was there when the data set was read.") from error
    except _DAMAGED as error:
        raise DataError(
            f"{name} cannot be decoded: {error}. Put an undamaged copy in its place, or leave damaged images out with "
            "skip_damaged=True."
        ) from error


def _openable(source: str | Path | bytes | IO[bytes]) -> Any:
    return io.BytesIO(source) if isinstance(source, bytes) else source


class LazyImages:
    """A sequence of images, each decoded when it is asked for by its index.

    A slice, an index array or a mask gives the chosen images, as with a numpy array, and decodes nothing.

    Attributes:
        threads: How many threads may decode at once.
    """

    threads = 1

    def __init__(self, count: int) -> None:
        """Number the images.

        Args:
            count: How many there are.
        """
        self._rows = np.arange(count)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> np.ndarray: ...

    @overload
    def __getitem__(self, index: slice | np.ndarray | Sequence[int]) -> LazyImages: ...

    def __getitem__(self, index: Any) -> np.ndarray | LazyImages:
        """One image, uint8 (H, W) or (H, W, 3), or a part of the sequence.

        Raises:
            DataError: If the image is missing or damaged.
        """
        rows = self._rows[index]
        if np.ndim(rows) == 0:
            return self._decode(int(rows))
        part = copy.copy(self)
        part._rows = rows
        return part

    def __iter__(self) -> Iterator[np.ndarray]:
        """Decode one after the other."""
        return (self._decode(int(row)) for row in self._rows)

    def name(self, index: int) -> str:
        """What an error calls the image at `index`."""
        return self._name(int(self._rows[index]))

    def _decode(self, row: int) -> np.ndarray:
        raise NotImplementedError

    def _name(self, row: int) -> str:
        raise NotImplementedError


class ImageFiles(LazyImages):
    """Image files, grey or RGB as they are stored."""

    threads = min(8, usable_cores())

    def __init__(self, paths: Sequence[str | Path]) -> None:
        """Keep the paths.

        Args:
            paths: The files; none of them is opened yet.
        """
        super().__init__(len(paths))
        # Text takes a third of the memory of Path objects, which counts for AffectNet.
        self._paths = [os.fspath(path) for path in paths]

    def _decode(self, row: int) -> np.ndarray:
        return decode(self._paths[row], self._paths[row])

    def _name(self, row: int) -> str:
        return self._paths[row]


class DecodedImages(LazyImages):
    """Images of another library's data set, each asked for by its number, from one thread."""

    def __init__(self, count: int, get: Callable[[int], Any], name: str) -> None:
        """Keep the function.

        Args:
            count: How many images there are.
            get: From a number to a path, encoded bytes, an open file or a PIL image.
            name: The data set, for errors.
        """
        super().__init__(count)
        self._get, self._dataset = get, name

    def _decode(self, row: int) -> np.ndarray:
        try:
            source = self._get(row)
        except _DAMAGED as error:
            raise DataError(
                f"{self._name(row)} cannot be decoded: {error}. Leave damaged images out with skip_damaged=True."
            ) from error
        return decode(source, source if isinstance(source, str) else self._name(row))

    def _name(self, row: int) -> str:
        return f"image {row} of {self._dataset}"


def map_images(function: Callable[[np.ndarray], Result], images: np.ndarray | LazyImages) -> list[Result]:
    """Apply a function to every image, in order.

    Args:
        function: From an image, uint8 (H, W) or (H, W, 3).
        images: The images.

    Raises:
        DataError: At the first image that cannot be decoded.
    """
    if isinstance(images, np.ndarray):
        return [function(image) for image in images]
    return _each(lambda index: function(images[index]), len(images), images.threads)


def sound_images(images: LazyImages) -> np.ndarray:
    """Mask (N,) of the images that can be decoded; every one is tried."""

    def sound(index: int) -> bool:
        try:
            images[index]
        except DataError:
            return False
        return True

    return np.array(_each(sound, len(images), images.threads), dtype=bool)


def _each(function: Callable[[int], Result], count: int, threads: int) -> list[Result]:
    pool = ThreadPoolExecutor(threads)
    try:
        return list(pool.map(function, range(count)))
    finally:
        pool.shutdown(cancel_futures=True)
