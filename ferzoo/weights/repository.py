"""Weights of a Hub repository: safetensors alone, of one commit, each file checked before anything reads it."""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import CheckpointError, WeightsCorruptError, WeightsNotFoundError
from .folders import sha256_of

__all__ = ["CONFIG", "WEIGHTS", "Snapshot", "fetch", "fetch_file", "split_name"]

WEIGHTS, CONFIG = "model.safetensors", "config.json"
#: Files of weights that are pickles, or may be.
_PICKLES = (".bin", ".pt", ".pth", ".pth.tar", ".ckpt", ".pkl", ".pickle")


@dataclass(frozen=True)
class Snapshot:
    """What the cache holds of a repository at one commit.

    Attributes:
        repo: ``"org/repo"``.
        commit: Full hash of the commit.
        folder: Folder with `config.json` and, where they were asked for, `model.safetensors`.
    """

    repo: str
    commit: str
    folder: Path


def split_name(name: str) -> tuple[str, str | None]:
    """Repository and revision of ``"hf-hub:org/repo[@revision]"``, with or without the prefix.

    Raises:
        WeightsNotFoundError: If it is no such name.
    """
    repo, _, revision = re.sub(r"^hf[-_]hub:", "", name).partition("@")
    word = r"[\w][\w.-]*"
    if not re.fullmatch(f"(?:{word}/)?{word}", repo, re.ASCII) or ".." in repo or "@" in revision:
        raise WeightsNotFoundError(
            f"{name!r} is no name of a Hub repository: write hf-hub:ORG/REPO or ORG/REPO@REVISION."
        )
    return repo, revision or None


def fetch(
    name: str,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    weights: bool = True,
    token: str | None = None,
) -> Snapshot:
    """Bring `config.json` and `model.safetensors` of a repository into the cache of the Hub's client.

    Both come from the same commit, whatever is pushed meanwhile. What is in the cache is not fetched again.

    Args:
        name: ``"hf-hub:org/repo"`` or ``"org/repo"``, with ``"@revision"``: a branch, a tag or a commit; the newest
            commit of the main branch where there is none.
        cache_dir: Cache of the Hub's client, its default where None.
        local_files_only: Take what the cache has and ask nobody; so does `HF_HUB_OFFLINE=1`.
        weights: Fetch the weights, too.
        token: Token for a private repository; that of `HF_TOKEN` or of the Hub's login where None.

    Raises:
        WeightsNotFoundError: If there is no such repository or revision, the token may not read it, or the Hub cannot
            be reached; says which.
        WeightsCorruptError: If a file is not what the Hub says that it is; it is taken out of the cache.
        CheckpointError: If the repository holds no safetensors, or no config.json.
    """
    repo, revision = split_name(name)
    config = fetch_file(repo, CONFIG, revision, cache_dir, local_files_only, token)
    commit = config.parent.name
    if weights:
        fetch_file(repo, WEIGHTS, commit, cache_dir, local_files_only, token)
    return Snapshot(repo, commit, config.parent)


def fetch_file(
    repo: str,
    file: str,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: str | None = None,
) -> Path:
    """Bring one file of a repository into the cache, and check it against the hash that the Hub states.

    Args:
        repo: ``"org/repo"``.
        file: Its path in the repository.
        revision: A branch, a tag or a commit.
        cache_dir: Cache of the Hub's client, its default where None.
        local_files_only: Take what the cache has and ask nobody.
        token: As `fetch`.

    Raises:
        WeightsNotFoundError: As `fetch`.
        WeightsCorruptError: As `fetch`.
        CheckpointError: If the repository has no such file.
    """
    from huggingface_hub import constants, hf_hub_download
    from huggingface_hub.errors import (
        EntryNotFoundError,
        GatedRepoError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    at = f"{repo}@{revision}" if revision else repo
    hub = constants.ENDPOINT
    try:
        path = hf_hub_download(
            repo,
            file,
            revision=revision,
            cache_dir=None if cache_dir is None else os.fspath(cache_dir),
            local_files_only=local_files_only,
            token=token,
        )
    except LocalEntryNotFoundError as error:
        offline = local_files_only or constants.HF_HUB_OFFLINE
        why = "it was not to be asked (local_files_only or HF_HUB_OFFLINE)" if offline else _root(error)
        raise WeightsNotFoundError(
            f"{file} of the Hub repository {at} is not in the cache, and {hub} was not reached: {why}."
        ) from error
    except GatedRepoError as error:
        raise WeightsNotFoundError(
            f"The Hub repository {at} asks for its terms to be accepted on {hub}/{repo}; then set HF_TOKEN."
        ) from error
    except RepositoryNotFoundError as error:
        raise WeightsNotFoundError(
            f"There is no repository {repo} on {hub}, or it is private: set HF_TOKEN to a token that may read it."
        ) from error
    except RevisionNotFoundError as error:
        raise WeightsNotFoundError(f"The Hub repository {repo} has no revision {revision!r}.") from error
    except EntryNotFoundError as error:
        raise CheckpointError(_lacking(at, file)) from error
    except Exception as error:  # the client lets through those of whichever library carries its requests
        raise WeightsNotFoundError(f"{file} of the Hub repository {at} cannot be fetched: {_root(error)}") from error
    return _checked(Path(path), f"the Hub repository {at}")


def _root(error: BaseException) -> str:
    """The first line of what lies behind an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _lacking(at: str, file: str) -> str:
    if file != WEIGHTS:
        return f"The Hub repository {at} holds no {file}: it is no checkpoint of timm's or ferzoo's."
    return (
        f"The Hub repository {at} holds no {file}. Loading a pickle ({', '.join(_PICKLES[:4])}) can run code from the "
        "file, so ferzoo does not: ask its owner for safetensors."
    )


def _checked(path: Path, origin: str) -> Path:
    """Compare a file with the hash that the Hub gave, which is its name in the cache: sha256, git's for small files.

    Raises:
        WeightsCorruptError: If it differs; it is gone from the cache then.
    """
    blob = path.resolve()
    if re.fullmatch("[0-9a-f]{64}", blob.name):
        kind, found = "sha256", sha256_of(blob)
    elif re.fullmatch("[0-9a-f]{40}", blob.name):
        content = blob.read_bytes()
        kind, found = "git hash", hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    else:  # a cache without links
        return path
    if found != blob.name:
        path.unlink(missing_ok=True)
        blob.unlink(missing_ok=True)
        raise WeightsCorruptError(
            f"{path.name} of {origin} is damaged: its {kind} is {found}, the Hub says {blob.name}. It was taken out of "
            "the cache; fetch it again."
        )
    return path
