"""What a repository holds already, and whether a push is a new version of it or something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError
from ..weights.configs import wheel_folder
from ..weights.repository import CONFIG, WEIGHTS, fetch_file
from .card import CONFUSION, LICENSE
from .client import patiently
from .folder import Published, some

if TYPE_CHECKING:
    from huggingface_hub import HfApi

__all__ = ["allowed"]

#: Files that every repository has by itself.
_OF_THE_HUB = {".gitattributes"}


def allowed(
    api: HfApi,
    repo_id: str,
    revision: str | None,
    written: Published,
    overwrite: bool | Callable[[str], bool],
    cache: str,
    token: str | None,
) -> tuple[str | None, list[str]]:
    """Look at what a repository holds, before something is written over it.

    Args:
        api: The Hub's client.
        repo_id: ``"org/repo"``.
        revision: Branch that is pushed to; the main branch where None.
        written: What is to be pushed.
        overwrite: Whether something else may be written over, or a function that is told what it is and decides.
        cache: Folder to fetch into.
        token: Token with the right to read.

    Returns:
        The commit to build on, and the files of an earlier push that are not true of this one.

    Raises:
        CheckpointError: If the repository holds something else, and that may not be written over.
    """
    info = patiently(api.model_info, repo_id, revision=revision)
    there = sorted({sibling.rfilename for sibling in info.siblings or ()} - _OF_THE_HUB)

    def read(name: str) -> bytes:
        return fetch_file(repo_id, name, info.sha, cache, token=token).read_bytes() if name in there else b""

    if there and overwrite is not True:
        what, own = _identity(read(CONFIG)), _identity((written.folder / CONFIG).read_bytes())
        if WEIGHTS not in there or what != own:
            said = f"{repo_id} holds {_spoken(what)}: {some(there)}"
            if not (callable(overwrite) and overwrite(said)):
                raise CheckpointError(
                    f"{said}. Nothing was sent: choose another repository, or allow it with overwrite=True (--yes)."
                )
    stale = [CONFUSION] if CONFUSION in there else []
    if read(LICENSE) == (wheel_folder() / LICENSE).read_bytes():  # ours, and of what was there before
        stale.append(LICENSE)
    return info.sha, [name for name in stale if name not in written.files]


def _identity(config: bytes) -> dict[str, Any]:
    """What must agree for a push to be a new version of what is there; empty where it is no checkpoint."""
    try:
        content = json.loads(config)
        extra = content.get("ferzoo") or {}
        return {
            "architecture": str(content["architecture"]),
            "tag": str(extra.get("tag") or ""),
            "dataset": str(extra.get("dataset") or ""),
            "classes": content.get("label_names") or content.get("num_classes"),
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _spoken(identity: Mapping[str, Any]) -> str:
    if not identity:
        return "no checkpoint"
    name = ".".join(filter(None, (identity["architecture"], identity["tag"])))
    classes = identity["classes"]
    count = len(classes) if isinstance(classes, list) else classes
    return f"{name}, {count} classes" + (f", trained on {identity['dataset']}" if identity["dataset"] else "")
