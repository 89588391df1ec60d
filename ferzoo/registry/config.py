"""A checkpoint's cfg from a `config.json`, read with care, as a stranger may have written it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import CheckpointError
from ..weights.repository import read_json

__all__ = [
    "BUILDERS",
    "CFG_DEFAULTS",
    "CLASSES",
    "HOW",
    "PREPARED",
    "SAID",
    "SOURCES",
    "FolderConfig",
    "center_margin",
    "check_cfg",
    "classifier_prefixes",
    "facts_beside",
    "for_channels",
    "one_source",
    "only_file",
    "prepared",
    "read_config",
    "source_in",
    "unsaid",
    "with_defaults",
]

#: Largest class count, input side and argument that a config.json may ask for, so that it cannot ask for all memory.
MOST_CLASSES, MOST_PIXELS, MOST = 100_000, 4096, 100_000
#: Longest name of an architecture, and longest list among the arguments.
MOST_LETTERS, MOST_VALUES = 100, 1000
#: What the preprocessing is where a cfg does not say.
CFG_DEFAULTS: dict[str, Any] = {"interpolation": "bicubic", "crop_pct": 1.0}
#: Fields of timm's cfg that say where weights are, in the order that timm looks at them.
SOURCES = ("source", "hf_hub_id", "state_dict", "file", "url")
#: And how they are read.
HOW = ("hf_hub_filename", "custom_load")
#: And what is said of one set of weights, and is not true of others of the same network.
SAID = ("license", "description", "notes", "tag")
#: And what is said of its classes.
CLASSES = ("label_names", "label_descriptions")
#: What a config.json says under `ferzoo` of how faces are prepared, as mean and std in timm's cfg do.
PREPARED = ("grayscale",)
#: Arguments of timm's factory and builder, which are none of a network: a config.json has no say in them.
BUILDERS = frozenset(
    (
        "cache_dir", "checkpoint_path", "device", "dtype", "exportable", "feature_cfg", "feature_cls", "features_only",
        "kwargs_filter", "local_files_only", "model_cfg", "model_cls", "model_name", "no_jit", "out_indices",
        "pretrained", "pretrained_cfg", "pretrained_cfg_overlay", "pretrained_filter_fn", "pretrained_model_args",
        "pretrained_strict", "pruned", "scriptable", "variant",
    )
)  # fmt: skip


@dataclass(frozen=True)
class FolderConfig:
    """What a `config.json` says.

    Attributes:
        architecture: Name of the network.
        cfg: timm's pretrained cfg, with class count and label names, and without a source of weights.
        model_args: Further arguments of the constructor.
        ferzoo: What timm's cfg has no field for.
    """

    architecture: str
    cfg: dict[str, Any]
    model_args: dict[str, Any] = field(default_factory=dict)
    ferzoo: dict[str, Any] = field(default_factory=dict)


def only_file(path: Path | None) -> dict[str, Any]:
    """What to lay over timm's cfg, so that the weights come from this file, or from nowhere where None."""
    return {**dict.fromkeys((*SOURCES, *HOW)), "custom_load": False, "file": path and str(path)}


def source_in(cfg: Mapping[str, Any]) -> str:
    """The field from which timm takes the weights of a cfg; empty where none names any."""
    order = ("state_dict", "file", "hf_hub_id", "url")
    return next((key for key in (("hf_hub_id",) if cfg.get("source") == "hf-hub" else ()) + order if cfg.get(key)), "")


def unsaid(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A cfg of timm's without what is said of its weights, for another state of the same network in their place."""
    return {key: value for key, value in cfg.items() if key not in SAID}


def prepared(ferzoo: Mapping[str, Any]) -> dict[str, Any]:
    """Of what timm's cfg has no field for, what stays true of another state of the same network."""
    return {key: ferzoo[key] for key in PREPARED if key in ferzoo}


def facts_beside(model: Any, own: Mapping[str, Any], source: str) -> dict[str, Any]:
    """What a built network has as `ferzoo_cfg`, where an overlay may have named other weights.

    Args:
        model: The network; building one of the zoo's from a repository has set that one's.
        own: The facts of the weights that its name means.
        source: The field that names others, empty where none does.
    """
    if source == "hf_hub_id" and hasattr(model, "ferzoo_cfg"):
        return dict(model.ferzoo_cfg)
    return prepared(own) if source else dict(own)


def one_source(overlay: Mapping[str, Any] | None, path: Path | None) -> dict[str, Any]:
    """An overlay for timm's cfg that leaves the weights one source: what it names itself, or else this file."""
    own = overlay or {}
    return {**only_file(None), **own} if source_in(own) else {**own, **only_file(path)}


def read_config(path: Path) -> FolderConfig:
    """Read a `config.json` of ferzoo's or timm's.

    Raises:
        CheckpointError: If it cannot be read, lacks what is needed, holds a value of the wrong kind, or asks for what
            no checkpoint has a say in.
    """
    config = read_json(path)
    if isinstance(config, dict) and "architecture" in config and "pretrained_cfg" not in config:  # timm's older layout
        config = {"architecture": config.pop("architecture"), "pretrained_cfg": config}
    wanted = {"architecture": str, "pretrained_cfg": dict}
    if not isinstance(config, dict) or not all(isinstance(config.get(k), kind) for k, kind in wanted.items()):
        raise CheckpointError(f'{path} must hold an "architecture" (a name) and a "pretrained_cfg" (an object).')
    architecture = config["architecture"]
    if len(architecture) > MOST_LETTERS:
        raise CheckpointError(f'{path}: "architecture" has {len(architecture):,} letters; a name has {MOST_LETTERS}.')
    cfg = {**config["pretrained_cfg"], "architecture": architecture}
    for key in (*SOURCES, *HOW):
        cfg.pop(key, None)  # the weights are those beside it
    if "num_classes" in config:  # beside the cfg, as timm's own config.json has them
        cfg["num_classes"] = config["num_classes"]
    if config.get("label_names") and not cfg.get("label_names"):
        cfg["label_names"] = config["label_names"]
    args, extra = config.get("model_args") or {}, config.get("ferzoo") or {}
    if not isinstance(args, dict) or not isinstance(extra, dict):
        raise CheckpointError(f'{path}: "model_args" and "ferzoo" must be objects.')
    check_cfg(path, cfg, args, extra)
    _check_args(path, args)
    return FolderConfig(architecture, cfg, args, extra)


def check_cfg(path: Path, cfg: dict[str, Any], args: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    """Look at the values of a cfg that ferzoo or timm compute with, and set its class count from the arguments'.

    Args:
        path: The file that states it, for the messages.
        cfg: The cfg; its sequences are lists, as JSON has them.
        args: Further arguments of the constructor.
        extra: What timm's cfg has no field for.

    Raises:
        CheckpointError: If one is of the wrong kind or out of its range.
    """
    _check_kinds(path, cfg, extra)
    _check_sizes(path, cfg, args)


def for_channels(values: Sequence[float], channels: int) -> Sequence[float]:
    """Mean or std for another count of channels than it was stated for: the average, for each."""
    return values if len(values) == channels else (sum(values) / len(values),) * channels


def classifier_prefixes(names: str | Sequence[str] | None) -> tuple[str, ...]:
    """What the classifier's tensors begin with, from a cfg's `classifier`: one module's name, several, or none."""
    return tuple(f"{name}." for name in ([names] if isinstance(names, str) else names or ()))


def center_margin(whole: int, part: int) -> int:
    """Pixels that torchvision's CenterCrop leaves out before the middle; below 0, those that it adds."""
    return round((whole - part) / 2) if whole >= part else -((part - whole) // 2)


def with_defaults(cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A cfg with `CFG_DEFAULTS` for what it does not say, or says is None."""
    return {**CFG_DEFAULTS, **{name: value for name, value in cfg.items() if value is not None}}


def _is_number(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) or isinstance(value, float) and math.isfinite(value)


def _is_size(value: Any, least: int, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def _are(value: Any, kind: Any) -> bool:
    return isinstance(value, list) and all(kind(item) for item in value)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


#: Fields of timm's cfg that ferzoo, or timm while it loads, computes with: what each must be, in words and as a test.
_KINDS: dict[str, tuple[str, Any]] = {
    "mean": ("a list of numbers", lambda v: v and _are(v, _is_number)),
    "std": ("a list of numbers above 0", lambda v: v and _are(v, lambda x: _is_number(x) and x > 0)),
    "crop_pct": ("a number from 0.05 to 20", lambda v: _is_number(v) and 0.05 <= v <= 20),
    "label_names": ("a list of names", lambda v: _are(v, _is_text)),
    "label_offset": ("0 or more", lambda v: _is_size(v, 0, MOST_CLASSES)),
    **dict.fromkeys(("first_conv", "classifier"), ("a name or names", lambda v: _is_text(v) or _are(v, _is_text))),
    **dict.fromkeys(("interpolation", "crop_mode", "license", "description", "tag"), ("a text", _is_text)),
}  # fmt: skip


def _check_kinds(path: Path, cfg: Mapping[str, Any], extra: Mapping[str, Any]) -> None:
    for key, (words, fits) in _KINDS.items():
        if cfg.get(key) is not None and not fits(cfg[key]):
            raise CheckpointError(f"{path}: {key} must be {words}, got {_short(cfg[key])}.")
    if (grey := extra.get("grayscale")) is not None and not isinstance(grey, bool):
        raise CheckpointError(f"{path}: ferzoo.grayscale must be true or false, got {_short(grey)}.")
    sha256 = extra.get("sha256")
    if sha256 is not None and not (_is_text(sha256) and re.fullmatch("[0-9a-fA-F]{64}", sha256)):
        raise CheckpointError(f"{path}: ferzoo.sha256 must be 64 hexadecimal digits, got {_short(sha256)}.")


def _check_args(path: Path, args: Mapping[str, Any]) -> None:
    if taken := sorted(BUILDERS & set(args)):
        raise CheckpointError(f'{path}: "model_args" may not hold {", ".join(taken)}.')
    for key, value in args.items():
        values = _flat(value)
        if len(values) > MOST_VALUES or not all(v is None or isinstance(v, str) or _fits(v) for v in values):
            raise CheckpointError(
                f'{path}: "model_args" may hold texts, numbers up to {MOST:,} and lists of them, got '
                f"{_short(key)}: {_short(value)}."
            )


def _fits(value: Any) -> bool:
    return isinstance(value, bool) or (_is_number(value) and abs(value) <= MOST)


def _check_sizes(path: Path, cfg: dict[str, Any], args: Mapping[str, Any]) -> None:
    size = cfg.get("input_size")
    if not isinstance(size, list) or len(size) != 3:
        raise CheckpointError(f"{path}: input_size must be [channels, height, width], got {_short(size)}.")
    sides = [*size, *_flat(args.get("img_size", [])), *_flat(args.get("in_chans", []))]
    if not all(_is_size(v, 1, MOST_PIXELS) for v in sides if v is not None):
        raise CheckpointError(f"{path}: input_size and img_size must be 1 to {MOST_PIXELS:,}, got {_short(sides)}.")
    stated = [v for v in (cfg.get("num_classes"), args.get("num_classes")) if v is not None]
    if not all(_is_size(v, 0, MOST_CLASSES) for v in stated):
        raise CheckpointError(f"{path}: num_classes must be 0 to {MOST_CLASSES:,}, got {_short(stated)}.")
    if len(set(stated)) > 1:
        raise CheckpointError(f"{path} states two class counts: num_classes {stated[0]}, in model_args {stated[1]}.")
    if stated:
        cfg["num_classes"] = stated[0]


def _flat(value: Any) -> list[Any]:
    """The values of a list and of those in it; a value that is none, in a list of its own."""
    out, left = [], [value]
    while left:
        item = left.pop()
        left.extend(item) if isinstance(item, list) else out.append(item)
    return out


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        text = "[" * MOST_LETTERS + "["
    return text if len(text) <= MOST_LETTERS else f"{text[:MOST_LETTERS]}..."
