"""Small image trees and tables for the tests of the readers."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ferzoo.data.faces import Faces


def pixels(seed: int, height: int = 48, width: int = 48, colour: bool = False) -> np.ndarray:
    """An image of noise, another one for each seed."""
    shape = (height, width, 3) if colour else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def encoded(image: np.ndarray, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind, **options)
    return file.getvalue()


def save(path: Path, image: np.ndarray) -> Path:
    """Save without loss, whatever the name's ending: Pillow goes by the content."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(image))
    return path


def class_tree(root: Path, classes: Sequence[str], each: int = 1, start: int = 0, name: str = "{}.jpg") -> None:
    """`each` colour images in a folder for each class, with seeds that count on from `start`."""
    for i, folder in enumerate(classes):
        for j in range(each):
            seed = start + i * each + j
            save(root / folder / name.format(seed), pixels(seed, 20, 16, colour=True))


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    return "".join(",".join(str(cell) for cell in row) + "\n" for row in rows)


def numbers(image: np.ndarray) -> str:
    """Pixels as Kaggle's csv holds them."""
    return " ".join(map(str, image.reshape(-1)))


def write_parquet(path: Path, rows: Sequence[tuple[bytes, int, Sequence[int] | None]]) -> None:
    """Images, labels and votes as the parquet files of FER-2013 hold them."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    table = pa.table(
        {
            "image": [{"bytes": data, "path": f"{i}.png"} for i, (data, _, _) in enumerate(rows)],
            "label": [label for _, label, _ in rows],
            "votes": pa.array([votes for _, _, votes in rows], pa.list_(pa.int32())),
        }
    )
    parquet.write_table(table, path)


def seeds(faces: Faces, below: int = 40) -> list[int]:
    """Which of the images of `class_tree`'s kind these are."""
    arrays = np.stack([pixels(seed, 20, 16, colour=True) for seed in range(below)])
    known = Faces(arrays, np.zeros((below, 1)), np.zeros(below), ()).digests()
    return [known.index(digest) for digest in faces.digests()]
