"""Weights of a Hub repository: safetensors alone, of one commit, each file checked before anything reads it."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, WeightsNotFoundError, first_line
from .blobs import compare_with_etag

__all__ = [
    "CONFIG",
    "README",
    "WEIGHTS",
    "Snapshot",
    "fetch",
    "fetch_file",
    "hub_hint",
    "is_hub_name",
    "read_json",
    "split_name",
]

WEIGHTS, CONFIG, README = "model.safetensors", "config.json", "README.md"
#: Files of weights that are pickles, or may be.
_PICKLES = (".bin", ".pt", ".pth", ".pth.tar", ".ckpt", ".pkl", ".pickle")
#: A config.json of more bytes is refused unread.
_MOST_BYTES = 1_000_000
_PREFIX = re.compile("hf[-_]hub:", re.IGNORECASE)
_WORD = r"[\w][\w.-]*"


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


def is_hub_name(name: str) -> bool:
    """Whether a name begins with ``hf-hub:``, in any case of its letters, or with timm's older ``hf_hub:``."""
    return bool(_PREFIX.match(name))


def hub_hint(name: str) -> str:
    """What to write instead of a name that looks like a repository's without its prefix; empty for other names."""
    found = re.fullmatch(f"{_WORD}/{_WORD}(@[^@]+)?", name, re.ASCII)
    return f"Write hf-hub:{name} for a repository of the Hub." if found else ""


def split_name(name: str) -> tuple[str, str | None]:
    """Repository and revision of ``"hf-hub:org/repo[@revision]"``, with or without the prefix.

    Raises:
        WeightsNotFoundError: If it is no such name.
    """
    repo, at, revision = _PREFIX.sub("", name, count=1).partition("@")
    if at and not revision:
        raise WeightsNotFoundError(f"{name!r} names no revision after the @: name one, or leave the @ out.")
    if not re.fullmatch(f"(?:{_WORD}/)?{_WORD}", repo, re.ASCII) or ".." in repo or "@" in revision:
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

    Weights whose hash nobody states are loaded only if the `config.json` beside them states it. That can happen in a
    cache without links, as on Windows, where weights that another program fetched are first loaded offline, and with
    a mirror whose ETags are no hashes.

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
        CheckpointError: If the repository holds no safetensors, or no config.json, or nothing states the hash of the
            weights.
    """
    repo, revision = split_name(name)
    config, _ = _fetch(repo, CONFIG, revision, cache_dir, local_files_only, token)
    folder = config.parent
    if weights:
        _, compared = _fetch(repo, WEIGHTS, folder.name, cache_dir, local_files_only, token)
        if not compared and not _states_sha256(config):
            raise CheckpointError(
                f"{WEIGHTS} of the Hub repository {repo} cannot be checked: the Hub was not asked for its hash or "
                f"states none, and {CONFIG} has none. Load it once while the Hub is in reach; or, if you trust the "
                f"files in the cache, name their folder: local-dir:{folder}"
            )
    return Snapshot(repo, folder.name, folder)


def _states_sha256(config: Path) -> bool:
    content = read_json(config)
    extra = content.get("ferzoo") if isinstance(content, dict) else None
    return isinstance(extra, dict) and bool(extra.get("sha256"))


def read_json(path: Path) -> Any:
    """The content of a `config.json`.

    Raises:
        CheckpointError: If it is larger than any config, or no JSON.
    """
    try:
        if (size := path.stat().st_size) > _MOST_BYTES:
            raise CheckpointError(f"{path} has {size:,} bytes: a {CONFIG} has at most {_MOST_BYTES:,}.")
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} is no readable JSON: {error}") from error


def fetch_file(
    repo: str,
    file: str,
    revision: str | None = None,
    cache_dir: str | os.PathLike[str] | None = None,
    local_files_only: bool = False,
    token: str | None = None,
) -> Path:
    """Bring one file of a repository into the cache, and compare it with the hash that the Hub states.

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
    return _fetch(repo, file, revision, cache_dir, local_files_only, token)[0]


def _fetch(
    repo: str,
    file: str,
    revision: str | None,
    cache_dir: str | os.PathLike[str] | None,
    local_files_only: bool,
    token: str | None,
) -> tuple[Path, bool]:
    """One file, and whether it was compared with a hash of the Hub's."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url

    at = f"{repo}@{revision}" if revision else repo
    offline = local_files_only or bool(constants.HF_HUB_OFFLINE)
    cache = None if cache_dir is None else os.fspath(cache_dir)
    try:
        found = hf_hub_download(
            repo, file, revision=revision, cache_dir=cache, local_files_only=local_files_only, token=token
        )
    except Exception as error:  # the client lets through those of whichever library carries its requests
        raise _refusal(error, repo, file, revision, offline) from error
    path = Path(found)

    def ask() -> str | None:
        if offline:
            return None
        commit = path.parents[file.count("/")].name
        try:
            return get_hf_file_metadata(hf_hub_url(repo, file, revision=commit), token=token).etag
        except Exception:  # out of reach: then nobody states a hash
            return None

    return path, compare_with_etag(path, file, f"the Hub repository {at}", ask)


def _refusal(error: Exception, repo: str, file: str, revision: str | None, offline: bool) -> CheckpointError:
    """What an error of the Hub's client means, and what to do."""
    from huggingface_hub import constants, errors

    at, hub = f"{repo}@{revision}" if revision else repo, constants.ENDPOINT
    if isinstance(error, errors.GatedRepoError):
        return WeightsNotFoundError(
            f"The Hub repository {at} asks for its terms to be accepted on {hub}/{repo}; then set HF_TOKEN."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return WeightsNotFoundError(
            f"There is no repository {repo} on {hub}, or it is private: set HF_TOKEN to a token that may read it."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return WeightsNotFoundError(f"The Hub repository {repo} has no revision {revision!r}.")
    if (status := _status(error)) in (401, 403):
        return WeightsNotFoundError(
            f"{hub} refuses the token ({status}) for {file} of {at}: set HF_TOKEN to a valid one, or to none for a "
            "public repository."
        )
    if isinstance(error, errors.LocalEntryNotFoundError):
        why = "it was not to be asked (local_files_only or HF_HUB_OFFLINE)" if offline else _root(error)
        return WeightsNotFoundError(
            f"{file} of the Hub repository {at} is not in the cache, and {hub} was not reached: {why}."
        )
    if isinstance(error, errors.EntryNotFoundError):
        return CheckpointError(_lacking(at, file))
    return WeightsNotFoundError(f"{file} of the Hub repository {at} cannot be fetched: {_root(error)}")


def _status(error: BaseException | None) -> int | None:
    """HTTP status of an error, or of what lies behind it."""
    while error is not None:
        if status := getattr(getattr(error, "response", None), "status_code", None):
            return int(status)
        error = error.__cause__
    return None


def _root(error: BaseException) -> str:
    """The first line of what lies behind an error."""
    while error.__cause__ is not None:
        error = error.__cause__
    return first_line(error)


def _lacking(at: str, file: str) -> str:
    if file != WEIGHTS:
        return f"The Hub repository {at} holds no {file}: it is no checkpoint of timm's or ferzoo's."
    return (
        f"The Hub repository {at} holds no {file}. Loading a pickle ({', '.join(_PICKLES[:4])}) can run code from the "
        "file, so ferzoo does not: ask its owner for safetensors."
    )
