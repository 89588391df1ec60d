"""What the columns of a parquet file hold, by their types and statistics."""

from __future__ import annotations

from typing import Any

__all__ = ["all_have", "has_bytes", "holds_bytes", "may_hold_images"]


def all_have(column: str, group: Any) -> bool:
    """Whether the statistics of a row group say that no row lacks a column's value; false where it has none."""
    for one in map(group.column, range(group.num_columns)):
        if one.path_in_schema == column:
            found = one.statistics
            return bool(found and found.has_null_count and found.null_count == 0)
    return False


def has_bytes(kind: Any) -> bool:
    """Whether a column is likely that of the images: bytes, or a struct of them, as Hugging Face has it."""
    import pyarrow.types as types

    if types.is_struct(kind):
        return any(field.name == "bytes" and has_bytes(field.type) for field in kind)
    return _is_bytes(kind) and not types.is_fixed_size_binary(kind)


def may_hold_images(kind: Any) -> bool:
    """Whether a column can be that of the images: bytes of any type, or a struct of bytes, of a path, or of both."""
    import pyarrow.types as types

    kind = getattr(kind, "storage_type", kind)
    if types.is_dictionary(kind):
        return may_hold_images(kind.value_type)
    if types.is_struct(kind):
        named = {one.name: one.type for one in kind}
        return may_hold_images(named["bytes"]) if "bytes" in named else "path" in named
    return _is_bytes(kind)


def holds_bytes(kind: Any) -> bool:
    """Whether there are bytes anywhere in a value."""
    import pyarrow.types as types

    kind = getattr(kind, "storage_type", kind)
    if types.is_struct(kind):
        return any(holds_bytes(field.type) for field in kind)
    if types.is_map(kind):
        return holds_bytes(kind.key_type) or holds_bytes(kind.item_type)
    if types.is_nested(kind) or types.is_dictionary(kind):
        return holds_bytes(kind.value_type)
    return _is_bytes(kind)


def _is_bytes(kind: Any) -> bool:
    import pyarrow.types as types

    # Views came with pyarrow 16.
    names = ("is_binary", "is_large_binary", "is_fixed_size_binary", "is_binary_view")
    return any(getattr(types, name)(kind) for name in names if hasattr(types, name))
