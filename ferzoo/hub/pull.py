"""Trained weights fetched once and kept where `pretrained=True` finds them without a network."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, UnknownNameError, WeightsCorruptError, WeightsNotFoundError
from ..registry.config import read_config
from ..registry.factory import list_models
from ..registry.folder import checked_weights
from ..weights.configs import checkpoints
from ..weights.folders import copy_to_cache, listed
from ..weights.repository import CONFIG, fetch, hub_hint, is_hub_name
from ..weights.resolve import default_tag, resolve

__all__ = ["pull"]


def pull(
    names: Iterable[str] = (),
    source: str | os.PathLike[str] | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
) -> list[dict[str, Any]]:
    """Fetch weights, check their sha256, and keep them in the cache.

    Args:
        names: Checkpoints with or without tag (``"mfn"``, ``"mfn.fer2013"``), or repositories
            (``"hf-hub:org/repo[@revision]"``); none for all of `source`.
        source: Folder as `FERZOO_WEIGHTS` has them; None for what the package, `FERZOO_WEIGHTS`, the cache or the
            Hub has, in this order.
        cache_dir: Cache to use instead of that of the Hub's client.

    Returns:
        One row a checkpoint: its `name`, the `file` that `pretrained=True` will read, and its size in `megabytes`.

    Raises:
        UnknownNameError: If there is no such model; names the nearest.
        WeightsNotFoundError: If there are no such weights; says what was tried.
        WeightsCorruptError: If a file is damaged, or is another version than this ferzoo describes; the others of the
            folder are fetched before that.
        CheckpointError: If the folder is the cache itself.
    """
    folder = None if source is None else Path(source).expanduser()
    wanted = list(names)
    if not wanted:
        if folder is None:
            raise WeightsNotFoundError(
                f"Name what to fetch: {', '.join(checkpoints())}; or give a folder for all of it."
            )
        wanted = listed(folder)
        if not wanted:
            what = "has no NAME.TAG.safetensors with NAME.TAG.json beside it" if folder.is_dir() else "is no folder"
            raise WeightsNotFoundError(f"{folder} {what}: there is nothing to fetch.")
    rows: list[dict[str, Any]] = []
    refused: list[CheckpointError] = []
    for name in [name if is_hub_name(name) else _with_tag(name, folder) for name in wanted]:
        if is_hub_name(name):
            if folder is not None:
                raise WeightsNotFoundError(f"{name} is a repository: leave out the folder {folder}.")
            found = fetch(name, cache_dir)
            path = checked_weights(found.folder, read_config(found.folder / CONFIG), found.repo)
            name = f"hf-hub:{found.repo}@{found.commit}"
        elif folder is None:
            architecture, _, tag = name.partition(".")
            path = resolve(architecture, tag or None, cache_dir).path
        else:
            try:
                path = copy_to_cache(name, folder, cache_dir)
            except (WeightsCorruptError, WeightsNotFoundError) as error:
                if len(wanted) == 1:
                    raise
                refused.append(error)
                continue
        rows.append({"name": name, "file": str(path), "megabytes": round(path.stat().st_size / 1e6, 2)})
    if refused:
        kept = f" These were fetched: {', '.join(row['name'] for row in rows)}." if rows else ""
        raise type(refused[0])(f"{' '.join(map(str, refused))}{kept}") from refused[0]
    return rows


def _with_tag(name: str, folder: Path | None) -> str:
    """Complete a name, and refuse one that no model has."""
    architecture, _, tag = name.partition(".")
    if hint := hub_hint(name):
        raise UnknownNameError("model", name, (), hint)
    if architecture not in list_models():
        raise UnknownNameError("model", name, [*list_models(), *checkpoints()], "See `ferzoo list`.")
    if tag:
        return name
    there = [n for n in listed(folder) if n.partition(".")[0] == architecture] if folder else []
    preferred = default_tag(architecture)
    if preferred and (not there or f"{architecture}.{preferred}" in there):
        return f"{architecture}.{preferred}"
    return there[0] if there else name
