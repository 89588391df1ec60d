"""Where the arguments of timm's factory say that weights are, apart from a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..weights.repository import CONFIG, WEIGHTS, fetch
from .config import FolderConfig, read_config
from .folder import checked_weights

__all__ = ["checkpoint", "hub_id", "local_dir", "refuse_source"]


def checkpoint(
    folder: Path | None, repo: str, cache_dir: str | os.PathLike[str] | None, local_files_only: bool
) -> tuple[Path, FolderConfig]:
    """The checked weights of a checkpoint folder, or of a Hub repository, and what its config.json says.

    Args:
        folder: The folder; None for the repository.
        repo: ``"org/repo"``, with ``"@revision"`` or without.
        cache_dir: As `fetch`.
        local_files_only: As `fetch`.

    Raises:
        CheckpointError: As `fetch`, `read_config` and `checked_weights`.
    """
    origin = str(folder)
    if not folder:
        found = fetch(repo, cache_dir, local_files_only)
        folder, origin = found.folder, f"the Hub repository {found.repo}"
    config = read_config(folder / CONFIG)
    return checked_weights(folder, config, origin), config


def refuse_source(overlay: Mapping[str, Any], source: str) -> None:
    """Let a source pass that an overlay for timm's cfg names, unless timm might unpickle what is there.

    Args:
        overlay: The overlay.
        source: Its field that counts.

    Raises:
        CheckpointError: For a url, and for another file of a Hub repository than its safetensors.
    """
    if source == "url":
        raise CheckpointError(
            f"{overlay[source]} is not loaded: timm reads what a url gives as a pickle, which can run code from it. "
            "Fetch the file, turn it into safetensors with `ferzoo convert`, and name that as checkpoint_path."
        )
    if source == "hf_hub_id" and (file := overlay.get("hf_hub_filename")) not in (None, WEIGHTS):
        raise CheckpointError(f"Of a Hub repository ferzoo loads {WEIGHTS} alone: leave hf_hub_filename={file!r} out.")


def hub_id(cfg: Any) -> Any:
    """The repository that a cfg of timm's factory is from; None where it is from elsewhere."""
    return _asked(cfg, "hf-hub", "hf_hub_id")


def local_dir(cfg: Any) -> Path | None:
    """The folder that a cfg of timm's factory is from; None where it is from elsewhere."""
    found = _asked(cfg, "local-dir", "file")
    return Path(found) if found and os.path.isdir(found) else None


def _asked(cfg: Any, source: str, key: str) -> Any:
    get = cfg.get if isinstance(cfg, Mapping) else partial(getattr, cfg)
    return get(key, None) if get("source", None) == source else None
