"""From a checkpoint folder to a network: `config.json` read with care, `model.safetensors` checked and loaded."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, FerzooError, UnknownNameError
from ..weights.folders import checked
from ..weights.repository import CONFIG, WEIGHTS
from . import entry_points as ep
from .lookup import load_model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["FolderConfig", "checked_weights", "create_from_folder", "read_config"]

#: Largest class count and input side that a config.json may ask for, so that it cannot ask for all memory.
MOST_CLASSES, MOST_PIXELS = 100_000, 4096
#: Arguments of timm's factory, which a config.json has no say in.
_RESERVED = {
    "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path", "cache_dir", "local_files_only",
    "features_only", "scriptable", "exportable", "no_jit",
}  # fmt: skip


@dataclass(frozen=True)
class FolderConfig:
    """What a `config.json` says.

    Attributes:
        architecture: Name of the network.
        cfg: timm's pretrained cfg, with class count and label names.
        model_args: Further arguments of the constructor.
        ferzoo: What timm's cfg has no field for.
    """

    architecture: str
    cfg: dict[str, Any]
    model_args: dict[str, Any] = field(default_factory=dict)
    ferzoo: dict[str, Any] = field(default_factory=dict)


def read_config(path: Path) -> FolderConfig:
    """Read a `config.json` of ferzoo's or timm's.

    Raises:
        CheckpointError: If it cannot be read, lacks what is needed, or asks for what no checkpoint has a say in.
    """
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError, RecursionError) as error:
        raise CheckpointError(f"{path} is no readable JSON: {error}") from error
    if isinstance(config, dict) and "architecture" in config and "pretrained_cfg" not in config:  # timm's older layout
        config = {"architecture": config.pop("architecture"), "pretrained_cfg": config}
    wanted = {"architecture": str, "pretrained_cfg": dict}
    if not isinstance(config, dict) or not all(isinstance(config.get(k), kind) for k, kind in wanted.items()):
        raise CheckpointError(f'{path} must hold an "architecture" (a name) and a "pretrained_cfg" (an object).')
    architecture = config["architecture"]
    cfg = {**config["pretrained_cfg"], "architecture": architecture}
    for key in ("file", "url", "state_dict", "hf_hub_id", "source", "custom_load"):
        cfg.pop(key, None)  # the weights are those beside it
    if "num_classes" in config:  # beside the cfg, as timm's own config.json has them
        cfg["num_classes"] = config["num_classes"]
    if config.get("label_names") and not cfg.get("label_names"):
        cfg["label_names"] = config["label_names"]
    args, extra = config.get("model_args") or {}, config.get("ferzoo") or {}
    if not isinstance(args, dict) or not isinstance(extra, dict):
        raise CheckpointError(f'{path}: "model_args" and "ferzoo" must be objects.')
    if taken := sorted(_RESERVED & set(args)):
        raise CheckpointError(f'{path}: "model_args" may not hold {", ".join(taken)}.')
    _check_sizes(path, cfg, args)
    return FolderConfig(architecture, cfg, args, extra)


def _check_sizes(path: Path, cfg: Mapping[str, Any], args: Mapping[str, Any]) -> None:
    classes = [v for v in (cfg.get("num_classes"), args.get("num_classes")) if v is not None]
    if any(not isinstance(v, int) or not 0 <= v <= MOST_CLASSES for v in classes):
        raise CheckpointError(f"{path}: num_classes must be 0 to {MOST_CLASSES:,}, got {classes}.")
    size = cfg.get("input_size")
    if not isinstance(size, list | tuple) or len(size) != 3:
        raise CheckpointError(f"{path}: input_size must be [channels, height, width], got {size!r}.")
    sides = [*size, *_flat(args.get("img_size")), *_flat(args.get("in_chans"))]
    if any(not isinstance(v, int) or not 1 <= v <= MOST_PIXELS for v in sides):
        raise CheckpointError(f"{path}: input_size and img_size must be 1 to {MOST_PIXELS:,}, got {sides}.")


def _flat(value: Any) -> list[Any]:
    return [] if value is None else list(value) if isinstance(value, list | tuple) else [value]


def create_from_folder(folder: Path, origin: str = "", pretrained: bool = True, **kwargs: Any) -> nn.Module:
    """Build the network of a checkpoint folder.

    Args:
        folder: Holds `config.json` and, for `pretrained`, `model.safetensors`.
        origin: What the folder is, for the messages; the folder itself where empty.
        pretrained: Load the weights; their sha256 is checked where the config.json states it.
        **kwargs: As those of `create_model`; they go before the config's.

    Raises:
        UnknownNameError: If nobody registered the architecture; says which package has it, where that is known.
        CheckpointError: If a file is missing, damaged or does not fit.
    """
    import timm

    origin = origin or str(folder)
    for file in (CONFIG, WEIGHTS) if pretrained else (CONFIG,):
        if not (folder / file).is_file():
            what = f"{origin} has no {file}" if folder.is_dir() else f"There is no folder {origin}"
            raise CheckpointError(f"{what}: a checkpoint folder holds {WEIGHTS} and {CONFIG}. See `ferzoo list`.")
    config = read_config(folder / CONFIG)
    _import(config, origin)
    overlay: dict[str, Any] = {"url": "", "hf_hub_id": None, "source": ""}
    if pretrained:
        overlay["file"] = str(checked_weights(folder, config, origin))
    overlay |= kwargs.pop("pretrained_cfg_overlay", None) or {}
    try:
        model: Any = timm.create_model(
            config.architecture,
            pretrained=pretrained,
            pretrained_cfg=config.cfg,
            pretrained_cfg_overlay=overlay,
            **{**config.model_args, **kwargs},
        )
    except FerzooError:
        raise
    except Exception as error:  # safetensors and torch raise many kinds for a damaged file
        raise CheckpointError(f"{origin} cannot be loaded into {config.architecture}: {error}") from error
    model.ferzoo_cfg = config.ferzoo
    return model


def checked_weights(folder: Path, config: FolderConfig, origin: str) -> Path:
    """The weights of a checkpoint folder, compared with the sha256 that its config.json states, if it does.

    Raises:
        WeightsCorruptError: If they differ.
    """
    path = folder / WEIGHTS
    sha256 = config.ferzoo.get("sha256")
    return checked(path, str(sha256), f"{CONFIG} of {origin}") if sha256 else path


def _import(config: FolderConfig, origin: str) -> None:
    """Make the architecture known to timm.

    Raises:
        UnknownNameError: If nobody registered it.
    """
    import timm

    known = ep.entries("model")
    if config.architecture in known:
        load_model(ep.find("model", config.architecture))
    elif not timm.is_model(config.architecture):
        package = config.ferzoo.get("package")
        name = package.get("name") if isinstance(package, dict) else None
        hint = f"The {CONFIG} of {origin} asks for it."
        if isinstance(name, str) and name != "ferzoo" and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            hint += f" It says that the package {name} has it: install that (pip install {name}) if you trust it."
        raise UnknownNameError("model", config.architecture, [*known, *timm.list_models()], hint)
