"""The folder that is published: weights, config, card and pictures, written whole and read back."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..data.pictures import confusion_picture
from ..errors import CheckpointError
from ..registry.channels import channels_of, with_channels
from ..registry.config import HOW, SOURCES
from ..registry.folder import create_from_folder
from ..weights.configs import checkpoints, wheel_folder
from ..weights.files import write_atomically, write_tensors
from ..weights.folders import sha256_of
from ..weights.repository import CONFIG, README, WEIGHTS
from .card import CONFUSION, LICENSE, card_text, measured
from .checks import class_count, class_names, plain
from .facts import Facts
from .same import compare, compare_outputs

__all__ = ["Published", "write_folder"]

_FILES = (WEIGHTS, CONFIG, CONFUSION, LICENSE, README)


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
    *,
    source_file: Path | None = None,
    revision: str = "",
) -> Published:
    """Write what a repository holds, and see that the network comes back from it bit for bit.

    Args:
        model: The network.
        facts: What is known of its weights.
        folder: An empty folder, or one that this function wrote before.
        repo_id: Repository that the card is for.
        dtype: ``"float32"``, or ``"float16"`` for half the size.
        model_args: Arguments that the network was built with, beside its class count; JSON values.
        source_file: Safetensors file of `dtype` with these weights, to be taken byte for byte.
        revision: Branch that the card is for, where that is not the main one.

    Raises:
        CheckpointError: If the folder holds anything else, a value cannot be written, the weights do not fit `dtype`,
            or the network cannot be rebuilt from the folder; what was written is then taken away.
    """
    earlier = _earlier(folder)
    args = plain(dict(model_args or {}), "model_args")
    cfg = _cfg(model, facts, args)
    tensors = _tensors(model, dtype)
    config = {
        "architecture": facts.architecture,
        "num_classes": cfg["num_classes"],
        "num_features": getattr(model, "num_features", None),
        "label_names": cfg.get("label_names"),
        "model_args": args,
        "pretrained_cfg": cfg,
        "ferzoo": {"sha256": "", "dtype": dtype, **facts.to_dict()},
    }
    config = plain({k: v for k, v in config.items() if v is not None}, CONFIG)
    for name in earlier:
        (folder / name).unlink()
    try:
        if source_file is None:
            write_tensors(folder / WEIGHTS, tensors)  # several entries of metadata come in any order: another hash
        else:
            write_atomically(folder / WEIGHTS, lambda path: shutil.copyfile(source_file, path))
        files = {WEIGHTS: sha256_of(folder / WEIGHTS)}
        config["ferzoo"]["sha256"] = files[WEIGHTS]
        _write_text(folder / CONFIG, json.dumps(config, indent=2) + "\n")
        files[CONFIG] = sha256_of(folder / CONFIG)
        if _draw(facts, cfg, folder / CONFUSION):
            files[CONFUSION] = sha256_of(folder / CONFUSION)
        if _are_ours(facts):
            _write_text(folder / LICENSE, (wheel_folder() / LICENSE).read_text(encoding="utf-8"))
            files[LICENSE] = sha256_of(folder / LICENSE)
        rounded = dtype if _differ(model, tensors) else ""
        _write_text(folder / README, card_text(facts, cfg, repo_id, files, revision=revision, rounded=rounded))
        files[README] = sha256_of(folder / README)
        again = _rebuilt(folder, facts)
        compare(again, tensors, "the written file")
        compare_outputs(again, model, cfg["input_size"])
    except BaseException:
        for name in _FILES:
            (folder / name).unlink(missing_ok=True)
        raise
    return Published(folder, files, again)


def _earlier(folder: Path) -> list[str]:
    """Files of an earlier call in a folder.

    Raises:
        CheckpointError: If it holds anything else.
    """
    if not folder.exists():
        return []
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else None
    if names == []:
        return []
    if names is None or not {WEIGHTS, CONFIG, README} <= set(names) <= set(_FILES) or not _has_ours(folder / CONFIG):
        what = "is no folder" if names is None else f"holds {some(names)}"
        raise CheckpointError(
            f"{folder} {what}. Nothing was written: name an empty or new folder, or that of an earlier dry run."
        )
    return names


def some(names: Sequence[str]) -> str:
    """The first of many names, for a message."""
    return f"{', '.join(names[:8])}{' ...' if len(names) > 8 else ''}"


def _has_ours(config: Path) -> bool:
    try:
        content = json.loads(config.read_text(encoding="utf-8"))
    except (ValueError, OSError):
        return False
    return isinstance(content, dict) and "ferzoo" in content


def _are_ours(facts: Facts) -> bool:
    """Whether weights are under the terms that ferzoo ships beside its own."""
    checkpoint = checkpoints().get(facts.name)
    if checkpoint is None or checkpoint.shipped() is None:
        return False
    return LICENSE in facts.license and facts.license == checkpoint.license


def _rebuilt(folder: Path, facts: Facts) -> nn.Module:
    try:
        return create_from_folder(folder)
    except (CheckpointError, ValueError, TypeError) as error:
        raise CheckpointError(
            f"{facts.architecture} cannot be rebuilt from what was written: {error} Give the arguments that it was "
            "built with as model_args."
        ) from error


def _cfg(model: nn.Module, facts: Facts, args: Mapping[str, Any]) -> dict[str, Any]:
    """The network's pretrained cfg in plain values, with the channels and the classes that it has."""
    cfg: dict[str, Any] = dict(getattr(model, "pretrained_cfg", None) or {})
    if not all(cfg.get(key) for key in ("input_size", "mean", "std")) or class_count(model) is None:
        raise CheckpointError(
            f"{facts.architecture} has no pretrained_cfg with input_size, mean, std and a class count: only networks "
            "built by timm can be pushed."
        )
    # The licence, the description and the tag may be those of other weights, and the names of another classifier.
    dropped = (*SOURCES, *HOW, "architecture", "license", "description", "tag", "label_names")
    names, channels = class_names(model), channels_of(model, cfg, args)
    kept = {key: value for key, value in cfg.items() if value is not None and key not in dropped}
    kept |= {key: value for key in ("license", "description", "tag") if (value := getattr(facts, key))}
    kept["num_classes"] = class_count(model)
    if names:
        kept["label_names"] = names
    else:
        kept.pop("label_descriptions", None)
    return dict(plain(with_channels(kept, channels), "pretrained_cfg"))


def _differ(model: nn.Module, tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether some weights of a network have other values in the tensors that are written."""
    state = model.state_dict()
    return any(not torch.equal(state[k].detach().cpu(), tensors[k].to(state[k].dtype)) for k in tensors)


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
