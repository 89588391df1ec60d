"""A set of faces with their targets, in memory or in files, and the torch dataset over it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset

from ..errors import DataError
from .lazy_images import LazyImages, map_images

__all__ = ["FaceDataset", "Faces"]


#: Images whose pixels are compared at a time, between two reports of progress.
CHUNK = 2048
#: Images that are decoded at a time, before it is seen whether they fit.
FEW = 256
#: Bytes that the images of a set may take to be decoded without being asked to.
MEMORY = 2 << 30


@dataclass(frozen=True)
class Faces:
    """Faces with their targets.

    Attributes:
        images: uint8 in memory, grey (N, H, W) or RGB (N, H, W, 3), or N images that are decoded when asked for,
            each grey (H, W) or RGB (H, W, 3) and of any size.
        targets: float32 (N, C), each row a distribution over the classes.
        labels: int64 (N,), the class that accuracy is measured against.
        class_names: Names of the C classes.
        angles: Yaw of the head in degrees, float32 (N,), negative where the left profile is seen, NaN where it is
            not known; None where none is.
        groups: int64 (N,), equal for rows that belong into one fold, because they show one person or are the same
            image; None where nothing is known.
    """

    images: np.ndarray | LazyImages
    targets: np.ndarray
    labels: np.ndarray
    class_names: tuple[str, ...]
    angles: np.ndarray | None = None
    groups: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Check that there is one of everything for each face."""
        for name in ("targets", "labels", "angles", "groups"):
            value = getattr(self, name)
            if value is not None and len(value) != len(self.images):
                raise DataError(f"There are {len(self.images)} images, but {len(value)} {name}: each face needs one.")

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.images)

    def take(self, rows: slice | np.ndarray) -> Faces:
        """The faces at `rows`, a slice, an index array or a mask."""
        return Faces(
            self.images[rows],
            self.targets[rows],
            self.labels[rows],
            self.class_names,
            None if self.angles is None else self.angles[rows],
            None if self.groups is None else self.groups[rows],
        )

    def in_memory(self) -> Faces:
        """The same faces, every image decoded once.

        Where some of the images are stored in grey and some in colour, the grey ones become RGB with three equal
        channels.

        Raises:
            DataError: If the images differ in size, or one cannot be decoded.
        """
        if isinstance(self.images, np.ndarray):
            return self
        images = map_images(lambda image: image, self.images)
        sizes = Counter(image.shape[:2] for image in images)
        if len(sizes) > 1:
            (common, count), *rest = sizes.most_common()
            odd = next(i for i, image in enumerate(images) if image.shape[:2] != common)
            height, width = images[odd].shape[:2]
            raise DataError(
                f"The images cannot lie in one array: {count} are {common[0]}x{common[1]} (height x width), and "
                f"{len(images) - count} have {len(rest)} other sizes, first {self.images.name(odd)} with "
                f"{height}x{width}. Resize the files, or leave them to be decoded when they are asked for."
            )
        if len({image.ndim for image in images}) > 1:
            images = [image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2) for image in images]
        return replace(self, images=np.stack(images) if images else np.empty((0, 0, 0), np.uint8))

    def fitting_memory(self, limit: int = MEMORY) -> Faces:
        """As `in_memory` where the images are of one size and take at most `limit` bytes; else the faces as they are.

        Args:
            limit: Bytes of the decoded images, judged by the first of them before any other is decoded.

        Raises:
            DataError: If an image cannot be decoded.
        """
        if isinstance(self.images, np.ndarray) or not len(self):
            return self
        first = self.images[0]
        if first.nbytes * len(self) > limit:
            return self
        out = np.empty((len(self), *first.shape), np.uint8)
        for start in range(0, len(self), FEW):
            images = map_images(lambda image: image, self.images[start : start + FEW])
            if any(image.shape[:2] != first.shape[:2] for image in images):
                return self
            if out.ndim == 3 and any(image.ndim == 3 for image in images):
                if 3 * out.nbytes > limit:
                    return self
                out = np.repeat(out[..., None], 3, axis=3)
            for row, image in enumerate(images, start):
                out[row] = image if image.ndim == out.ndim - 1 else image[..., None]
        return replace(self, images=out)

    def digests(self) -> list[bytes]:
        """A digest of each image's decoded pixels and shape, equal for identical images.

        RGB with three equal channels counts as grey, so that a grey image equals itself stored in colour.
        """
        return map_images(_digest, self.images)

    def unseen(self, trained_on: Faces, progress: Callable[[int, int], None] | None = None) -> np.ndarray:
        """Mask (N,) of the faces that are not, pixel for pixel, among those trained on.

        Args:
            trained_on: The others.
            progress: Told how many images have been looked at, and how many there are.
        """
        total, found = len(trained_on) + len(self), list[bytes]()
        for part in (trained_on, self):
            for start in range(0, len(part), CHUNK):
                found += part.take(slice(start, start + CHUNK)).digests()
                if progress:
                    progress(len(found), total)
        seen = set(found[: len(trained_on)])
        return np.array([digest not in seen for digest in found[len(trained_on) :]], dtype=bool)


def _digest(image: np.ndarray) -> bytes:
    if image.ndim == 3 and (image == image[..., :1]).all():
        image = image[..., 0]
    return hashlib.sha256(f"{image.shape}".encode() + image.tobytes()).digest()


class FaceDataset(Dataset[tuple[Any, ...]]):
    """Transformed faces and their targets, for a `DataLoader`."""

    def __init__(
        self, faces: Faces, transform: Callable[[Image.Image], Any], soft: bool = True, rows: bool = False
    ) -> None:
        """Keep what is needed.

        Args:
            faces: The faces.
            transform: From a PIL image to a tensor (C, H, W).
            soft: Give target distributions; otherwise class indices.
            rows: Give each face's row as a third.
        """
        self.faces = faces
        self.transform = transform
        self.rows = rows
        self.targets = torch.from_numpy(faces.targets if soft else faces.labels)

    def __len__(self) -> int:
        """Number of faces."""
        return len(self.faces)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        """Image tensor (C, H, W), target distribution (C,) or class index (), and the row where it is wanted.

        Raises:
            DataError: If the image is missing or damaged; names the file.
        """
        image = self.transform(Image.fromarray(self.faces.images[index]))
        return (image, self.targets[index], index) if self.rows else (image, self.targets[index])
