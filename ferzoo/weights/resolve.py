"""Where `pretrained=True` finds weights: the wheel, FERZOO_WEIGHTS, a checkout, the cache, the Hub, in this order."""

from __future__ import annotations

import os
from pathlib import Path

from ..errors import CheckpointError, WeightsCorruptError, WeightsNotFoundError, nearest
from .configs import Checkpoint, checkpoints
from .folders import Weights, cache_folder, checked, local_checkpoints, look_in, search_path, sha256_of
from .repository import WEIGHTS, fetch_file

__all__ = ["available", "default_tag", "resolve"]


def _known(path: Path, checkpoint: Checkpoint) -> Weights:
    checked(path, checkpoint.sha256, f"hub_configs/{checkpoint.name}.yaml")
    return Weights(path, checkpoint.pretrained_cfg(), checkpoint.ferzoo)


def default_tag(architecture: str) -> str | None:
    """Tag that a name without one means: `ferplus` or else the first of an architecture, None where there is none."""
    return next((c.tag for c in checkpoints().values() if c.architecture == architecture), None)


def resolve(
    architecture: str,
    tag: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
) -> Weights:
    """Find and check the weights of a checkpoint.

    Args:
        architecture: A model's name, without tag.
        tag: The checkpoint's tag; None for the default.
        cache_dir: Cache of the Hub's client, its default where None.
        local_files_only: Never ask the Hub.

    Raises:
        WeightsNotFoundError: If no source has them; lists what was tried.
        WeightsCorruptError: If a file differs from its recorded sha256.
    """
    tag = tag or default_tag(architecture)
    name = f"{architecture}.{tag}" if tag else architecture
    known = checkpoints().get(name)
    if known and (path := known.in_package()):
        return _known(path, known)
    tried = [f"the package: no {name}.safetensors"]
    if not search_path():
        tried.append("FERZOO_WEIGHTS: not set")
    for folder in search_path():
        found = look_in(folder, name, "FERZOO_WEIGHTS")
        if isinstance(found, Weights):
            return found
        tried.append(found)
    if known and (path := known.shipped()):
        return _known(path, known)
    found = look_in(cache_folder(cache_dir), name, "the cache")
    if isinstance(found, Weights):
        if not known or sha256_of(found.path) == known.sha256.lower():
            return found
        found = f"the cache: {found.path} is of another version; `ferzoo pull {name}` fetches this one"
    tried.append(found)
    if known and known.repo:
        try:
            return _known(fetch_file(known.repo, WEIGHTS, known.revision, cache_dir, local_files_only), known)
        except WeightsCorruptError:
            raise
        except CheckpointError as error:
            tried.append(f"the Hub: {known.repo}@{known.revision or 'main'}: {error}")
    else:
        tried.append("the Hub: no public repository is known for it")
    offer = ""
    if known and not known.repo:
        offer += (
            f" The file is in ferzoo's repository, hub_configs/weights/{known.file}: name that folder in "
            f"FERZOO_WEIGHTS, or fetch it once with `ferzoo pull {name} --from FOLDER`."
        )
    # A name that is known is no slip of the pen: what is offered in its place is what can be had.
    if names := sorted({*(available() if known else checkpoints()), *local_checkpoints()} - {name}):
        offer += f" There are weights for {', '.join(nearest(name, names) or names)}."
    raise WeightsNotFoundError(f"No weights for {name!r}. Tried: {'; '.join(tried)}.{offer}")


def available() -> list[str]:
    """Checkpoints that came with the code or that the Hub has."""
    return [name for name, known in checkpoints().items() if known.repo or known.shipped()]
