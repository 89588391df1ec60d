"""Nothing unpickles at load: only safetensors pass."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError

__all__ = ["refuse_damaged", "refuse_pickle", "refuse_pickled_sources"]


def refuse_pickle(path: str | os.PathLike[str]) -> None:
    """Let a `.safetensors` pass.

    Raises:
        CheckpointError: For any other file.
    """
    if not os.fspath(path).endswith(".safetensors"):
        raise CheckpointError(
            f"{os.fspath(path)} is no safetensors file. Loading others can run code from the file, so ferzoo does "
            "not: turn it into safetensors with `ferzoo convert` first."
        )


def refuse_damaged(path: str | os.PathLike[str]) -> None:
    """Let a whole safetensors file pass.

    Raises:
        CheckpointError: If there is no such file, or it is cut off or no safetensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(os.fspath(path), "np"):
            return
    except (OSError, SafetensorError) as error:
        why = "there is no such file" if isinstance(error, FileNotFoundError) else f"it is damaged: {error}"
        raise CheckpointError(f"{os.fspath(path)} cannot be loaded: {why}.") from error


def refuse_pickled_sources(kwargs: Mapping[str, Any], pretrained: bool) -> None:
    """Look at every argument of timm's `create_model` that names a file of weights.

    Args:
        kwargs: The arguments.
        pretrained: The file that a cfg names is read, too.

    Raises:
        CheckpointError: If one is no `.safetensors`, or one that is read is missing or damaged.
    """
    if kwargs.get("checkpoint_path"):
        refuse_pickle(kwargs["checkpoint_path"])
        refuse_damaged(kwargs["checkpoint_path"])
    # The overlay's file takes the place of the cfg's.
    cfg, overlay = kwargs.get("pretrained_cfg"), kwargs.get("pretrained_cfg_overlay") or {}
    fields = {**(cfg if isinstance(cfg, Mapping) else getattr(cfg, "__dict__", {})), **overlay}
    if file := fields.get("file"):
        refuse_pickle(file)
        if pretrained and not fields.get("state_dict") and fields.get("source") != "hf-hub":
            refuse_damaged(file)
