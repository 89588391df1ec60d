"""Run folders: atomic files, the state to resume from, and the checkpoint that others read."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.faces import Faces
from ..errors import CheckpointError
from ..weights.files import write_atomically, write_tensors
from .recipe import WHERE, Recipe

__all__ = [
    "alone",
    "check_free",
    "check_resumable",
    "clear_unfinished",
    "digests",
    "load_state",
    "other_keys",
    "save_state",
    "write_checkpoint",
    "write_json",
]


#: Images, spread evenly over the rows, by which a run knows its rows again: all would take long where they are files.
LOOKED_AT = 4096
#: Files that a run writes.
FILES = (
    "state.pt", "model.safetensors", "config.json", "metrics.json", "history.json", "history.csv", "recipe.json",
    "environment.json", "environment-after-*.json", "folds.json", "README.md",
)  # fmt: skip


#: Folders that this process holds, as open files.
_HELD: set[int] = set()


def _let_go() -> None:
    """In a child, such as one that loads images, which would hold them beyond the end of its parent."""
    while _HELD:
        with contextlib.suppress(OSError):
            os.close(_HELD.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


@contextlib.contextmanager
def alone(folder: Path, writes: bool = True) -> Iterator[None]:
    """Hold a run's folder, which is made, where system and file system know locks: a second run is turned away.

    Args:
        folder: The folder; one that was made and stays empty is gone afterwards.
        writes: Whether this process is one that writes there.

    Raises:
        CheckpointError: If another run holds it.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        writes = False
    if not writes:
        yield
        return
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    held = -1
    try:
        with contextlib.suppress(OSError):  # of a folder that may not be read, or a file system without locks
            held = os.open(folder, os.O_RDONLY)
            _HELD.add(held)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise CheckpointError(
                    f"Another run is training into {folder}: wait until it ends, or choose another out=."
                ) from error
        yield
    finally:
        if held in _HELD:  # a child has let go of it
            _HELD.discard(held)
            os.close(held)
            if made:
                with contextlib.suppress(OSError):  # something is in it
                    folder.rmdir()


def clear_unfinished(folder: Path) -> None:
    """Remove what a killed run had begun to write beside its files."""
    for name in FILES:
        for path in folder.glob(f".{name}.*"):
            path.unlink(missing_ok=True)


def write_json(path: Path, content: Any) -> None:
    """Write JSON atomically.

    Args:
        path: The file, replaced as a whole.
        content: Plain values.
    """
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write the optimiser's state atomically.

    Args:
        path: The file, replaced as a whole.
        state: Tensors and plain values alone, so that `load_state` needs to unpickle nothing else.
    """

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:  # a file of Python's own, whose errors say what the system said
            torch.save(state, file)

    write_atomically(path, write)


def load_state(path: Path) -> dict[str, Any]:
    """Read what `save_state` wrote.

    Raises:
        CheckpointError: If the file is damaged.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many kinds for a damaged file
        raise CheckpointError(f"{path} is damaged: delete {path.parent}, or choose another out=. {error}") from error


def digests(faces: Faces) -> dict[str, str]:
    """Digests of the ``"rows"``, labels and targets in their order, and of the ``"images"`` of `LOOKED_AT` of them.

    They are the same whether the images lie in memory or not.

    Raises:
        DataError: If one of these images is missing or damaged.
    """
    looked_at = np.unique(np.linspace(0, len(faces) - 1, min(LOOKED_AT, len(faces))).astype(int))
    parts = {
        "rows": faces.labels.tobytes() + faces.targets.tobytes(),
        "images": b"".join(faces.take(looked_at).digests()),
    }
    return {name: hashlib.sha256(part).hexdigest() for name, part in parts.items()}


def other_keys(recipe: Recipe, before: Mapping[str, Any], free: Sequence[str] = WHERE) -> list[str]:
    """Keys in which a recipe differs from one that was written down; what that lacks had its default.

    Args:
        recipe: The recipe.
        before: What `Recipe.to_dict` gave.
        free: Keys that may differ.
    """
    mine, defaults = (json.loads(json.dumps(each.to_dict())) for each in (recipe, Recipe()))
    then = json.loads(json.dumps(before))
    return [key for key in mine if key not in free and mine[key] != then.get(key, defaults[key])]


def check_free(folder: Path, recipe: Recipe) -> None:
    """Check that a new run in a folder overwrites no other run's result.

    Args:
        folder: Where it is to be.
        recipe: Its recipe.

    Raises:
        CheckpointError: If there is a run, or trained weights; but for those of a run of this recipe that was killed in
            its first epoch.
    """
    if (folder / "state.pt").exists():
        raise CheckpointError(f"{folder} already holds a run: continue it with --resume, or choose another out=.")
    # A run that was killed between its first weights and their state lacks the history: it may begin again.
    begun = not (folder / "history.json").exists() and _is_of(folder / "recipe.json", recipe)
    if any((folder / name).exists() for name in ("model.safetensors", "history.json")) and not begun:
        raise CheckpointError(
            f"{folder} already holds trained weights or a run's history, and no state.pt to go on from: delete it, or "
            "choose another out=."
        )


def _is_of(path: Path, recipe: Recipe) -> bool:
    """Whether a `recipe.json` says what a recipe says, but for where it runs."""
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        return not other_keys(recipe, before)
    except (OSError, ValueError, AttributeError, RecursionError):
        return False


def check_resumable(path: Path, state: dict[str, Any], recipe: Recipe, processes: int, rows: Mapping[str, str]) -> str:
    """Check that a run which goes on from a state ends where it would have ended.

    Args:
        path: The state's file.
        state: What it holds.
        recipe: The recipe to go on with.
        processes: How many there are.
        rows: `digests` of the training rows as they were read.

    Returns:
        What a change that is allowed does to the rest of the run; empty where there is none.

    Raises:
        CheckpointError: If the recipe, the processes or the rows are others; says what to change.
    """
    # Where it runs, where it lies and what is measured may change; what it computes may not.
    if changed := other_keys(recipe, state["recipe"], (*WHERE, "unseen")):
        raise CheckpointError(
            f"{path} was started with another recipe; different: {', '.join(changed)}. Go "
            "on with the recipe.json beside it, or choose another out=."
        )
    if (count := state.get("processes", 1)) != processes:
        raise CheckpointError(
            f"{path} was started with {count} processes, not {processes}: it would not end in the same weights. Start "
            "as many."
        )
    if any(state.get(name, now) != now for name, now in rows.items()):
        raise CheckpointError(
            f"{path} was started with other training rows, or in another order, than {recipe.data} holds: go on with "
            "the data of the start, or choose another out=."
        )
    if (workers := state["recipe"].get("workers", 0)) != recipe.workers and state["epoch"] < recipe.epochs:
        return (
            f"workers was {workers} and is {recipe.workers}: each worker draws its own augmentations, so the rest of "
            "the run is another than the unbroken one would have been."
        )
    return ""


def write_checkpoint(
    folder: Path,
    model: nn.Module,
    cfg: dict[str, Any],
    ferzoo: dict[str, Any],
    model_args: dict[str, Any] | None = None,
) -> None:
    """Write `model.safetensors` and `config.json`, the folder that every command takes.

    Args:
        folder: The run's folder.
        model: The network; its weights are stored in float32.
        cfg: timm's pretrained cfg of the weights.
        ferzoo: What timm's cfg has no field for.
        model_args: Arguments that the network was built with, beside its class count.
    """
    tensors = {k: v.detach().cpu().contiguous().clone() for k, v in model.state_dict().items()}
    write_tensors(folder / "model.safetensors", tensors)
    config = {
        "architecture": cfg["architecture"],
        "num_classes": cfg["num_classes"],
        "num_features": model.num_features,
        "pretrained_cfg": cfg,
        "model_args": model_args or {},
        "ferzoo": ferzoo,
    }
    write_json(folder / "config.json", config)
