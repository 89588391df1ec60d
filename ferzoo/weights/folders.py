"""Folders of weights: `<name>.<tag>.safetensors`, with its sha256 and cfg in `<name>.<tag>.json` beside it.

Those of FERZOO_WEIGHTS are the user's; one more, in the cache, is where `ferzoo pull --from` puts them.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CheckpointError, WeightsCorruptError, WeightsNotFoundError, nearest
from .configs import checkpoints
from .files import write_atomically

__all__ = [
    "Weights",
    "cache_folder",
    "checked",
    "copy_to_cache",
    "listed",
    "look_in",
    "local_checkpoints",
    "search_path",
    "sha256_of",
]


@dataclass(frozen=True)
class Weights:
    """A checked weights file, timm's pretrained cfg for it, and what timm's cfg has no field for.

    Attributes:
        path: The file.
        cfg: The cfg.
        ferzoo: What the cfg has no field for.
        facts: The JSON beside the file that says so; None where hub_configs does.
    """

    path: Path
    cfg: dict[str, Any]
    ferzoo: dict[str, Any] = field(default_factory=dict)
    facts: Path | None = None


def sha256_of(path: Path) -> str:
    """Hex sha256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def checked(path: Path, expected: str, origin: str) -> Path:
    """The file itself, if its sha256 is the expected one.

    Args:
        path: The file.
        expected: Hex sha256.
        origin: What states it, for the message.

    Raises:
        WeightsCorruptError: If it is another.
    """
    actual = sha256_of(path)
    if actual != expected.lower():
        raise WeightsCorruptError(
            f"{path} is damaged or not the file that {origin} describes: its sha256 is {actual}, expected "
            f"{expected}. Reinstall ferzoo or fetch the file again."
        )
    return path


def search_path() -> list[Path]:
    """The folders of FERZOO_WEIGHTS, in their order."""
    return [Path(folder).expanduser() for folder in os.environ.get("FERZOO_WEIGHTS", "").split(os.pathsep) if folder]


def cache_folder(cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Where `ferzoo pull --from` keeps weights: `ferzoo` in `cache_dir`, or in the Hub client's HF_HOME."""
    if cache_dir is None:
        from huggingface_hub.constants import HF_HOME

        cache_dir = HF_HOME
    return Path(cache_dir).expanduser() / "ferzoo"


def listed(folder: Path) -> list[str]:
    """Names with tag of a folder's weights that have their facts beside them, sorted."""
    return sorted(p.stem for p in folder.glob("*.*.safetensors") if p.with_suffix(".json").is_file())


def local_checkpoints() -> list[str]:
    """Names with tag of the weights in the folders of FERZOO_WEIGHTS and in the cache, sorted."""
    return sorted({name for folder in (*search_path(), cache_folder()) for name in listed(folder)})


def look_in(folder: Path, name: str, whose: str = "") -> Weights | str:
    """A checkpoint of a folder, checked; or, where the folder has none, what was tried.

    While `copy_to_cache` replaces the two files, it is waited for: the answer is the old pair or the new one.

    Args:
        folder: The folder.
        name: Name with tag.
        whose: What the folder is, for the messages; the folder alone where empty.

    Raises:
        WeightsNotFoundError: If the facts beside the weights cannot be read.
        WeightsCorruptError: If the weights are not what the facts describe.
    """
    prefix = f"{whose}: " if whose else ""
    with suppress(WeightsCorruptError, WeightsNotFoundError, FileNotFoundError):
        if isinstance(found := _look_in(folder, name, prefix), Weights):
            return found
    with _no_writer(_lock_of(folder, name)):  # it may have been between its two files
        return _look_in(folder, name, prefix)


def _lock_of(folder: Path, name: str) -> Path:
    return folder / f".{name}.lock"


@contextmanager
def _no_writer(lock: Path) -> Iterator[None]:
    """Hold a writer's lock, if there is one; without it in a folder that may only be read."""
    with ExitStack() as stack:
        if lock.is_file():
            from huggingface_hub.utils import WeakFileLock

            with suppress(OSError):
                stack.enter_context(WeakFileLock(lock))
        yield


def _look_in(folder: Path, name: str, prefix: str) -> Weights | str:
    path, facts = folder / f"{name}.safetensors", folder / f"{name}.json"
    if not path.is_file():
        return f"{prefix}no {path}"
    if not facts.is_file():
        return f"{prefix}{path} has no {facts.name} with its sha256 and cfg beside it"
    try:
        content = json.loads(facts.read_text(encoding="utf-8"))
        sha256, cfg, extra = str(content["sha256"]), dict(content["cfg"]), dict(content.get("ferzoo") or {})
        if not re.fullmatch("[0-9a-fA-F]{64}", sha256):
            raise ValueError(f"sha256 must be 64 hexadecimal digits, got {sha256[:70]!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsNotFoundError(
            f'{facts} must be JSON with "sha256" and "cfg": {type(error).__name__}: {error}'
        ) from error
    return Weights(checked(path, sha256, str(facts)), cfg, extra, facts)


def copy_to_cache(name: str, source: Path, cache_dir: str | os.PathLike[str] | None = None) -> Path:
    """Copy a checkpoint from a folder to the cache, where `pretrained=True` finds it from then on.

    The files are checked first, and what the cache held before stays if anything fails. Where the cache has them
    already, nothing is written. Processes that copy the same name do it one after the other.

    Args:
        name: Name with tag, ``"mfn.ferplus"``.
        source: Folder with the safetensors file and its JSON.
        cache_dir: Cache to use instead of the Hub client's HF_HOME.

    Returns:
        The file in the cache.

    Raises:
        WeightsNotFoundError: If the folder does not have them; names those it has.
        WeightsCorruptError: If a file is damaged, or is another version than this ferzoo describes.
        CheckpointError: If the folder is the cache itself.
    """
    from huggingface_hub.utils import WeakFileLock

    if not source.is_dir():
        raise WeightsNotFoundError(f"There is no folder {source}.")
    found = look_in(source, name)
    if isinstance(found, str):
        names = listed(source)
        offer = f"It has {', '.join(nearest(name, names) or names)}." if names else "It has no weights with facts."
        raise WeightsNotFoundError(f"{source} does not have {name!r}: {found}. {offer}")
    known = checkpoints().get(name)
    if known:
        checked(found.path, known.sha256, f"hub_configs/{name}.yaml")
    folder = cache_folder(cache_dir)
    if folder.resolve() == source.resolve():
        raise CheckpointError(f"{source} is the cache itself: there is nothing to copy.")
    text = found.path.with_suffix(".json").read_text(encoding="utf-8")
    sha256 = str(json.loads(text)["sha256"])
    target = folder / found.path.name
    facts = target.with_suffix(".json")
    folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(_lock_of(folder, name)):
        for left in folder.iterdir():  # by a process that was killed
            if left.is_dir() and re.fullmatch(rf"\.{re.escape(name)}\.[a-z0-9_]{{8}}", left.name):
                shutil.rmtree(left, ignore_errors=True)
        same = target.is_file() and sha256_of(target) == sha256.lower()
        if same and facts.is_file() and facts.read_text(encoding="utf-8") == text:
            return target
        # Both are written whole, and what was written is what was checked, before either takes an old one's place.
        with tempfile.TemporaryDirectory(dir=folder, prefix=f".{name}.") as temporary:
            weights, beside = Path(temporary) / target.name, Path(temporary) / facts.name
            write_atomically(weights, lambda path: shutil.copyfile(found.path, path))
            write_atomically(beside, lambda path: path.write_text(text, encoding="utf-8"))
            checked(weights, sha256, str(found.path.with_suffix(".json")))
            weights.replace(target)
            beside.replace(facts)
    return target
