"""The rows of a scored image, and how each format writes them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from ..errors import FerzooError, MissingExtraError, first_line
from ..weights.files import write_atomically
from .images import exact, printable
from .predictor import Prediction
from .scoring_parts import Item

__all__ = ["FORMATS", "RowFormat", "check_columns", "csv_lines", "rows_of", "write_parquet"]

#: Suffixes of the files that hold the rows.
FORMATS = (".csv", ".jsonl", ".parquet")
#: Rows of a row group of parquet.
GROUP = 50_000


def check_columns(columns: Sequence[str]) -> None:
    """Check that rows have no two columns of one name.

    Raises:
        FerzooError: If they have.
    """
    if twice := sorted({name for name in columns if columns.count(name) > 1}):
        raise FerzooError(
            f"Two columns of the rows would be called {', '.join(twice)}: a class, or a column that is kept, has the "
            "name of another. Rename the class in the label_names of the network's cfg, or do not keep the column."
        )


def csv_lines(rows: Iterable[Sequence[Any]]) -> str:
    """Rows of cells as lines of csv, in quotes where they need them; None is an empty cell."""
    text = io.StringIO()
    plain, quoted = (csv.writer(text, lineterminator="\n", quoting=q) for q in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL))
    for row in rows:
        # To readers a carriage return ends a line; not every Python puts it in quotes.
        (quoted if any(isinstance(cell, str) and "\r" in cell for cell in row) else plain).writerow(row)
    return text.getvalue()


class RowFormat:
    """Names of the columns, and rows as bytes.

    Attributes:
        columns: Every column, in order.
        kept: Column of the source to its name in the rows: `source_` goes before a name that the rows use themselves.
    """

    def __init__(self, suffix: str, labels: Sequence[str], keep: Sequence[str]) -> None:
        """Lay out the columns.

        Args:
            suffix: One of `FORMATS`; parquet is written as JSON lines first.
            labels: Names of the classes.
            keep: Columns of the source.

        Raises:
            FerzooError: If two columns would have one name.
        """
        before, after = ["face", "x1", "y1", "x2", "y2", "label", "score"], ["error"]
        own = ["file", *before, *labels, *after]
        self.kept = {name: f"source_{name}" if name in own else name for name in keep}
        self.columns = ["file", *self.kept.values(), *before, *labels, *after]
        check_columns(self.columns)
        self._labels, self._csv = tuple(labels), suffix == ".csv"
        self.header = self._lines([dict(zip(self.columns, self.columns, strict=True))]) if self._csv else b""

    def encode(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        """Rows as lines."""
        if self._csv:
            return self._lines(rows)
        return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()

    def _lines(self, rows: Sequence[Mapping[str, Any]]) -> bytes:
        decimal = {"score", *self._labels}
        lines = csv_lines(
            [
                f"{value:.6f}" if isinstance(value := row[name], float) and name in decimal else _cell(value)
                for name in self.columns
            ]
            for row in rows
        )
        return lines.encode()

    def schema(self, kinds: Mapping[str, Sequence[Any]]) -> Any:
        """Arrow's schema of the rows.

        Args:
            kinds: Arrow types of the columns of the source, one for each part that has it; None for text.
        """
        import pyarrow

        fixed = dict.fromkeys(("face", "x1", "y1", "x2", "y2"), pyarrow.int32())
        fixed |= dict.fromkeys(("score", *self._labels), pyarrow.float64())
        fixed |= {self.kept[name]: _joined(of_parts) for name, of_parts in kinds.items()}
        return pyarrow.schema([(name, fixed.get(name, pyarrow.string())) for name in self.columns])


def rows_of(prediction: Prediction, shape: RowFormat) -> list[dict[str, Any]]:
    """One row a face, numbered from 1; for an image without a face one with number 0, which holds the error if any."""
    item: Item = prediction.source
    error = str(prediction.error) if prediction.error else None
    name = {"file": exact(item.name), **{shape.kept[key]: value for key, value in item.kept.items()}}
    rows = []
    for number, face in enumerate(prediction.faces, start=1):
        box = dict(zip(("x1", "y1", "x2", "y2"), face.box, strict=True))
        scores = {label: round(score, 6) for label, score in face.scores.items()}
        rows.append(
            {**name, "face": number, **box, "label": face.label, "score": scores[face.label], **scores, "error": None}
        )
    return rows or [{**dict.fromkeys(shape.columns), **name, "face": 0, "error": error}]


def write_parquet(lines: Path, out: Path, schema: Any) -> None:
    """Turn JSON lines into a parquet file, whole or not at all, some thousand rows at a time.

    Args:
        lines: The JSON lines.
        out: The parquet file.
        schema: Arrow's schema.

    Raises:
        OSError: If it cannot be written.
        FerzooError: If parquet cannot hold the rows.
    """
    import pyarrow
    from pyarrow.parquet import ParquetWriter

    text = [field.name for field in schema if field.type == pyarrow.string()]

    def write(path: Path) -> None:
        with path.open("wb") as file, ParquetWriter(file, schema, compression="zstd") as writer:
            for rows in _chunks(lines, GROUP):
                for row in rows:
                    row.update({name: _text(row[name]) for name in text})
                writer.write_table(pyarrow.Table.from_pylist(rows, schema))

    try:
        write_atomically(out, write)
    except (pyarrow.ArrowException, OverflowError) as error:
        name = out.with_suffix(".jsonl").name
        raise FerzooError(
            f"{printable(out)} cannot be made of the rows: {first_line(error)}. They are whole in {lines.name}, as "
            f"JSON lines: rename it to {name}, and {out.name}.progress to {name}.progress; then go on "
            f"with -o {name} --resume."
        ) from error


def check_parquet() -> None:
    """Raise MissingExtraError without pyarrow."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise MissingExtraError("Writing parquet", "train", "Or write .csv or .jsonl.") from None


def _chunks(lines: Path, size: int) -> Iterator[list[Any]]:
    with lines.open("rb") as file:
        while rows := [json.loads(line) for line in islice(file, size)]:
            yield rows


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict | bool) else value


def _text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _joined(kinds: Sequence[Any]) -> Any:
    """One type for the values of all parts: text where they differ in more than their width."""
    import pyarrow
    from pyarrow import types

    found = [_json_type(kind) or pyarrow.string() for kind in kinds] or [pyarrow.string()]
    if all(kind == found[0] for kind in found):
        return found[0]
    for family, widest in ((types.is_signed_integer, pyarrow.int64()), (types.is_floating, pyarrow.float64())):
        if all(map(family, found)):
            return widest
    return pyarrow.string()


def _json_type(kind: Any) -> Any:
    """The type of what JSON makes of a column; None where that is best kept as JSON text."""
    import pyarrow
    from pyarrow import types

    kind = getattr(kind, "storage_type", kind)
    if kind is None:
        return pyarrow.string()
    if types.is_dictionary(kind):
        return _json_type(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        inner = _json_type(kind.value_type)
        return inner and pyarrow.list_(inner)
    if types.is_struct(kind):
        fields = [(field.name, _json_type(field.type)) for field in kind]
        plain = fields and all(inner for _, inner in fields) and len(dict(fields)) == len(fields)
        return pyarrow.struct(fields) if plain else None
    if types.is_nested(kind):  # a map
        return None
    if types.is_float16(kind):  # of which pyarrow makes no values of Python's
        return pyarrow.float32()
    simple = types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind)
    return kind if simple else pyarrow.string()
