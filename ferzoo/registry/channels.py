"""Channels of the input of a network, which timm's cfg does not tell where it was built with others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from .config import for_channels

__all__ = ["cfg_of_input", "channels_of", "with_channels"]

#: What timm's cfg says of networks with other channels, too, and the most that these have: a first convolution with
#: more inputs may be one that takes a block of pixels apart.
_USUAL, _MOST_CHANNELS = 3, 4


def channels_of(model: nn.Module, cfg: Mapping[str, Any], args: Mapping[str, Any] | None = None) -> int:
    """Channels of the input that a network was built for.

    Args:
        model: The network.
        cfg: timm's pretrained cfg, whose `input_size` is that of the weights it began from.
        args: Arguments that it was built with, as far as they are known.
    """
    stated = (args or {}).get("in_chans") or getattr(model, "in_chans", None)
    if isinstance(stated, int):
        return stated
    first = cfg.get("first_conv")
    first = first[0] if isinstance(first, list | tuple) and first else first
    convolution = dict(model.named_modules()).get(first) if isinstance(first, str) else None
    found, written = getattr(convolution, "in_channels", None), int(cfg["input_size"][0])
    return found if written == _USUAL and isinstance(found, int) and found <= _MOST_CHANNELS else written


def with_channels(cfg: Mapping[str, Any], channels: int) -> dict[str, Any]:
    """A pretrained cfg for an input of this many channels: its sizes, and mean and std.

    Args:
        cfg: timm's pretrained cfg.
        channels: Of the network's input.
    """
    changed: dict[str, Any] = dict(cfg)
    for key in ("input_size", "test_input_size", "min_input_size"):
        if cfg.get(key):
            changed[key] = (channels, *cfg[key][1:])
    return changed | {key: for_channels(cfg[key], channels) for key in ("mean", "std") if cfg.get(key)}


def cfg_of_input(model: nn.Module, cfg: Mapping[str, Any]) -> dict[str, Any]:
    """A pretrained cfg as it is, or for the channels of the network's input where these are others.

    Args:
        model: The network.
        cfg: timm's pretrained cfg.
    """
    channels = channels_of(model, cfg)
    return dict(cfg) if channels == cfg["input_size"][0] else with_channels(cfg, channels)
