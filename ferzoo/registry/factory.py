"""create_*, list_* and load_plugins: what people call."""

from __future__ import annotations

import fnmatch
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from ..errors import PluginConflictError, PluginLoadError, RegistrationError, UnknownNameError
from ..weights.configs import checkpoints
from . import entry_points as ep
from .register import registered

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "Plugin",
    "create_block",
    "create_loss",
    "create_model",
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
        pretrained: List the names with tag of checkpoints that have weights instead, ``"lfnsb.ferplus"``.
    """
    ep.warn_broken(["model"])
    return _match(sorted(checkpoints()) if pretrained else list(ep.entries("model")), filter)


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


def _load_model(entry: ep.Entry) -> None:
    """Import the module of a model's entry and see that it registered the name with timm."""
    from timm.models import is_model, model_entrypoint

    if is_model(entry.name) and model_entrypoint(entry.name).__module__.startswith("timm."):
        raise PluginConflictError(
            f"{entry} claims the model {entry.name!r}, which timm owns. Use timm.create_model for timm's, "
            f"and ask the author of {entry.distribution} to rename theirs."
        )
    ep.load(entry)
    if not is_model(entry.name):
        raise RegistrationError(
            f"{entry} lists the model {entry.name!r}, but {entry.module} registers no such model: "
            "decorate a function of that name with ferzoo.register_model."
        )


def create_model(name: str, pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Build a model of the zoo, a model of timm, or one from the Hub.

    Args:
        name: A name from `list_models`, with or without a tag (``"lfnsb.ferplus"``), a name of timm's, or
            ``"hf-hub:org/repo[@revision]"``.
        pretrained: Load trained weights; those of ``lfnsb`` and ``lanmsff`` come with the package.
        **kwargs: timm's: `num_classes`, `in_chans`, `global_pool`, `drop_rate`, `features_only`,
            `checkpoint_path`, `pretrained_cfg_overlay`, and the network's own, such as `img_size`.

    Returns:
        The network, in training mode as timm's are.

    Raises:
        UnknownNameError: If there is no such model; names the nearest.
        PluginLoadError: If the plugin behind the name fails to import.
        PluginConflictError: If several packages, or a plugin and timm, claim the name.
        CheckpointError: If weights are asked for and cannot be found, or do not fit.
    """
    import timm

    if ":" in name:
        load_plugins()
        return timm.create_model(name, pretrained=pretrained, **kwargs)
    architecture, _, tag = name.partition(".")
    known = ep.entries("model")
    if architecture in known:
        _load_model(ep.find("model", architecture))
    elif not timm.is_model(architecture):
        raise UnknownNameError("model", name, [*known, *checkpoints(), *timm.list_models()], "See `ferzoo list`.")
    if architecture in known and tag:
        # A tag may live in FERZOO_WEIGHTS alone; the model's builder resolves it, timm cannot.
        return timm.create_model(architecture, pretrained=pretrained, pretrained_cfg=tag, **kwargs)
    return timm.create_model(name, pretrained=pretrained, **kwargs)


def _normal(name: str) -> str:
    return name.replace("_", "").replace("-", "").lower()


def find_registered(kind: str, name: str) -> Any:
    """The `Registered` block or loss behind a name, importing its module.

    Args:
        kind: ``"block"`` or ``"loss"``.
        name: The registered name.

    Raises:
        UnknownNameError: If nobody registered it; names the nearest.
        PluginLoadError: If its module fails to import.
        PluginConflictError: If several packages claim it.
        RegistrationError: If the module does not hold what its entry point promises.
    """
    plural = {"block": "blocks", "loss": "losses"}[kind]
    entry = ep.find(kind, name, hint=f"See `ferzoo list --{plural}`.")
    module = ep.load(entry)
    items = registered(kind)
    if entry.attribute:
        target = getattr(module, entry.attribute, None)
        for item in items.values():
            if item.make is target:
                return item
    else:
        mine = [item for item in items.values() if item.module.startswith(entry.module)]
        for item in mine:
            if item.name == name:
                return item
        for item in mine:
            if _normal(item.name) == _normal(name):
                return item
    raise RegistrationError(
        f"{entry} lists the {kind} {name!r}, but {entry.value} registers no such {kind}: "
        f'decorate it with ferzoo.register_{kind}("{name}").'
    )


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


def create_loss(name: str, *args: Any, **kwargs: Any) -> nn.Module:
    """Build a registered loss.

    Args:
        name: A name from `list_losses`.
        *args: The loss's own arguments.
        **kwargs: The loss's own arguments, such as `num_classes` and `feat_dim`.

    Raises:
        UnknownNameError: If there is no such loss; names the nearest.
        PluginLoadError: If the plugin behind the name fails to import.
        PluginConflictError: If several packages claim the name.
    """
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
                plugins.append(Plugin(kind, name, entry.distribution, entry.version, entry.value, error))
    return plugins


def _try(kind: str, name: str, load: bool) -> str:
    try:
        entry = ep.find(kind, name)
        if load:
            _load_model(entry) if kind == "model" else find_registered(kind, name)
        elif cause := ep.load_error(entry):
            return f"{type(cause).__name__}: {cause}"
    except PluginLoadError as error:
        return f"{type(error.__cause__).__name__}: {error.__cause__}"
    except (PluginConflictError, RegistrationError) as error:
        return str(error)
    return ""
