"""Nothing unpickles at load: only safetensors pass, from a file or from the Hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from ..errors import CheckpointError, WeightsNotFoundError

__all__ = ["refuse_pickle", "refuse_pickled_repository", "refuse_pickled_sources"]


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


def refuse_pickled_sources(kwargs: Mapping[str, Any]) -> None:
    """Look at every argument of timm's `create_model` that names a file of weights.

    Raises:
        CheckpointError: If one is no `.safetensors`.
    """
    if kwargs.get("checkpoint_path"):
        refuse_pickle(kwargs["checkpoint_path"])
    # The overlay's file takes the place of the cfg's.
    for key in ("pretrained_cfg_overlay", "pretrained_cfg"):
        cfg = kwargs.get(key)
        file = cfg.get("file") if isinstance(cfg, Mapping) else getattr(cfg, "file", None)
        if file:
            refuse_pickle(file)
            break


def refuse_pickled_repository(name: str, cache_dir: str | os.PathLike[str] | None = None) -> None:
    """See that a Hub repository holds safetensors; they are in the cache afterwards.

    Args:
        name: ``"org/repo"`` or ``"org/repo@revision"``.
        cache_dir: Cache of the Hub's client, its default where None.

    Raises:
        CheckpointError: If it holds other weights only.
        WeightsNotFoundError: If it cannot be reached and is not in the cache.
    """
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, LocalEntryNotFoundError

    repo, _, revision = name.partition("@")
    try:
        hf_hub_download(
            repo,
            "model.safetensors",
            revision=revision or None,
            cache_dir=None if cache_dir is None else str(cache_dir),
        )
    except LocalEntryNotFoundError as error:
        raise WeightsNotFoundError(
            f"The Hub repository {name} cannot be reached, and its model.safetensors is not in the cache: {error}"
        ) from error
    except EntryNotFoundError as error:
        raise CheckpointError(
            f"The Hub repository {name} holds no model.safetensors. Loading a pickle can run code from the file, so "
            "ferzoo does not: ask its owner for safetensors."
        ) from error
    except HfHubHTTPError as error:
        raise WeightsNotFoundError(f"The Hub repository {name} cannot be read: {error}") from error
