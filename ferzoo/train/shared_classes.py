"""The classes that a network and a data set share, and what of each the other lacks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..data.faces import Faces
from ..errors import DataError
from ..labels import map_labels

__all__ = ["SharedClasses", "share_classes"]


@dataclass(frozen=True)
class SharedClasses:
    """What remains of a network's outputs and a data set's rows when they are compared.

    Attributes:
        names: The shared classes, with the network's names and in its order.
        columns: int (C,), the network's output of each shared class.
        rows: int (M,), the rows whose class the network has.
        labels: int64 (M,), their classes, indices into `names`.
        left_out: The data set's classes that the network lacks, with their numbers of rows.
        outputs_left_out: The network's classes that the data set lacks.
    """

    names: tuple[str, ...]
    columns: np.ndarray
    rows: np.ndarray
    labels: np.ndarray
    left_out: dict[str, int]
    outputs_left_out: tuple[str, ...]

    @property
    def skipped(self) -> int:
        """Rows that the network has no class for."""
        return sum(self.left_out.values())


def share_classes(faces: Faces, label_names: Sequence[str]) -> SharedClasses:
    """Map a data set's classes onto a network's, by `map_labels`.

    Args:
        faces: The faces.
        label_names: The network's classes in the order of its outputs.

    Raises:
        DataError: If there are no faces, fewer than two classes are shared, or no row has a shared one.
    """
    if not len(faces):
        raise DataError("There are no faces to measure on: the split is empty.")
    mapped = np.array(map_labels(faces.class_names, label_names))
    columns = np.unique(mapped[mapped >= 0])
    position = np.full(len(label_names), -1)
    position[columns] = np.arange(len(columns))
    outputs = mapped[faces.labels]
    rows = np.flatnonzero(outputs >= 0)
    lacking = [index for index, output in enumerate(mapped) if output < 0]
    left_out = {faces.class_names[index]: int((faces.labels == index).sum()) for index in lacking}
    if not len(rows):
        raise DataError(
            f"All {len(faces)} rows are of classes that the network lacks ({', '.join(left_out)}); it has "
            f"{', '.join(label_names)}."
        )
    if len(columns) < 2:
        raise DataError(
            f"Of the network's classes the data has {label_names[columns[0]]} alone, and one class cannot be told from "
            f"others: every figure would be perfect. The data has {', '.join(faces.class_names)}; the network has "
            f"{', '.join(label_names)}. Give the data's classes the network's names where they mean the same."
        )
    return SharedClasses(
        tuple(label_names[column] for column in columns),
        columns,
        rows,
        position[outputs[rows]].astype(np.int64),
        left_out,
        tuple(name for column, name in enumerate(label_names) if column not in columns),
    )
