"""FER-2013 (Goodfellow et al. 2013) with the FERPlus votes (Barsoum et al. 2016), from parquet."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import DataError, MissingExtraError
from ..labels import FERPLUS, FERPLUS_VOTES
from .faces import Faces

__all__ = ["read_ferplus"]

#: Rows that FERPlus keeps of each split: those whose most voted column is one of the eight emotions.
ROWS = {"train": 28386, "validation": 3553}
SIDE = 48


def read_ferplus(folder: str | Path, split: str, soft: bool = True) -> Faces:
    """Read a split of FERPlus into memory.

    The folder holds ``train.parquet`` and ``validation.parquet`` with the columns `image` (bytes and
    path, as Hugging Face stores images) and `votes` (ten counts). Rows whose most voted column is
    "unknown" or "NF" are left out; a tie goes to the first column.

    Args:
        folder: Where the parquet files lie.
        split: ``"train"`` or ``"validation"``.
        soft: Targets are the eight counts normalised; otherwise one-hot majorities.

    Raises:
        DataError: If the file is missing, lacks a column, or holds another number of rows than FERPlus has.
        MissingExtraError: Without pyarrow.
    """
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingExtraError("Reading parquet", "train") from None

    path = Path(folder).expanduser() / f"{split}.parquet"
    if split not in ROWS:
        raise DataError(f"FERPlus has the splits {', '.join(ROWS)}, not {split!r}.")
    if not path.is_file():
        raise DataError(f"{path} is missing: give the folder that holds train.parquet and validation.parquet.")
    try:
        table = parquet.read_table(path, columns=["image", "votes"])
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(f"{path} cannot be read with the columns image and votes: {error}") from error
    rows = [(row["image"]["bytes"], row["votes"]) for row in table.to_pylist() if row["votes"] is not None]
    votes = np.array([v for _, v in rows], dtype=np.float32).reshape(len(rows), -1)
    if votes.shape[1] != len(FERPLUS_VOTES):
        raise DataError(f"{path}: votes must have {len(FERPLUS_VOTES)} counts a row, got {votes.shape[1]}.")
    keep = votes.argmax(1) < len(FERPLUS)
    if keep.sum() != ROWS[split]:
        raise DataError(f"{path} holds {keep.sum()} usable rows, FERPlus has {ROWS[split]}: the file is incomplete.")
    votes = votes[keep][:, : len(FERPLUS)]
    images = np.stack([_decode(data, path, i) for i, ((data, _), k) in enumerate(zip(rows, keep, strict=True)) if k])
    labels = votes.argmax(1).astype(np.int64)
    targets = votes / votes.sum(1, keepdims=True) if soft else np.eye(len(FERPLUS), dtype=np.float32)[labels]
    return Faces(images, targets.astype(np.float32), labels, FERPLUS)


def _decode(data: bytes, path: Path, row: int) -> np.ndarray:
    try:
        image = np.asarray(Image.open(io.BytesIO(data)).convert("L"))
    except OSError as error:
        raise DataError(f"{path}: the image of row {row} cannot be decoded: {error}") from error
    if image.shape != (SIDE, SIDE):
        raise DataError(f"{path}: the image of row {row} is {image.shape}, FER-2013's are {SIDE}x{SIDE}.")
    return image
