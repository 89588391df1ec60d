"""From a variant's name to a network: weights resolved and checked, keys renamed, timm's builder."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

import torch
from timm.models import build_model_with_cfg, generate_default_cfgs
from timm.models._manipulate import adapt_input_conv
from torch import nn

from ..errors import CheckpointError, CheckpointWarning, OptionError
from ..labels import FERPLUS
from ..registry.config import (
    CFG_DEFAULTS,
    CLASSES,
    SAID,
    for_channels,
    one_source,
    only_file,
    prepared,
    read_config,
    source_in,
)
from ..registry.local import OWN_CFGS, local_cfg
from ..registry.sources import checkpoint, hub_id, local_dir, refuse_source
from ..weights.configs import checkpoints
from ..weights.repository import CONFIG
from ..weights.resolve import default_tag, resolve
from ..weights.safe import refuse_pickled_sources
from .base import FerModel

__all__ = ["build_model", "convert_state_dict", "default_cfgs_for", "rename"]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)

#: What a classifier's names begin with.
CLASSIFIER = ("head.", "head_norm.")
#: Where the names of several attention heads begin.
HEADS = "pool.heads."
StateDict = Mapping[str, torch.Tensor]
#: A regular expression, and its replacement as `re.sub` takes it.
Rename = tuple[str, str | Callable[[re.Match[str]], str]]


def default_cfgs_for(variants: Mapping[str, dict[str, Any]], **shared: Any) -> dict[str, Any]:
    """Default cfgs of a family as timm takes them: one a checkpoint in hub_configs, or one without weights.

    Args:
        variants: Architecture name to the fields that are its own.
        **shared: Fields of every architecture.
    """
    base = {
        "num_classes": 8,
        "input_size": (3, 112, 112),
        **CFG_DEFAULTS,
        "crop_mode": "squash",
        "label_names": FERPLUS,
        "mean": IMAGENET_MEAN,
        "std": IMAGENET_STD,
        "classifier": "head",
        **shared,
    }
    cfgs: dict[str, dict[str, Any]] = {}
    for name, own in variants.items():
        mine = {c.name: {**base, **own, **c.pretrained_cfg()} for c in checkpoints().values() if c.architecture == name}
        cfgs.update(mine or {name: {**base, **own}})
        OWN_CFGS[name] = {**base, **own}
    return generate_default_cfgs(cfgs)


def rename(name: str, rules: Iterable[Rename]) -> str:
    """A tensor's name after all rules, applied in order.

    Args:
        name: The tensor's name in the release.
        rules: Regular expressions, each with what takes the place of its matches.
    """
    for pattern, new in rules:
        name = re.sub(pattern, new, name)
    return name


def convert_state_dict(
    state_dict: StateDict,
    model: nn.Module,
    renames: Sequence[Rename] = (),
    unused: Iterable[str] = (),
) -> dict[str, torch.Tensor]:
    """Bring a checkpoint to a network's own names, and check that nothing is missing or left over.

    Takes the names of the network as they are. A classifier of another class count is dropped, as timm
    does, and a checkpoint without any leaves the network's; nothing else may differ.

    Args:
        state_dict: Tensors by name, the network's own or the authors' released ones; the prefix
            ``module.`` of data-parallel training is taken off.
        model: The network that they are for.
        renames: Regular expressions and replacements, applied in order to every name.
        unused: Regular expressions of names that the release holds and its forward never uses.

    Raises:
        CheckpointError: If names are missing or unexpected, or a shape or the kind of number differs; lists them.
    """
    own = model.state_dict()
    out = {name.removeprefix("module."): tensor for name, tensor in state_dict.items()}
    drop = [re.compile(pattern) for pattern in unused]
    renamed = {}
    for name, tensor in out.items():
        if name not in own:
            if any(pattern.search(name) for pattern in drop):
                continue
            name = rename(name, renames)
        renamed[name] = tensor
    out = renamed
    if getattr(model, "global_pool", None) == "":
        out = {name: tensor for name, tensor in out.items() if name in own or not name.startswith("pool.")}
    # A backbone that was kept without its classifier leaves the network's as it is.
    optional = [name for name in own if name.startswith(CLASSIFIER)]
    if any(name.startswith(CLASSIFIER) for name in out):
        optional = ["head.weight", "head.bias"]
    dropped = _fit_classifier(out, own)
    _fit_grey_stem(out, model)
    _check_keys(out, own, model, optional={*optional, *dropped})
    return out


def _fit_classifier(out: dict[str, torch.Tensor], own: StateDict) -> list[str]:
    """Drop a classifier that the network has not, or what of it has another class count; return the names."""
    has_none = not any(name.startswith(CLASSIFIER) for name in own)
    dropped = []
    for name in [name for name in out if name.startswith(CLASSIFIER)]:
        if name in own and out[name].shape[:1] != own[name].shape[:1]:
            if name == "head.weight":
                had, has = out[name].shape[0], own[name].shape[0]
                warnings.warn(CheckpointWarning.of_classifier(had, has), stacklevel=2)
        elif not has_none:
            continue
        dropped.append(name)
        del out[name]
    return dropped


def _fit_grey_stem(out: dict[str, torch.Tensor], model: nn.Module) -> None:
    """Older timm adapts first convolutions from three channels alone: give it three."""
    if "base_chans" in inspect.signature(adapt_input_conv).parameters:
        return
    name = f"{getattr(model, 'pretrained_cfg', {}).get('first_conv')}.weight"
    if name in out and out[name].shape[1] == 1 and getattr(model, "in_chans", 1) != 1:
        out[name] = out[name].repeat(1, 3, 1, 1) / 3


def _check_keys(out: dict[str, torch.Tensor], own: StateDict, model: nn.Module, optional: Collection[str]) -> None:
    cfg = getattr(model, "pretrained_cfg", {})
    first = f"{cfg.get('first_conv')}.weight"
    missing = [
        name for name in own if name not in out and name not in optional and not name.endswith(".num_batches_tracked")
    ]
    unexpected = [name for name in out if name not in own]
    shapes = [
        f"{name} {tuple(out[name].shape)} for {tuple(own[name].shape)}"
        for name in out
        if name in own and name != first and out[name].shape != own[name].shape
    ]
    kinds = [name for name in out if name in own and out[name].is_floating_point() != own[name].is_floating_point()]
    problems = [
        f"{what}: {', '.join(names[:6])}{f' and {len(names) - 6} more' if len(names) > 6 else ''}"
        for what, names in (
            ("missing", missing),
            ("unexpected", unexpected),
            ("of another shape", shapes),
            ("whole numbers for real ones, or the other way", kinds),
        )
        if names
    ]
    if problems:
        hint = ""
        if any(s.startswith("pool.") for s in shapes):
            hint = " The head is as large as the map: build the network with the weights' img_size."
        elif all(any(name.startswith(HEADS) for name in names) for names in (out, own, missing + unexpected)):
            hint = " The weights have another number of heads: build the network with their num_heads."
        raise CheckpointError(f"The checkpoint does not fit {type(model).__name__}; {'; '.join(problems)}.{hint}")


def build_model(
    cls: type[nn.Module],
    variant: str,
    pretrained: bool,
    filter_fn: Callable[[StateDict, nn.Module], dict[str, torch.Tensor]],
    maps: int = 4,
    **kwargs: Any,
) -> nn.Module:
    """Call timm's `build_model_with_cfg` with ferzoo's weights: found, checked by sha256, and loaded strictly.

    Args:
        cls: The network's class.
        variant: The architecture's name.
        pretrained: Load weights.
        filter_fn: The module's `checkpoint_filter_fn`.
        maps: Entries of its `feature_info`, all of which `features_only` gives unless told.
        **kwargs: What the entrypoint was given.

    Raises:
        OptionError: If `features_only` is to have a `feature_cls` that calls layers in turn.
        CheckpointError: If weights are wanted that cannot be found, do not fit, or may be pickles.
    """
    # timm's networks of this kind call top-level layers in turn, which no `forward` of a FerModel does.
    kind = getattr(kwargs.get("feature_cls"), "__name__", kwargs.get("feature_cls"))
    in_turn = str(kind).lower() in ("list", "dict", "featurelistnet", "featuredictnet")
    if kwargs.get("features_only") and in_turn and issubclass(cls, FerModel):
        raise OptionError(
            f"feature_cls={kind!r} does not fit {variant}, whose forward is more than its layers in turn. Leave it "
            "out, or take 'getter', 'hook' or 'fx'."
        )
    folder = local_dir(kwargs.get("pretrained_cfg"))
    given = {key: value for key, value in kwargs.items() if not folder or key != "pretrained_cfg"}
    refuse_pickled_sources(given, pretrained)
    cache_dir, local_only = kwargs.pop("cache_dir", None), kwargs.pop("local_files_only", False)
    overlay = dict(kwargs.pop("pretrained_cfg_overlay", None) or {})
    cfg = kwargs.pop("pretrained_cfg", None)
    extra: dict[str, Any] = {}
    args: dict[str, Any] = {}
    if pretrained and (source := source_in(overlay)):
        refuse_source(overlay, source)
        said: dict[str, Any] = {}
        if source == "hf_hub_id":
            path, config = checkpoint(None, overlay[source], cache_dir, local_only)
            overlay.update(only_file(path))
            extra, said = config.ferzoo, {key: config.cfg.get(key) for key in (*SAID, *CLASSES)}
        elif folder:
            extra = prepared(read_config(folder / CONFIG).ferzoo)
        elif cfg is None or isinstance(cfg, str):  # the cfg is that of weights that these are not
            said = dict.fromkeys(SAID)
            named = checkpoints().get(f"{variant}.{cfg or default_tag(variant)}")
            extra = prepared(named.ferzoo) if named else {}
        overlay = {**said, **one_source(overlay, None)}
    elif pretrained and (cfg is None or isinstance(cfg, str)):
        weights = resolve(variant, cfg or None, cache_dir=cache_dir, local_files_only=local_only)
        if weights.facts:  # those of FERZOO_WEIGHTS and of the cache have a cfg of their own
            cfg = local_cfg(variant, cfg or default_tag(variant) or "", weights)
        overlay.update(only_file(weights.path))
        extra = weights.ferzoo
    elif pretrained and (folder or hub_id(cfg)):  # timm's own ways to a checkpoint
        path, config = checkpoint(folder, hub_id(cfg), cache_dir, local_only)
        overlay.update(only_file(path))
        extra, args = config.ferzoo, config.model_args
    if not pretrained and cfg is None and "input_size" not in overlay:
        # A fresh network has its paper's size, whatever the size of the weights that ship for it.
        if variant in OWN_CFGS:
            overlay["input_size"] = OWN_CFGS[variant]["input_size"]
        own = inspect.signature(cls).parameters.get("img_size")
        if own and own.default is not None:
            kwargs.setdefault("img_size", own.default)
    model = build_model_with_cfg(
        cls,
        variant,
        pretrained,
        pretrained_cfg=cfg,
        pretrained_cfg_overlay=overlay,
        pretrained_filter_fn=filter_fn,
        feature_cfg={"out_indices": tuple(range(maps)), "feature_cls": "getter"},
        **kwargs,
    )
    model.pretrained_cfg = model.default_cfg = _cfg_as_built(model.pretrained_cfg, model)
    model.ferzoo_cfg = extra
    model.ferzoo_args = {key: value for key, value in args.items() if key != "num_classes"}
    return model


def _cfg_as_built(cfg: dict[str, Any], model: nn.Module) -> dict[str, Any]:
    """The cfg with the channels, the size and the classes that the network was built with."""
    channels, *size = cfg["input_size"]
    channels = getattr(model, "in_chans", None) or channels
    size = getattr(model, "img_size", None) or size
    out = {**cfg, "input_size": (channels, *size)}
    if isinstance(model, FerModel):
        out["pool_size"] = model.map_size_at(*size)
    elif reduction := getattr(model, "map_reduction", None):
        out["pool_size"] = tuple(-(-side // reduction) for side in size)
    out |= {key: tuple(for_channels(cfg[key], channels)) for key in ("mean", "std")}
    classes = getattr(model, "num_classes", None)
    if classes and classes != len(out.get("label_names") or ()):
        out.pop("label_names", None)
        out["num_classes"] = classes
    return out
