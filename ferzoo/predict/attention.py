"""The maps of a network's attention blocks, whichever package they come from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from ..blocks.attention_map import AttentionMap
from ..registry.register import registered_name
from .layers import chosen, hooked, the_map

__all__ = ["attention_blocks", "attention_maps"]


def attention_blocks(model: nn.Module) -> dict[str, dict[str, nn.Module]]:
    """Blocks that tell their attention: by kind, as ``"coord_att"``, and there by their name in the network."""
    found: dict[str, dict[str, nn.Module]] = {}
    for name, module in model.named_modules():
        shown = isinstance(module, AttentionMap)
        if name and shown:
            found.setdefault(registered_name("block", type(module)), {})[name] = module
    return found


@torch.no_grad()
def attention_maps(
    model: nn.Module, batch: torch.Tensor, blocks: Mapping[str, nn.Module], layer: str | None
) -> dict[str, torch.Tensor]:
    """What the blocks of one kind multiply their maps with, averaged over the channels.

    Args:
        model: The network, in evaluation mode.
        batch: Inputs (N, C, H, W).
        blocks: The blocks by name, in order.
        layer: Name or pattern of those that are wanted; None for the last at each size of the map.

    Returns:
        Name of the block to map (N, h, w).

    Raises:
        UnknownNameError: If there is no such layer; names the nearest.
        FerzooError: If a block is not used, or used several times, or gives no map.
    """
    wanted = dict(blocks) if layer is None else chosen(blocks, layer, model)
    maps: dict[Any, list[torch.Tensor]] = {block: [] for block in wanted.values()}

    def look(block: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        maps[block].append(block.attention_map(*args, **kwargs))

    with hooked(maps, lambda block: block.register_forward_pre_hook(look, with_kwargs=True)):
        model(batch)
    means = {name: the_map(maps[block], name).float().mean(1) for name, block in wanted.items()}
    if layer is not None:
        return means
    last = {mean.shape: name for name, mean in means.items()}
    return {name: means[name] for name in last.values()}
