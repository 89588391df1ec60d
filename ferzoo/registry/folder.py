"""From a checkpoint folder to a network: `config.json` read with care, `model.safetensors` checked and loaded."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ..errors import CheckpointError, CheckpointWarning, FerzooError, UnknownNameError
from ..weights.folders import checked
from ..weights.repository import CONFIG, WEIGHTS, hub_hint
from . import entry_points as ep
from .bounds import bounded
from .config import (
    BUILDERS,
    CLASSES,
    MOST_LETTERS,
    FolderConfig,
    classifier_prefixes,
    facts_beside,
    one_source,
    read_config,
    source_in,
    unsaid,
)
from .lookup import load_model

if TYPE_CHECKING:
    from torch import nn

__all__ = ["checked_weights", "create_from_folder"]

#: Parameters that a network without a weights file may have, and those of a wide classifier for each class.
_MOST_PARAMETERS, _WIDEST = 2**31, 8192


class _Header(NamedTuple):
    """What a safetensors file says of its tensors: how many values all hold, and the names of those of no real type."""

    values: int
    others: frozenset[str]


def create_from_folder(folder: Path, origin: str = "", pretrained: bool = True, **kwargs: Any) -> nn.Module:
    """Build the network of a checkpoint folder.

    The network has the config's `ferzoo` as `ferzoo_cfg`, and as `ferzoo_args` the arguments that it was built with,
    but for the class count, which it knows itself.

    Args:
        folder: Holds `config.json` and, for `pretrained`, `model.safetensors`.
        origin: What the folder is, for the messages; the folder itself where empty.
        pretrained: Load the weights; their sha256 is checked where the config.json states it.
        **kwargs: As those of `create_model`; they go before the config's.

    Raises:
        UnknownNameError: If nobody registered the architecture; says which package has it, where that is known.
        CheckpointError: If a file is missing, damaged or does not fit, or the config asks for a network far larger
            than its weights.
    """
    origin = origin or str(folder)
    for file in (CONFIG, WEIGHTS) if pretrained else (CONFIG,):
        if not (folder / file).is_file():
            what = f"{origin} has no {file}" if folder.is_dir() else f"There is no folder {origin}"
            hint = hub_hint(origin) or "See `ferzoo list`."
            raise CheckpointError(f"{what}: a checkpoint folder holds {WEIGHTS} and {CONFIG}. {hint}")
    config = read_config(folder / CONFIG)
    _import(config, origin)
    path = checked_weights(folder, config, origin) if pretrained else None
    model = _build(config, path, origin, kwargs)
    given = {key: kwargs[key] for key in ("pretrained_cfg_overlay",) if kwargs.get(key)}
    if pretrained and not _is_strict(config, kwargs):
        _check_rest(model, _build(config, path, origin, given), config, origin)
    args: Any = {**config.model_args, **{key: value for key, value in kwargs.items() if key not in BUILDERS}}
    args.pop("num_classes", None)
    model.ferzoo_args = args
    others = source_in(kwargs.get("pretrained_cfg_overlay") or {}) if pretrained else ""
    model.ferzoo_cfg = facts_beside(model, config.ferzoo, others)
    cfg, classes = getattr(model, "pretrained_cfg", None) or {}, getattr(model, "num_classes", 0)
    if classes and len(cfg.get("label_names") or ()) not in (0, classes):  # with a new classifier they are others
        model.pretrained_cfg = model.default_cfg = {**cfg, **dict.fromkeys(CLASSES)}
    return model


def _build(config: FolderConfig, path: Path | None, origin: str, kwargs: Mapping[str, Any]) -> Any:
    """The network by timm's factory, with the weights of the file where there is one."""
    import timm

    args = {**config.model_args, **kwargs}
    given = args.pop("pretrained_cfg_overlay", None)
    others = path is not None and source_in(given or {})  # weights in the place of these
    overlay = one_source(given, path)
    most, than = _MOST_PARAMETERS, f"of more than {_MOST_PARAMETERS:,} parameters"
    try:
        header = _header(path) if path else None
        if header:  # twice, because a module may be built and replaced; the rest for what the caller changes
            most = 2 * header.values + 10_000_000 + _WIDEST * int(kwargs.get("num_classes") or 0)
            than = f"far larger than its weights, which have {header.values:,} values"
        with bounded(most, f"The {CONFIG} of {origin} asks for a network {than}: it is not built."):
            model = timm.create_model(
                config.architecture,
                pretrained=path is not None,
                pretrained_cfg=unsaid(config.cfg) if others else config.cfg,
                pretrained_cfg_overlay=overlay,
                **args,
            )
    except FerzooError:
        raise
    except Exception as error:  # safetensors and torch raise many kinds for a damaged file
        why = " ".join(str(error).split())  # torch lists names on lines of their own, and all of them
        why = why if len(why) <= 500 else f"{why[:500]}..."
        if others and isinstance(error, RuntimeError):  # torch's, of tensors
            what = "The weights that pretrained_cfg_overlay names cannot be loaded"
            if "size mismatch" in why:
                why += " If they are of another class count, the overlay has to say its num_classes."
            raise CheckpointError(f"{what} into {config.architecture} of {origin}: {why}") from error
        raise CheckpointError(f"{origin} cannot be loaded into {config.architecture}: {why}") from error
    if header:
        real = {name for name, tensor in model.state_dict().items() if tensor.is_floating_point()}
        if wrong := sorted(real & header.others):
            raise CheckpointError(f"{origin} holds no real numbers for {_listed(wrong)} of {config.architecture}.")
    return model


def _header(path: Path) -> _Header:
    from safetensors import safe_open

    values, others = 0, set()
    with safe_open(path, "pt") as file:
        for name in file.keys():  # noqa: SIM118 (it is no dictionary)
            part = file.get_slice(name)
            size = 1
            for side in part.get_shape():
                size *= side
            values += size
            if not part.get_dtype().startswith(("F", "BF")):
                others.add(name)
    return _Header(values, frozenset(others))


def _is_strict(config: FolderConfig, kwargs: Mapping[str, Any]) -> bool:
    """Whether every tensor was accounted for; timm does so unless a classifier or the whole head is left out."""
    claims = ep.entries("model").get(config.architecture)
    if claims and claims[0].distribution == "ferzoo":  # the zoo's own networks see to it themselves
        return True
    own = config.cfg.get("num_classes")
    return not kwargs.get("features_only") and kwargs.get("num_classes") in (None, own)


def _check_rest(model: Any, whole: Any, config: FolderConfig, origin: str) -> None:
    """Compare a network with the checkpoint's own, which loaded strictly: all but the classifier came along.

    Raises:
        CheckpointError: If anything else was left out.
    """
    import torch
    from timm.models import get_pretrained_cfg

    registered = get_pretrained_cfg(config.architecture)
    heads = classifier_prefixes(getattr(registered, "classifier", None) or config.cfg.get("classifier"))
    held: dict[Any, list[Any]] = {}
    for tensor in whole.state_dict().values():
        held.setdefault(tensor.shape, []).append(tensor)
    wrong = []
    for name, tensor in model.state_dict().items():
        # A shape that the checkpoint has not is that of an argument of the caller's, as in_chans.
        if name.startswith(heads) or tensor.shape not in held or name.endswith("num_batches_tracked"):
            continue
        if not any(torch.equal(tensor, other) for other in held[tensor.shape]):
            wrong.append(name)
    if wrong:
        raise CheckpointError(f"{origin} was not loaded whole into {config.architecture}: {_listed(wrong)} differ.")
    had, has = getattr(whole, "num_classes", 0), getattr(model, "num_classes", 0)
    if had and has and had != has:
        warnings.warn(CheckpointWarning.of_classifier(had, has), stacklevel=4)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:6])}{f' and {len(names) - 6} more' if len(names) > 6 else ''}"


def checked_weights(folder: Path, config: FolderConfig, origin: str) -> Path:
    """The weights of a checkpoint folder, compared with the sha256 that its config.json states, if it does.

    Args:
        folder: The folder.
        config: What its config.json says.
        origin: Where it comes from, for the error.

    Raises:
        WeightsCorruptError: If they differ.
    """
    path = folder / WEIGHTS
    sha256 = config.ferzoo.get("sha256")
    return checked(path, sha256, f"{CONFIG} of {origin}") if sha256 else path


def _import(config: FolderConfig, origin: str) -> None:
    """Make the architecture known to timm.

    Raises:
        UnknownNameError: If nobody registered it.
    """
    import timm

    known = ep.entries("model")
    if timm.is_model(config.architecture):  # timm's own, or one that is imported
        return
    if config.architecture in known:
        load_model(ep.find("model", config.architecture))
    else:
        package = config.ferzoo.get("package")
        name = package.get("name") if isinstance(package, dict) else None
        hint = f"The {CONFIG} of {origin} asks for it."
        name = name if isinstance(name, str) and len(name) <= MOST_LETTERS else "ferzoo"
        if name != "ferzoo" and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", name):
            hint += f" It says that the package {name} has it: install that (pip install {name}) if you trust it."
        raise UnknownNameError("model", config.architecture, [*known, *timm.list_models()], hint)
