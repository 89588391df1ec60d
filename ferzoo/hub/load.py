"""One way to a trained network for every command: a name, a checkpoint folder, or the Hub."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

from torch import nn

from ..errors import CheckpointError, FerzooError, UnknownNameError
from ..registry.factory import create_model, list_models

__all__ = ["load_model"]

WEIGHTS, CONFIG = "model.safetensors", "config.json"


def load_model(name: str | os.PathLike[str]) -> nn.Module:
    """Build a network and load its trained weights.

    Args:
        name: A model's name with or without tag (``"lfnsb"``), ``"hf-hub:org/repo[@revision]"``, or a folder that
            holds ``model.safetensors`` and ``config.json``. A registered name goes before a folder of that name:
            write ``"./lfnsb"`` for the folder.

    Returns:
        The network, in training mode as timm's are. Its `pretrained_cfg` holds preprocessing and label names, its
        `ferzoo_cfg` what timm's cfg has no field for.

    Raises:
        UnknownNameError: If there is no such model; names the nearest.
        CheckpointError: If there are no weights, or they are damaged or do not fit.
    """
    if _is_folder(name):
        return _from_folder(Path(name).expanduser())
    name = os.fspath(name)
    try:
        model: Any = create_model(name, pretrained=True)
        if re.match(r"hf[-_]hub:", name):
            model.ferzoo_cfg = _hub_extra(name)
    except FerzooError:
        raise
    except (OSError, RuntimeError) as error:  # the Hub's client and timm
        raise CheckpointError(f"The weights of {name!r} cannot be loaded: {error}") from error
    return model


def _is_folder(name: str | os.PathLike[str]) -> bool:
    if not isinstance(name, str):
        return True
    if re.match(r"[a-z_-]{2,}:", name):
        return False
    if "/" in name or os.sep in name or name in (".", "..", "~"):
        return True
    return name.partition(".")[0] not in list_models() and os.path.isdir(name)


def _from_folder(folder: Path) -> nn.Module:
    for file in (CONFIG, WEIGHTS):
        if not (folder / file).is_file():
            what = f"{folder} has no {file}" if folder.is_dir() else f"There is no folder {folder}"
            raise CheckpointError(f"{what}: a checkpoint folder holds {WEIGHTS} and {CONFIG}. See `ferzoo list`.")
    config = _read(folder / CONFIG)
    architecture = config["architecture"]
    cfg = {"architecture": architecture, **config["pretrained_cfg"]}
    if "num_classes" in config:  # beside the cfg, as timm's own config.json has them
        cfg["num_classes"] = config["num_classes"]
    if config.get("label_names") and not cfg.get("label_names"):
        cfg["label_names"] = config["label_names"]
    overlay = {"file": str(folder / WEIGHTS), "url": "", "hf_hub_id": None, "source": ""}
    try:
        model: Any = create_model(
            architecture,
            pretrained=True,
            pretrained_cfg=cfg,
            pretrained_cfg_overlay=overlay,
            **config.get("model_args", {}),
        )
    except UnknownNameError as error:
        raise UnknownNameError("model", architecture, list_models(), f"{folder / CONFIG} asks for it.") from error
    except FerzooError:
        raise
    except Exception as error:  # safetensors and torch raise many kinds for a damaged file
        raise CheckpointError(f"{folder / WEIGHTS} cannot be loaded into {architecture}: {error}") from error
    model.ferzoo_cfg = config.get("ferzoo") or {}
    return model


def _read(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise CheckpointError(f"{path} is no readable JSON: {error}") from error
    wanted = {"architecture": str, "pretrained_cfg": dict}
    if not isinstance(config, dict) or not all(isinstance(config.get(k), kind) for k, kind in wanted.items()):
        raise CheckpointError(f'{path} must hold an "architecture" (a name) and a "pretrained_cfg" (an object).')
    return config


def _hub_extra(name: str) -> dict[str, Any]:
    """The part of a repository's config.json that timm leaves aside; timm has fetched the file already."""
    from huggingface_hub import hf_hub_download

    repo, _, revision = name.partition(":")[2].partition("@")
    path = Path(hf_hub_download(repo, CONFIG, revision=revision or None))
    extra = json.loads(path.read_text(encoding="utf-8")).get("ferzoo")
    return extra if isinstance(extra, dict) else {}
