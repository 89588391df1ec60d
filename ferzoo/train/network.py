"""The network that a recipe trains, and the cfg of its weights to come."""

from __future__ import annotations

import warnings
from typing import Any

from ..errors import CheckpointError, RecipeError
from ..models.build import CLASSIFIER
from ..registry.factory import create_model
from ..registry.load import load_model
from .bfloat16 import is_native
from .fused import use_fused_blocks
from .pointwise import use_bf16_pointwise
from .recipe import Recipe

__all__ = ["build_network", "cfg_to_come"]

#: What `FerModel` calls the part between its last map and the classifier.
HEAD = ("pool.",)


def build_network(recipe: Recipe, num_classes: int) -> Any:
    """Build a recipe's network, with the weights of its `init`.

    Raises:
        RecipeError: If it does not take the recipe's arguments, or `init` is another architecture.
    """
    kwargs = {"num_classes": num_classes, **recipe.model_kwargs}
    try:
        model: Any = create_model(recipe.model, **kwargs)
    except TypeError as error:
        raise RecipeError(f"{recipe.model} does not take model_kwargs={recipe.model_kwargs}: {error}") from error
    if recipe.init:
        _start_from(recipe, model)
    if recipe.bf16_pointwise and is_native():
        use_bf16_pointwise(model)
    if recipe.fused_blocks and not use_fused_blocks(model, recipe.amp):
        more = "" if recipe.amp else ", or set amp=true, with which there are more"
        raise RecipeError(f"fused_blocks=true finds no block in {recipe.model} that it computes: leave it out{more}.")
    return model


def _start_from(recipe: Recipe, model: Any) -> None:
    """Take over the weights of a trained network, but for another classifier or head, or of a backbone of its own."""
    source = load_model(recipe.init)
    if hasattr(model, "load_backbone") and type(source) is not type(model):
        try:
            model.load_backbone(source)
        except CheckpointError as error:
            raise RecipeError(f"init={recipe.init} does not fit {recipe.model}: {error}") from error
        return
    state, mine = source.state_dict(), model.state_dict()
    shared = {k: v for k, v in state.items() if k in mine and v.shape == mine[k].shape}
    lacking = [k for k in mine if k not in shared and not k.startswith(CLASSIFIER)]
    # A network of the same class may have another head, or one as large as another map: it starts afresh.
    head = HEAD if type(source) is type(model) else ()
    if body := [k for k in lacking if not k.startswith(head)]:
        raise RecipeError(f"init={recipe.init} does not fit {recipe.model}: it lacks {', '.join(body[:5])}.")
    if lacking:
        shared = {k: v for k, v in shared.items() if not k.startswith((*HEAD, *CLASSIFIER))}
        warnings.warn(
            f"{recipe.model} takes all of init={recipe.init} but its head, which starts afresh.", stacklevel=2
        )
    model.load_state_dict({**mine, **shared})


def cfg_to_come(recipe: Recipe, model: Any, class_names: tuple[str, ...]) -> dict[str, Any]:
    """The cfg of the weights to come: this network at the recipe's last size and the data's classes."""
    cfg = model.pretrained_cfg
    base = {k: v for k, v in cfg.items() if k not in ("file", "hf_hub_id", "url", "tag")}
    channels, size = getattr(model, "in_chans", cfg["input_size"][0]), recipe.final_size
    names = {"num_classes": len(class_names), "label_names": class_names}
    return {**base, "input_size": (channels, size, size), **names}
