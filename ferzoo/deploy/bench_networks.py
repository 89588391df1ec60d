"""The networks that `bench` measures: by their names, with weights that are fit to be timed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import timm
import torch
from huggingface_hub import try_to_load_from_cache
from torch import nn
from torch.optim.swa_utils import update_bn

from ..errors import WeightsNotFoundError
from ..registry.config import only_file
from ..registry.factory import create_model, list_models
from ..registry.load import is_folder, load_model
from ..weights.resolve import default_tag

__all__ = ["Found", "calibrate", "denormals", "find_network", "rebuild"]


class Found(NamedTuple):
    """A network by its name.

    Attributes:
        network: The network.
        trained: Whether its weights are trained.
        size: Height and width to measure it at; None for its own.
        arguments: Those that `create_model` builds it with again, where it is not trained.
    """

    network: Any
    trained: bool
    size: int | None = None
    arguments: dict[str, Any] = {}


def find_network(name: str, size: int | None = None) -> Found:
    """Build a network.

    Args:
        name: What `load_model` takes, a registered name without weights, or a name of timm's.
        size: Height and width in pixels; a network of timm's keeps its own.

    Raises:
        UnknownNameError: If there is no such network; names the nearest.
        CheckpointError: If its weights are damaged or do not fit.
    """
    architecture, _, tag = name.partition(".")
    registered = architecture in list_models()
    if not registered and ":" not in name and not is_folder(name):
        return _of_timm(name)
    try:
        if not registered or tag or default_tag(architecture):
            return Found(load_model(name), True, size)
    except WeightsNotFoundError:
        if tag or not registered:
            raise
    arguments: dict[str, Any] = {"img_size": size} if size else {}
    try:
        return Found(create_model(name, **arguments), False, size, arguments)
    except TypeError as error:
        if "img_size" not in str(error):
            raise
        return Found(create_model(name), False, size)  # takes any size


def _of_timm(name: str) -> Found:
    """A network of timm's, trained where its weights are in the cache of the Hub's client; nothing is fetched."""
    cfg = timm.get_pretrained_cfg(name) if timm.is_model(name) else None
    if cfg and cfg.hf_hub_id:
        file = try_to_load_from_cache(cfg.hf_hub_id, cfg.hf_hub_filename or "model.safetensors")
        if isinstance(file, str):
            return Found(create_model(name, pretrained=True, pretrained_cfg_overlay=only_file(Path(file))), True)
    return Found(create_model(name), False)


def rebuild(name: str, trained: bool, arguments: dict[str, Any], weights: str) -> Any:
    """The network of a `Subject`, in another process.

    Args:
        name: The subject's name.
        trained: Its weights are found by the name.
        arguments: The subject's.
        weights: The file with the weights where they are not trained.
    """
    if trained:
        return find_network(name).network
    from safetensors.torch import load_file

    network = create_model(name, **arguments)
    network.load_state_dict(load_file(weights))
    return network


def calibrate(network: nn.Module, shape: Sequence[int]) -> None:
    """Give untrained BatchNorms the statistics of noise, so that values neither vanish nor grow from layer to layer."""
    generator = torch.Generator().manual_seed(0)
    update_bn([torch.randn(16, *shape, generator=generator)], network)


@torch.no_grad()
def denormals(network: nn.Module, x: torch.Tensor) -> float:
    """Part of the outputs of a network's layers that are denormal numbers: too small for float32's full precision.

    Args:
        network: In eval mode.
        x: A batch.
    """
    small, count = 0, 0

    def look(module: nn.Module, inputs: Any, out: Any) -> None:
        nonlocal small, count
        if isinstance(out, torch.Tensor) and out.is_floating_point():
            size = out.abs()
            small += int(((size > 0) & (size < torch.finfo(out.dtype).tiny)).sum())
            count += out.numel()

    hooks = [module.register_forward_hook(look) for module in network.modules() if not list(module.children())]
    try:
        network(x)
    finally:
        for hook in hooks:
            hook.remove()
    return small / max(count, 1)
