"""The folder that is published: weights, config, card and pictures, written whole and read back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.pictures import confusion_picture
from ..errors import CheckpointError
from ..registry.folder import create_from_folder
from ..weights.configs import wheel_folder
from ..weights.files import write_atomically, write_tensors
from ..weights.folders import sha256_of
from ..weights.repository import CONFIG, WEIGHTS
from .card import CONFUSION, LICENSE, card_text, measured
from .facts import Facts

__all__ = ["README", "Published", "compare", "write_folder"]

README = "README.md"
#: Fields of timm's cfg that say where weights are, or were.
_SOURCES = ("file", "url", "state_dict", "hf_hub_id", "hf_hub_filename", "source", "custom_load", "architecture")


@dataclass(frozen=True)
class Published:
    """A written folder.

    Attributes:
        folder: Where it is.
        files: Its files and their sha256.
        model: The network, reloaded from it.
    """

    folder: Path
    files: dict[str, str]
    model: nn.Module


def write_folder(
    model: nn.Module,
    facts: Facts,
    folder: Path,
    repo_id: str,
    dtype: str = "float32",
    model_args: Mapping[str, Any] | None = None,
) -> Published:
    """Write what a repository holds, and see that the network comes back from it bit for bit.

    Args:
        model: The network.
        facts: What is known of its weights.
        folder: An empty folder, or one to write over.
        repo_id: Repository that the card is for.
        dtype: ``"float32"``, or ``"float16"`` for half the size.
        model_args: Arguments that the network was built with, beside its class count; JSON values.

    Raises:
        CheckpointError: If the weights do not fit `dtype`, or the network cannot be rebuilt from the folder.
    """
    cfg = _cfg(model, facts)
    tensors = _tensors(model, dtype)
    write_tensors(folder / WEIGHTS, tensors)  # several entries of metadata would come in any order: another hash
    files = {WEIGHTS: sha256_of(folder / WEIGHTS)}
    config = {
        "architecture": facts.architecture,
        "num_classes": getattr(model, "num_classes", cfg["num_classes"]),
        "num_features": getattr(model, "num_features", None),
        "label_names": list(cfg.get("label_names") or ()) or None,
        "model_args": dict(model_args or {}),
        "pretrained_cfg": cfg,
        "ferzoo": {"sha256": files[WEIGHTS], "dtype": dtype, **facts.to_dict()},
    }
    _write_text(folder / CONFIG, json.dumps({k: v for k, v in config.items() if v is not None}, indent=2) + "\n")
    files[CONFIG] = sha256_of(folder / CONFIG)
    picture = _draw(facts, cfg, folder / CONFUSION)
    if picture:
        files[CONFUSION] = sha256_of(folder / CONFUSION)
    if "LICENSE" in facts.license:
        _write_text(folder / LICENSE, (wheel_folder() / LICENSE).read_text(encoding="utf-8"))
        files[LICENSE] = sha256_of(folder / LICENSE)
    _write_text(folder / README, card_text(facts, cfg, repo_id, files))
    files[README] = sha256_of(folder / README)
    try:
        again = create_from_folder(folder)
    except (CheckpointError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{facts.architecture} cannot be rebuilt from what was written: {error} Give the arguments that it was "
            "built with as model_args."
        ) from error
    compare(again, tensors, "the written file")
    return Published(folder, files, again)


def compare(model: nn.Module, tensors: Mapping[str, torch.Tensor], origin: str) -> None:
    """See that a network holds given tensors, bit for bit.

    Args:
        model: The network, in float32.
        tensors: What it must hold.
        origin: Where it was loaded from, for the message.

    Raises:
        CheckpointError: If a tensor is missing or differs; names some.
    """
    own = model.state_dict()
    other = [k for k in tensors if k not in own or not torch.equal(own[k].cpu(), tensors[k].to(own[k].dtype))]
    counters = {k for k in own if k.endswith("num_batches_tracked")}
    other += [k for k in own if k not in tensors and k not in counters]
    if other:
        raise CheckpointError(f"The network read back from {origin} differs in {', '.join(sorted(other)[:5])}.")


def _cfg(model: nn.Module, facts: Facts) -> dict[str, Any]:
    cfg: dict[str, Any] = dict(getattr(model, "pretrained_cfg", None) or {})
    if not cfg.get("input_size"):
        raise CheckpointError(f"{facts.architecture} has no pretrained_cfg: only networks built by timm can be pushed.")
    kept = {k: v for k, v in cfg.items() if v is not None and k not in _SOURCES}
    for key, value in (("license", facts.license), ("description", facts.description), ("tag", facts.tag)):
        kept.pop(key, None)  # said of other weights
        if value:
            kept[key] = value
    return dict(json.loads(json.dumps(kept)))


def _tensors(model: nn.Module, dtype: str) -> dict[str, torch.Tensor]:
    types = {"float32": torch.float32, "float16": torch.float16}
    if dtype not in types:
        raise CheckpointError(f"dtype must be one of {', '.join(types)}, got {dtype!r}.")
    out = {}
    for name, tensor in model.state_dict().items():
        tensor = tensor.detach().cpu()
        tensor = tensor.to(types[dtype]) if tensor.is_floating_point() else tensor
        out[name] = tensor.contiguous().clone()
        if tensor.is_floating_point() and not out[name].isfinite().all():
            raise CheckpointError(f"The weights hold values that are not finite in {dtype}, in {name}.")
    return out


def _draw(facts: Facts, cfg: Mapping[str, Any], path: Path) -> bool:
    """Draw the confusion matrix of the first evaluation, if there is one."""
    for split, rows, found in measured(facts):
        names = found.get("classes") or cfg.get("label_names") or ()
        if found.get("confusion") and len(found["confusion"]) == len(names):
            subtitle = f"{found['rows']:,} faces, accuracy {found['accuracy']:g} %"
            confusion_picture(found["confusion"], names, f"{facts.name}, {split}, {rows}", subtitle).save(path)
            return True
    return False


def _write_text(path: Path, text: str) -> None:
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))
