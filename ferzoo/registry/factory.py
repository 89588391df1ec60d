"""create_*, list_* and load_plugins: what people call."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, PluginConflictError, PluginLoadError, RegistrationError, UnknownNameError
from ..weights.configs import checkpoints
from ..weights.folders import local_checkpoints
from ..weights.repository import fetch, hub_hint, is_hub_name
from ..weights.resolve import available, resolve
from ..weights.safe import refuse_pickled_sources
from . import entry_points as ep
from .config import facts_beside, one_source, source_in, unsaid
from .folder import create_from_folder
from .local import local_cfg
from .lookup import find_registered, load_model

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "Plugin",
    "create_block",
    "create_loss",
    "create_model",
    "find_registered",
    "list_blocks",
    "list_losses",
    "list_models",
    "list_plugins",
    "load_plugins",
]


@dataclass(frozen=True)
class Plugin:
    """One registered name: where it comes from, and the error that keeps it from working."""

    kind: str
    name: str
    distribution: str
    version: str
    value: str
    error: str = ""

    def to_dict(self) -> dict[str, str]:
        """The fields, for JSON."""
        return asdict(self)


def _match(names: list[str], pattern: str) -> list[str]:
    return fnmatch.filter(names, pattern) if pattern else names


def list_models(filter: str = "", pretrained: bool = False) -> list[str]:  # noqa: A002 (timm's name)
    """Names of the registered models, sorted; nothing is imported.

    Args:
        filter: Wildcard pattern as timm's, for example ``"lfn*"``; empty for all.
        pretrained: List the names with tag of checkpoints that have weights instead, ``"lfnsb.ferplus"``:
            those of the zoo that are here or on the Hub, those in the folders of FERZOO_WEIGHTS, and those that
            `ferzoo pull` keeps in the cache.
    """
    ep.warn_broken(["model"])
    names = list(ep.entries("model"))
    if pretrained:
        local = [name for name in local_checkpoints() if name.partition(".")[0] in names]
        names = sorted({*local, *available()})
    return _match(names, filter)


def list_blocks(filter: str = "") -> list[str]:  # noqa: A002
    """Names of the registered blocks, sorted; nothing is imported.

    Args:
        filter: Wildcard pattern, empty for all.
    """
    ep.warn_broken(["block"])
    return _match(list(ep.entries("block")), filter)


def list_losses(filter: str = "") -> list[str]:  # noqa: A002
    """Names of the registered losses, sorted; nothing is imported.

    Args:
        filter: Wildcard pattern, empty for all.
    """
    ep.warn_broken(["loss"])
    return _match(list(ep.entries("loss")), filter)


def create_model(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Build a model of the zoo, a model of timm, or one from the Hub.

    Args:
        name: A name from `list_models`, with or without a tag (``"lfnsb.ferplus"``), a name of timm's,
            ``"hf-hub:org/repo[@revision]"``, or ``"local-dir:folder"``.
        pretrained: Load trained weights; those of ``lfnsb`` and ``lanmsff`` come with the package.
        **kwargs: timm's: `num_classes`, `in_chans`, `global_pool`, `drop_rate`, `features_only`,
            `checkpoint_path`, `pretrained_cfg_overlay`, and the network's own, such as `img_size`; those of the Hub's
            client, `cache_dir` and `local_files_only`. Where an overlay names other weights, by `file` or `state_dict`,
            they are loaded as another state of the named ones: prepared faces and names of classes stay, and what is
            said of the named weights alone does not, such as their licence. For a repository of a network of the
            zoo, by `hf_hub_id`, its own config.json says all of that.

    Returns:
        The network, in training mode as timm's are.

    Raises:
        UnknownNameError: If there is no such model; names the nearest.
        PluginLoadError: If the plugin behind the name fails to import.
        PluginConflictError: If several packages, or a plugin and timm, claim the name.
        CheckpointError: If weights are asked for and cannot be found, do not fit, or are no safetensors.
    """
    import timm

    from .exported import refuse_other_exports

    if not isinstance(name, str):
        raise UnknownNameError("model", name, (), "A name is a text. See `ferzoo list`.")
    refuse_pickled_sources(kwargs, pretrained)
    where = {key: kwargs.pop(key) for key in ("cache_dir", "local_files_only") if key in kwargs}
    if is_hub_name(name):
        found = fetch(name, **where, weights=pretrained)
        return create_from_folder(found.folder, f"the Hub repository {found.repo}", pretrained, **kwargs)
    source, _, rest = name.partition(":")
    if rest and source.lower() == "local-dir":
        return create_from_folder(Path(rest).expanduser(), pretrained=pretrained, **kwargs)
    of_timm = source.lower() == "timm"
    if of_timm:
        name = rest
    if ":" in name:
        raise UnknownNameError("source", source, (), "Names are NAME, timm:NAME, hf-hub:ORG/REPO or local-dir:FOLDER.")
    refuse_other_exports(name)
    if hint := hub_hint(name):
        raise UnknownNameError("model", name, (), hint)
    architecture, _, tag = name.partition(".")
    known = {} if of_timm and _is_timms(architecture) else ep.entries("model")
    if architecture in known:
        load_model(ep.find("model", architecture))
    elif not timm.is_model(architecture):
        raise UnknownNameError("model", name, [*known, *checkpoints(), *timm.list_models()], "See `ferzoo list`.")
    elif where.pop("local_files_only", False):
        raise CheckpointError(f"{name} is timm's, which knows no local_files_only: set HF_HUB_OFFLINE=1 instead.")
    if architecture not in known or not tag or kwargs.get("pretrained_cfg") or _timm_knows(name):
        return timm.create_model(name, pretrained=pretrained, **where, **kwargs)
    # FERZOO_WEIGHTS or the cache alone may know the tag: timm gets the cfg, and the file where weights are wanted.
    weights = resolve(architecture, tag, **where)
    cfg, overlay = local_cfg(architecture, tag, weights), kwargs.get("pretrained_cfg_overlay")
    others = source_in(overlay or {}) if pretrained else ""  # weights in the place of these, with facts of their own
    kwargs["pretrained_cfg"] = unsaid(cfg) if others else cfg
    if pretrained:
        kwargs["pretrained_cfg_overlay"] = one_source(overlay, weights.path)
    model = timm.create_model(architecture, pretrained=pretrained, **kwargs)
    if pretrained:
        model.ferzoo_cfg = facts_beside(model, weights.ferzoo, others)
    return model


def _is_timms(architecture: str) -> bool:
    """Whether a name is timm's own, and not one that is registered there."""
    import timm

    return timm.is_model(architecture) and timm.model_entrypoint(architecture).__module__.startswith("timm.")


def _timm_knows(name: str) -> bool:
    from timm.models import get_pretrained_cfg

    try:
        return get_pretrained_cfg(name) is not None
    except RuntimeError:  # timm's answer to a tag that it does not know
        return False


def create_block(name: str, *args: Any, **kwargs: Any) -> nn.Module:
    """Build a registered block.

    Args:
        name: A name from `list_blocks`.
        *args: The block's own arguments.
        **kwargs: The block's own arguments.

    Raises:
        UnknownNameError: If there is no such block; names the nearest.
        PluginLoadError: If the plugin behind the name fails to import.
        PluginConflictError: If several packages claim the name.
    """
    return find_registered("block", name).make(*args, **kwargs)


def create_loss(name: str | Mapping[str, Any], *args: Any, **kwargs: Any) -> nn.Module:
    """Build a registered loss, or a weighted sum of them.

    Args:
        name: A name from `list_losses`; or a sum as text, ``"ce + 1.0*cosine_harmony(alpha=0.1)"``, or as a mapping,
            ``{"ce": 1.0, "cosine_harmony": {"weight": 1.0, "alpha": 0.1}}``.
        *args: The loss's own arguments.
        **kwargs: The loss's own arguments; every loss of the zoo takes `num_classes` and `feat_dim`. A sum takes these
            two alone and passes them to the terms that want them.

    Returns:
        The loss. It takes features (N, D), maps (N, D, H, W), logits or heads, as its `takes` says, or the whole dict
        of `model.forward_train(images)`; and labels (N,) or probabilities (N, C). A sum takes the dict.

    Raises:
        UnknownNameError: If there is no such loss; names the nearest.
        PluginLoadError: If the plugin behind the name fails to import.
        PluginConflictError: If several packages claim the name.
        LossError: If the sum or an argument is wrong.
    """
    if not isinstance(name, str) or not (name.isidentifier() or name in ep.entries("loss")):
        from .composite import CompositeLoss

        return CompositeLoss(name, *args, **kwargs)
    return find_registered("loss", name).make(*args, **kwargs)


def load_plugins() -> list[Plugin]:
    """Import every registered module, so that plain timm knows the models.

    A broken plugin never stops the others: it is left out, with one warning.

    Returns:
        What `list_plugins` returns.
    """
    plugins = list_plugins()
    ep.warn_broken()
    return plugins


def list_plugins(load: bool = True) -> list[Plugin]:
    """Every registered name with its distribution, and the error of each that does not work.

    Args:
        load: Import each module to find its errors; without it only known errors and conflicts show.
    """
    plugins = []
    for kind in ep.GROUPS:
        for name, claims in ep.entries(kind).items():
            error = _try(kind, name, load)
            for entry in claims:
                if error:
                    ep.note_broken(entry, error)
                plugins.append(Plugin(kind, name, entry.distribution, entry.version, entry.value, error))
    return plugins


def _try(kind: str, name: str, load: bool) -> str:
    try:
        entry = ep.find(kind, name)
        if load:
            load_model(entry) if kind == "model" else find_registered(kind, name)
        elif cause := ep.load_error(entry):
            return f"{type(cause).__name__}: {cause}"
    except PluginLoadError as error:
        return f"{type(error.__cause__).__name__}: {error.__cause__}"
    except (PluginConflictError, RegistrationError) as error:
        return str(error)
    return ""
