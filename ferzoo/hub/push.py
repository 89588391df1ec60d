"""Weights to the Hub: one commit with everything needed to use and to judge them, read back and compared."""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from ..errors import CheckpointError, FerzooError
from ..registry.folder import create_from_folder
from ..weights.folders import sha256_of
from ..weights.repository import CONFIG, WEIGHTS, fetch, fetch_file, split_name
from .facts import Facts, facts_of
from .folder import Published, compare, write_folder
from .load import load_model

if TYPE_CHECKING:
    from collections.abc import Iterator

    from huggingface_hub import HfApi

__all__ = ["Pushed", "push_to_hub"]

#: Files that every repository has by itself.
_OF_THE_HUB = {".gitattributes"}


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        repo_id: The repository.
        name: Architecture and tag of the weights.
        commit: Hash of the commit; empty for a dry run.
        revision: What to load it by: the commit, or the reference of the pull request.
        url: The commit or pull request on the Hub, or the folder of a dry run.
        files: Names and sha256 of the files.
    """

    repo_id: str
    name: str
    commit: str
    revision: str
    url: str
    files: dict[str, str]

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def push_to_hub(
    model: nn.Module | str | os.PathLike[str],
    repo_id: str,
    *,
    private: bool = False,
    revision: str | None = None,
    create_pr: bool = False,
    commit_message: str = "",
    dtype: str = "float32",
    token: str | None = None,
    overwrite: bool | Callable[[str], bool] = False,
    dry_run: str | os.PathLike[str] | None = None,
    metrics: Mapping[str, Any] | None = None,
    dataset: str = "",
    license: str = "",  # noqa: A002 (the Hub's name)
    description: str = "",
    model_args: Mapping[str, Any] | None = None,
) -> Pushed:
    """Publish weights: `model.safetensors`, `config.json`, a card with the measured figures, the confusion matrix.

    All files go up in one commit. They are then fetched again and compared with what was written, bit for bit, and
    the network that they give with the one that was pushed.

    Args:
        model: A network, a name with weights (``"lfnsb"``), or the folder of a run.
        repo_id: ``"org/repo"``; made where there is none.
        private: Make it private, if it is made.
        revision: Branch to push to, made where there is none; the main branch where None.
        create_pr: Open a pull request instead.
        commit_message: First line of the commit.
        dtype: ``"float32"``, or ``"float16"`` for half the size.
        token: Token with the right to write; that of `HF_TOKEN` or of the Hub's login where None.
        overwrite: Whether to push over a repository that holds something else, or a function that is told what it
            holds and decides.
        dry_run: Write the files to this folder and send nothing.
        metrics: Evaluations by split, as `ferzoo.evaluate` gives them; those of the checkpoint where None.
        dataset: Data set that the weights were trained on, where the checkpoint does not say it.
        license: Licence of the weights, an SPDX name or words.
        description: One line on what they are.
        model_args: Arguments that a network of one's own was built with, as `img_size`.

    Returns:
        What was done, with the revision to load it by.

    Raises:
        UnknownNameError: If there is no such model.
        CheckpointError: If there are no weights, the network cannot be rebuilt from the files, the repository holds
            something else and `overwrite` does not allow it, the Hub refuses, or what comes back differs.

    Examples:
        >>> ferzoo.push_to_hub("runs/lfnsb", "me/lfnsb-mine", private=True)  # doctest: +SKIP
    """
    split_name(repo_id)
    network = model if isinstance(model, nn.Module) else load_model(model)
    facts = facts_of(
        model, network, metrics=dict(metrics or {}), dataset=dataset, license=license, description=description
    )
    args = {**_args_of(model), **(model_args or {})}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if dry_run is None else Path(dry_run).expanduser()
        written = write_folder(network, facts, folder, repo_id, dtype, args)
        if dry_run is not None:
            return Pushed(repo_id, facts.name, "", "", str(folder), written.files)
        with _refusals(repo_id):
            return _send(written, facts, repo_id, private, revision, create_pr, commit_message, token, overwrite)


def _args_of(source: Any) -> dict[str, Any]:
    """Constructor arguments that a run's config.json or the network itself knows."""
    if not isinstance(source, nn.Module) and (path := Path(source).expanduser() / CONFIG).is_file():
        return dict(json.loads(path.read_text(encoding="utf-8")).get("model_args") or {})
    return {}


def _send(
    written: Published,
    facts: Facts,
    repo_id: str,
    private: bool,
    revision: str | None,
    create_pr: bool,
    commit_message: str,
    token: str | None,
    overwrite: bool | Callable[[str], bool],
) -> Pushed:
    from huggingface_hub import CommitOperationAdd, HfApi

    from .. import __version__

    api = HfApi(token=token, library_name="ferzoo", library_version=__version__)
    repo_id = _patiently(api.create_repo, repo_id, private=private, exist_ok=True).repo_id
    if revision and not create_pr:
        _patiently(api.create_branch, repo_id, branch=revision, exist_ok=True)
    parent = _ask(api, repo_id, revision, facts, overwrite)
    operations = [CommitOperationAdd(name, str(written.folder / name)) for name in written.files]
    commit = _patiently(
        api.create_commit,
        repo_id,
        operations,
        commit_message=commit_message or f"Add {facts.name}",
        revision=revision,
        create_pr=create_pr,
        parent_commit=parent,
    )
    at = commit.pr_revision if create_pr and commit.pr_revision else commit.oid
    _read_back(written, f"{repo_id}@{at}", token)
    url = commit.pr_url if create_pr and commit.pr_url else commit.commit_url
    return Pushed(repo_id, facts.name, commit.oid, at, str(url), written.files)


def _patiently(call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call the Hub, and again where it asks to wait: its client tries downloads again, and these calls not."""
    from huggingface_hub.errors import HfHubHTTPError

    for wait in (2.0, 8.0, 30.0, None):
        try:
            return call(*args, **kwargs)
        except HfHubHTTPError as error:
            response = getattr(error, "response", None)
            if getattr(response, "status_code", None) != 429 or wait is None:
                raise
            asked = str(response.headers.get("Retry-After", "")) if response is not None else ""
            time.sleep(min(float(asked), 300.0) if asked.isdigit() else wait)
    raise AssertionError("the last try returns or raises")


def _ask(
    api: HfApi, repo_id: str, revision: str | None, facts: Facts, overwrite: bool | Callable[[str], bool]
) -> str | None:
    """The commit to build on; where the repository holds something else, only if that may be written over."""
    info = _patiently(api.model_info, repo_id, revision=revision)
    there = sorted({sibling.rfilename for sibling in info.siblings or ()} - _OF_THE_HUB)
    if there and overwrite is not True:
        what = _what_is_there(repo_id, info.sha, there)
        if what != facts.architecture:
            said = f"{repo_id} holds {what or 'something else'}: {', '.join(there[:8])}"
            if not (callable(overwrite) and overwrite(said)):
                raise CheckpointError(f"{said}. Nothing was sent: choose another repository, or allow it (overwrite).")
    return info.sha


def _what_is_there(repo_id: str, commit: str | None, files: list[str]) -> str:
    """Architecture of the checkpoint that a repository holds; empty where it holds none."""
    if CONFIG not in files or WEIGHTS not in files:
        return ""
    try:
        content = json.loads(fetch_file(repo_id, CONFIG, commit).read_text(encoding="utf-8"))
        return str(content["architecture"])
    except (CheckpointError, ValueError, KeyError, TypeError):
        return ""


def _read_back(written: Published, name: str, token: str | None) -> None:
    """Fetch what was pushed into a cache of its own, and compare file by file and tensor by tensor.

    Raises:
        CheckpointError: If anything differs.
    """
    with tempfile.TemporaryDirectory() as cache:
        found = fetch(name, cache, token=token)
        repo, revision = split_name(name)
        for file, sha256 in written.files.items():
            back = fetch_file(repo, file, revision, cache, token=token)
            if sha256_of(back) != sha256:
                raise CheckpointError(f"{file} of {name} is not what was sent: push it again.")
        compare(create_from_folder(found.folder), written.model.state_dict(), name)


@contextmanager
def _refusals(repo_id: str) -> Iterator[None]:
    """Turn the errors of the Hub's client into one line that says what to do."""
    from huggingface_hub import constants
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError, OfflineModeIsEnabled

    try:
        yield
    except LocalTokenNotFoundError as error:
        raise CheckpointError("There is no token: set HF_TOKEN, or log in with `hf auth login`.") from error
    except OfflineModeIsEnabled as error:
        raise CheckpointError("HF_HUB_OFFLINE is set: nothing can be pushed.") from error
    except HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        hint = {
            401: "The token is missing or wrong: set HF_TOKEN to one with the right to write",
            403: f"The token may not write to {repo_id}: use one that may",
            409: "It was changed meanwhile: push again",
            412: "It was changed meanwhile: push again",
            429: "The Hub asks for fewer requests: wait, and push again",
        }.get(status or 0, "Try again later")
        first = next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".: ")
        raise CheckpointError(f"{constants.ENDPOINT} refused the push to {repo_id}: {first}. {hint}.") from error
    except FerzooError:
        raise
    except Exception as error:  # the client lets through those of whichever library carries its requests
        cause = error.__cause__ or error
        raise CheckpointError(
            f"The push to {repo_id} failed: {str(cause) or type(cause).__name__}. See {constants.ENDPOINT}/{repo_id} "
            "for what is there; pushing again is safe."
        ) from error
