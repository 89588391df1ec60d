"""Weights to the Hub: one commit with everything needed to use and to judge them, read back and compared."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import CheckpointError
from ..registry.exported import is_exported
from ..registry.folder import create_from_folder
from ..registry.load import load_model
from ..weights.folders import sha256_of
from ..weights.repository import fetch, fetch_file
from .client import patiently, refusals, repository
from .facts import Facts, checkpoint_of, facts_of
from .folder import Published, write_folder
from .same import compare
from .there import allowed

__all__ = ["Pushed", "push_to_hub"]


@dataclass(frozen=True)
class Pushed:
    """What a push did.

    Attributes:
        repo_id: The repository.
        name: Architecture and tag of the weights.
        dtype: ``"float32"`` or ``"float16"``.
        commit: Hash of the commit; empty for a dry run.
        revision: What to load it by: the commit, or the reference of the pull request.
        url: The commit or pull request on the Hub, or the folder of a dry run.
        files: Names and sha256 of the files.
        unchanged: The repository held all of it already: nothing was committed, and no pull request was opened. The
            commit is the one that was there.
    """

    repo_id: str
    name: str
    dtype: str
    commit: str
    revision: str
    url: str
    files: dict[str, str]
    unchanged: bool = False

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
    dtype: str | None = None,
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
        private: Make it private, if it is made; one that is public is refused.
        revision: Branch to push to, made where there is none; the main branch where None.
        create_pr: Open a pull request instead.
        commit_message: First line of the commit.
        dtype: ``"float32"``, or ``"float16"`` for half the size. Where None, a checkpoint of ferzoo's own goes up as
            the file that ships, byte for byte, and all else in float32.
        token: Token with the right to write; that of `HF_TOKEN` or of the Hub's login where None.
        overwrite: Whether to push over a repository that holds something else (another network, tag, data set or
            other classes, or no checkpoint), or a function that is told what it holds and decides.
        dry_run: Write the files to this folder, an empty one or that of another dry run, and send nothing.
        metrics: Evaluations by split, as `ferzoo.evaluate` gives them; those of the checkpoint where None.
        dataset: Data set that the weights were trained on, where the checkpoint does not say it.
        license: Licence of the weights, an SPDX name or words.
        description: One line on what they are.
        model_args: Arguments that a network of one's own was built with, as `img_size`; those of a checkpoint are
            known.

    Returns:
        What was done, with the revision to load it by.

    Raises:
        UnknownNameError: If there is no such model.
        CheckpointError: If the repository's name is none, there are no weights, the network cannot be rebuilt from
            the files, the repository holds something else and `overwrite` does not allow it, the Hub refuses, or what
            comes back differs.

    Examples:
        >>> ferzoo.push_to_hub("runs/lfnsb", "me/lfnsb-mine", private=True)  # doctest: +SKIP
    """
    repo_id = repository(repo_id)
    if is_exported(model):
        raise CheckpointError(f"{model} is an export: push the network that it was made from.")
    network = model if isinstance(model, nn.Module) else load_model(model)
    facts = facts_of(
        model, network, metrics=dict(metrics or {}), dataset=dataset, license=license, description=description
    )
    args = {**getattr(network, "ferzoo_args", {}), **(model_args or {})}
    source = None if isinstance(model, nn.Module) else checkpoint_of(model)
    shipped = source.shipped() if source else None
    kind = _dtype_of(shipped) if shipped else ""
    if dtype not in (None, kind):
        shipped = None
    dtype = dtype or kind or "float32"
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) if dry_run is None else Path(dry_run).expanduser()
        at = "" if create_pr else revision or ""
        written = write_folder(network, facts, folder, repo_id, dtype, args, source_file=shipped, revision=at)
        if dry_run is not None:
            return Pushed(repo_id, facts.name, dtype, "", "", str(folder), written.files)
        with refusals(repo_id):
            sent = _send(written, facts, repo_id, private, revision, create_pr, commit_message, token, overwrite)
        return Pushed(repo_id, facts.name, dtype, *sent[:3], written.files, sent[3])


def _dtype_of(file: Path) -> str:
    """Type of the floating-point tensors of a safetensors file."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as tensors:
        kinds = {tensors.get_slice(name).get_dtype() for name in tensors.keys()}  # noqa: SIM118 (no mapping)
    return {frozenset({"F16"}): "float16", frozenset({"F32"}): "float32"}.get(frozenset(kinds - {"I64"}), "")


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
) -> tuple[str, str, str, bool]:
    """Commit, and fetch again; returns the commit, what to load it by, its address, and whether all was there."""
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

    from .. import __version__

    api = HfApi(token=token, library_name="ferzoo", library_version=__version__)
    repo_id = patiently(api.create_repo, repo_id, private=private, exist_ok=True).repo_id
    if private and not patiently(api.model_info, repo_id).private:
        raise CheckpointError(
            f"{repo_id} is there already, and public: nothing was sent. Make it private in its settings, or push "
            "without private."
        )
    if revision and not create_pr:
        patiently(api.create_branch, repo_id, branch=revision, exist_ok=True)
    with tempfile.TemporaryDirectory() as cache:
        parent, stale = allowed(api, repo_id, revision, written, overwrite, cache, token)
    commit = patiently(
        api.create_commit,
        repo_id,
        [
            *(CommitOperationAdd(name, str(written.folder / name)) for name in written.files),
            *(CommitOperationDelete(name) for name in stale),
        ],
        commit_message=commit_message or f"Add {facts.name}",
        revision=revision,
        create_pr=create_pr,
        parent_commit=parent,
    )
    at = commit.pr_revision if create_pr and commit.pr_revision else commit.oid
    url = commit.pr_url if create_pr and commit.pr_url else commit.commit_url
    try:
        _read_back(written, f"{repo_id}@{at}", token)
    except CheckpointError as error:
        raise CheckpointError(f"The commit was made, see {url}, but is not proven: {error}") from error
    return commit.oid, at, str(url), commit.oid == parent  # the client makes no empty commit


def _read_back(written: Published, name: str, token: str | None) -> None:
    """Fetch what was pushed into a cache of its own, and compare file by file and tensor by tensor.

    Raises:
        CheckpointError: If anything differs.
    """
    repo, _, revision = name.partition("@")
    with tempfile.TemporaryDirectory() as cache:
        found = fetch(name, cache, token=token)
        for file, sha256 in written.files.items():
            back = fetch_file(repo, file, revision, cache, token=token)
            if sha256_of(back) != sha256:
                raise CheckpointError(f"{file} of {name} is not what was sent: push it again.")
        compare(create_from_folder(found.folder), written.model.state_dict(), name)
