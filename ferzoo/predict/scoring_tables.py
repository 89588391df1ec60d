"""Images that are the rows of a parquet table."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from typing import Any

from ..errors import DataError, MissingExtraError, first_line
from .images import printable
from .scoring_parts import Item, stamp
from .scoring_types import all_have, has_bytes, holds_bytes, may_hold_images

__all__ = ["Table", "is_table"]

#: Rows that are decoded from a table at a time.
ROWS = 64
#: What else a table of paths can be.
_LISTS = "Paths are taken from a list: a text file with one a line, that ends in .txt."


def is_table(path: str) -> bool:
    """Whether a path names a parquet file."""
    return path.lower().endswith(".parquet")


class Table:
    """A parquet file with a column of encoded images, or of Hugging Face's pairs of bytes and path."""

    def __init__(self, path: str, keep: Sequence[str], column: str | None) -> None:
        """Read the schema.

        Raises:
            DataError: If the file cannot be read, or its image column is not clear, or it lacks a kept one.
            MissingExtraError: Without pyarrow.
        """
        try:
            import pyarrow
        except ImportError:
            raise MissingExtraError("Reading parquet", "train") from None
        self.path, self._keep, self._errors = path, tuple(keep), (pyarrow.ArrowException, OSError)
        try:
            with self._open() as file:
                schema, groups = file.schema_arrow, file.metadata
                sizes = [groups.row_group(i).num_rows for i in range(file.num_row_groups)]
        except self._errors as error:
            raise DataError(f"{printable(path)} cannot be read: {first_line(error)}") from error
        lacking = [name for name in (*keep, *filter(None, [column])) if name not in schema.names]
        if lacking:
            raise DataError(f"{printable(path)} has no column {', '.join(lacking)}: it has {', '.join(schema.names)}.")
        if column and not may_hold_images(kind := schema.field(column).type):
            raise DataError(
                f"The column {column} of {printable(path)} holds {kind}, not encoded images: bytes, or pairs of bytes "
                f"and path. {_LISTS}"
            )
        self._column = column or _image_column(path, schema)
        self.kinds = {name: schema.field(name).type for name in keep}
        for name, kind in self.kinds.items():
            if holds_bytes(kind):
                raise DataError(f"The column {name} of {printable(path)} holds bytes, which no row can keep.")
        self._sizes, self.count = sizes, sum(sizes)
        self.facts = ["table", path, self.count, *stamp(path), self._column]
        self.relative = not os.path.isabs(path) or self._names_relative_files(schema.field(self._column).type)

    def _names_relative_files(self, kind: Any) -> bool:
        """Whether a row may have no bytes, and the path of a file in whatever folder is the current one."""
        import pyarrow.types as types

        if not (types.is_struct(kind) and any(one.name == "path" for one in kind)):
            return False
        try:
            with self._open() as file:
                groups = range(file.num_row_groups)
                lacking = [i for i in groups if not all_have(f"{self._column}.bytes", file.metadata.row_group(i))]
                return any(
                    value and isinstance(value["path"], str) and value["path"] and not os.path.isabs(value["path"])
                    for batch in file.iter_batches(ROWS, lacking, [f"{self._column}.path"], use_threads=False)
                    for value in batch.column(0).to_pylist()
                )
        except self._errors as error:
            raise DataError(f"{printable(self.path)} cannot be read: {first_line(error)}") from error

    def _open(self) -> Any:
        from pyarrow.parquet import ParquetFile

        return ParquetFile(self.path, pre_buffer=False)

    def read(self, start: int, stop: int | None) -> Iterator[Item]:
        """As in `Part`; at most one row group is in memory."""
        row, end = 0, self.count if stop is None else stop
        columns = list(dict.fromkeys([self._column, *self._keep]))
        try:
            with self._open() as file:
                for group, size in enumerate(self._sizes):
                    if row + size > start and row < end:
                        for batch in file.iter_batches(ROWS, [group], columns, use_threads=False):
                            first, last = max(start - row, 0), min(len(batch), end - row)
                            values = batch.slice(first, max(0, last - first)).to_pylist()
                            yield from (self._item(row + first + i, value) for i, value in enumerate(values))
                            row += len(batch)
                    else:
                        row += size
        except self._errors as error:
            raise DataError(f"{printable(self.path)} cannot be read at row {row}: {first_line(error)}") from error

    def _item(self, row: int, values: dict[str, Any]) -> Item:
        kept = {name: _plain(values[name]) for name in self._keep}
        value, name = values[self._column], f"{self.path}:{row}"
        if isinstance(value, dict):
            if value.get("bytes") is None and value.get("path"):
                return Item(row, value["path"], None, kept)
            value = value.get("bytes")
        return Item(row, name, value, kept, "holds no image" if value is None else None)


def _image_column(path: str, schema: Any) -> str:
    import pyarrow.types as types

    found = [field.name for field in schema if has_bytes(field.type)]
    if not found:  # a dictionary beside a plain column is one of categories
        kinds = {field.name: field.type for field in schema if types.is_dictionary(field.type)}
        found = [name for name, kind in kinds.items() if has_bytes(kind.value_type)]
    if len(found) > 1 and "image" in found:
        return "image"
    if len(found) != 1:
        what = f"has several columns of bytes ({', '.join(found)})" if found else "has no column of encoded images"
        advice = "Name the column of the images." if found else _LISTS
        raise DataError(f"{printable(path)} {what}: it has {', '.join(schema.names)}. {advice}")
    return found[0]


def _plain(value: Any) -> Any:
    """A value as JSON has it; what is not finite becomes None."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return value if value is None or isinstance(value, str | int | float) else str(value)
