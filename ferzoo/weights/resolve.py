"""Where `pretrained=True` finds weights: the wheel, FERZOO_WEIGHTS, the cache, the Hub; and their checks."""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import WeightsCorruptError, WeightsNotFoundError, nearest
from .configs import Checkpoint, checkpoints, wheel_folder

__all__ = ["Weights", "default_tag", "local_checkpoints", "resolve", "sha256_of"]


@dataclass(frozen=True)
class Weights:
    """A checked weights file, timm's pretrained cfg for it, and what timm's cfg has no field for."""

    path: Path
    cfg: dict[str, Any]
    ferzoo: dict[str, Any] = field(default_factory=dict)


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _check(path: Path, expected: str, origin: str) -> Path:
    actual = sha256_of(path)
    if actual != expected.lower():
        raise WeightsCorruptError(
            f"{path} is damaged or not the file that {origin} describes: its sha256 is {actual}, expected "
            f"{expected}. Reinstall ferzoo or fetch the file again."
        )
    return path


def _known(path: Path, checkpoint: Checkpoint) -> Weights:
    _check(path, checkpoint.sha256, f"hub_configs/{checkpoint.name}.yaml")
    return Weights(path, checkpoint.pretrained_cfg(), checkpoint.ferzoo)


def default_tag(architecture: str) -> str | None:
    """Tag of the first checkpoint of an architecture, or None where there is none."""
    return next((c.tag for c in checkpoints().values() if c.architecture == architecture), None)


def _folders() -> list[Path]:
    return [Path(folder).expanduser() for folder in os.environ.get("FERZOO_WEIGHTS", "").split(os.pathsep) if folder]


def local_checkpoints() -> list[str]:
    """Names with tag of the checkpoints in the folders of FERZOO_WEIGHTS, sorted."""
    files = (path for folder in _folders() for path in folder.glob("*.*.safetensors"))
    return sorted({path.stem for path in files if path.with_suffix(".json").is_file()})


def _in_folders(name: str) -> tuple[Weights | None, list[str]]:
    tried = []
    for folder in _folders():
        path, facts = folder / f"{name}.safetensors", folder / f"{name}.json"
        if not path.is_file():
            tried.append(f"FERZOO_WEIGHTS: no {path}")
        elif not facts.is_file():
            tried.append(f"FERZOO_WEIGHTS: {path} has no {facts.name} with its sha256 and cfg beside it")
        else:
            try:
                content = json.loads(facts.read_text(encoding="utf-8"))
                sha256, cfg, extra = str(content["sha256"]), dict(content["cfg"]), dict(content.get("ferzoo") or {})
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise WeightsNotFoundError(
                    f'{facts} must be JSON with "sha256" and "cfg": {type(error).__name__}: {error}'
                ) from error
            return Weights(_check(path, sha256, str(facts)), cfg, extra), tried
    return None, tried or ["FERZOO_WEIGHTS: not set"]


def resolve(
    architecture: str,
    tag: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Weights:
    """Find and check the weights of a checkpoint.

    Args:
        architecture: A model's name, without tag.
        tag: The checkpoint's tag; None for the first there is.
        cache_dir: Cache of the Hub's client, its default where None.
        local_files_only: Never ask the Hub.

    Raises:
        WeightsNotFoundError: If no source has them; lists what was tried.
        WeightsCorruptError: If a file differs from its recorded sha256.
    """
    tag = tag or default_tag(architecture)
    name = f"{architecture}.{tag}" if tag else architecture
    known = checkpoints().get(name)
    if known:
        shipped = wheel_folder() / known.file
        if shipped.is_file():
            return _known(shipped, known)
    found, folders = _in_folders(name)
    if found:
        return found
    tried = [f"the package: no {name}.safetensors", *folders]
    if known and known.repo:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

        try:
            path = hf_hub_download(
                known.repo,
                "model.safetensors",
                revision=known.revision,
                cache_dir=None if cache_dir is None else Path(cache_dir),
                local_files_only=local_files_only,
            )
            return _known(Path(path), known)
        except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
            tried.append(f"the Hub: {known.repo}@{known.revision or 'main'}: {error}")
    else:
        tried.append("the Hub: no public repository is known for it")
    names = sorted({*checkpoints(), *local_checkpoints()})
    offer = f" There are weights for {', '.join(nearest(name, names) or names)}." if names else ""
    raise WeightsNotFoundError(f"No weights for {name!r}. Tried: {'; '.join(tried)}.{offer}")
