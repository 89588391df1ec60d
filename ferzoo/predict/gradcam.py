"""Grad-CAM (Selvaraju et al. 2017, arXiv 1610.02391), computed by captum."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from ..errors import FerzooError, MissingExtraError
from .layers import chosen, hooked, the_map

__all__ = ["FEATURES", "grad_cam", "layer_grad_cam"]

#: Name of the layer that is no module: the map that the head takes.
FEATURES = "forward_features"


class _Features(nn.Module):
    """`forward_features` as a module, so that its map can be hooked."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map."""
        return self.model.forward_features(x)


class _Halves(nn.Module):
    """A network as its features and its head."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.features = model, _Features(model)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        return self.model.forward_head(self.features(x))


def layer_grad_cam() -> Any:
    """The class of captum.

    Raises:
        MissingExtraError: Without captum.
    """
    try:
        from captum.attr import LayerGradCam
    except ImportError as error:
        raise MissingExtraError("Grad-CAM", "explain") from error
    return LayerGradCam


def grad_cam(model: nn.Module, batch: torch.Tensor, targets: list[int], layer: str | None) -> dict[str, torch.Tensor]:
    """What speaks for a class: a layer's map, each channel weighted by its mean gradient, the negative cut off.

    Args:
        model: The network, in evaluation mode.
        batch: Inputs (N, C, H, W).
        targets: A class for each.
        layer: Name or pattern of modules; None for the map that `forward_features` gives to the head.

    Returns:
        Name of the layer to map (N, h, w), from 0 up.

    Raises:
        MissingExtraError: Without captum.
        UnknownNameError: If there is no such layer; names the nearest.
        FerzooError: If a layer gives no map, or no gradient of the class reaches it.
    """
    compute = layer_grad_cam()
    whole, layers = _layers(model, layer)
    _check_maps(whole, layers, batch[:1], getattr(model, "num_features", 0))
    maps = {}
    for name, module in layers.items():
        try:
            parts = compute(whole, module).attribute(batch, targets, attr_dim_summation=False)
        except RuntimeError as error:
            if not any(words in str(error) for words in ("used in the graph", "does not require grad")):
                raise
            raise FerzooError(
                f"No gradient goes from the logits to the layer {name!r}: choose another, and turn gradient "
                "checkpointing off."
            ) from error
        # Of a network that looks at crops, the last region is the whole face.
        face = parts.shape[1] // (getattr(model, "num_regions", 0) or 1)
        maps[name] = parts.detach()[:, -face:].sum(1).relu().float()
    return maps


def _layers(model: nn.Module, layer: str | None) -> tuple[nn.Module, dict[str, nn.Module]]:
    """The network to call, and its chosen layers by name."""
    named = {name: module for name, module in model.named_modules() if name}
    if layer not in (None, FEATURES):
        assert layer is not None
        return model, chosen(named, layer, model)
    if not (hasattr(model, "forward_features") and hasattr(model, "forward_head")):
        raise FerzooError(
            f"{type(model).__name__} has no forward_features and forward_head, so that its last map is not known: "
            f"name a layer, one of {', '.join(named) or 'none'}."
        )
    whole = _Halves(model)
    return whole, {FEATURES: whole.features}


@torch.no_grad()
def _check_maps(model: nn.Module, layers: dict[str, nn.Module], batch: torch.Tensor, channels: int) -> None:
    """Raise if a layer gives no map of a face, or several; the last one must have its `channels` first."""
    outputs: dict[nn.Module, list[Any]] = {module: [] for module in layers.values()}
    with hooked(outputs, lambda module: module.register_forward_hook(lambda m, _, output: outputs[m].append(output))):
        model(batch)
    for name, module in layers.items():
        shape = the_map(outputs[module], name).shape
        if shape[0] != len(batch):
            raise FerzooError(f"The layer {name!r} gives {shape[0]} maps for one face: choose one around it.")
        if name == FEATURES and shape[1] != channels == shape[3]:
            raise FerzooError(f"{name!r} gives {tuple(shape)}, its channels last: name a layer with (N, C, H, W).")
