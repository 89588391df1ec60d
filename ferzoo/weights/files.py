"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

__all__ = ["new_file", "write_atomically", "write_tensors"]


def new_file(folder: Path, prefix: str, suffix: str = "") -> Path:
    """An empty file of a name that no other has, readable to those whom the umask lets; its absolute path.

    Args:
        folder: Where.
        prefix: What its name begins with.
        suffix: What it ends with.

    Raises:
        OSError: If it cannot be made.
    """
    folder = folder.absolute()  # also for libraries that take what stands before a colon for a protocol
    while True:
        path = folder / f"{prefix}{secrets.token_hex(4)}{suffix}"
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            continue
        return path


def write_atomically(path: Path, write: Callable[[Path], Any]) -> None:
    """Write beside `path` and rename over it, so that no reader ever sees half a file.

    Args:
        path: The file; its folder is made where it is missing.
        write: Writes the content to the path that it is given.

    Raises:
        OSError: If it cannot be written, as on a full disk; names `path`, where what was there before still is.
    """
    temporary: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = new_file(path.parent, f".{path.name}.")
        write(temporary)
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.replace(path)
    except Exception as error:
        # torch.save reports the system's refusal as an error of its own, which holds the real one.
        cause = _system_error(error)
        if cause is None:
            raise
        raise OSError(cause.errno, cause.strerror, str(path)) from error
    finally:
        if temporary:
            temporary.unlink(missing_ok=True)


def _system_error(error: BaseException | None) -> OSError | None:
    while error is not None:
        if isinstance(error, OSError) and error.errno is not None:
            return error
        error = error.__cause__ or error.__context__
    return None


def write_tensors(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file atomically.

    Args:
        path: The file.
        tensors: Contiguous tensors on the CPU by name, no two of which share memory.
        metadata: Its header's further entries; `format` is set.

    Raises:
        OSError: If it cannot be written.
    """
    from safetensors.torch import save

    # As bytes, because the package's own writer reports a full disk as a kind of its own.
    content = save(dict(tensors), {"format": "pt", **(metadata or {})})
    write_atomically(path, lambda p: p.write_bytes(content))
