"""The network that a recipe trains, and the cfg of its weights to come."""

from __future__ import annotations

import warnings
from typing import Any

import torch

from ..errors import CheckpointError, DataError, FerzooError, RecipeError, first_line
from ..models.build import CLASSIFIER
from ..registry.config import BUILDERS, CLASSES, HOW, SAID, SOURCES, classifier_prefixes, for_channels
from ..registry.factory import create_model
from ..registry.load import load_model
from .bfloat16 import is_native
from .dilated import use_folded_rows
from .fused import use_fused_blocks
from .pointwise import use_bf16_pointwise
from .recipe import Recipe
from .recipe_checks import refused

__all__ = ["build_network", "cfg_to_come", "try_sizes"]

#: What `FerModel` calls the part between its last map and the classifier.
HEAD = ("pool.",)
#: Fields of timm's cfg that are of other weights: where they are, what is said of them, how they are tested. Nobody has
#: stated the licence of a run's weights, also where it began from weights that have one: the recipe names these.
_OTHERS = frozenset(
    (*SOURCES, *HOW, *SAID, *CLASSES, "test_input_size", "test_crop_pct", "test_pool_size", "label_offset")
)


def build_network(recipe: Recipe, num_classes: int) -> Any:
    """Build a recipe's network, with the weights of its `init`.

    Raises:
        RecipeError: If it does not take the recipe's arguments, or `init` is another architecture.
        DataError: If there are fewer than two classes.
    """
    if num_classes < 2:
        raise DataError(f"{recipe.data} has one class alone, and a network learns to tell two or more apart.")
    given = recipe.model_kwargs
    # A run's folder says with which arguments its network is built again: timm's own are none of them.
    if taken := sorted(BUILDERS & set(given)):
        instead = ": name trained weights by init=" if "pretrained" in taken else ""
        raise RecipeError(f"model_kwargs may not hold {', '.join(taken)}{instead}.")
    if given.get("num_classes", num_classes) != num_classes:
        raise RecipeError(f"model_kwargs asks for {given['num_classes']} classes, the data has {num_classes}.")
    try:
        model: Any = create_model(recipe.model, **{"num_classes": num_classes, **given})
    except FerzooError:
        raise
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise refused(recipe.model, "model_kwargs", given, error) from error
    if recipe.init:
        _start_from(recipe, model)
    if recipe.bf16_pointwise and is_native():
        use_bf16_pointwise(model)
    if recipe.fused_blocks and not use_fused_blocks(model, recipe.amp):
        more = "" if recipe.amp else ", or set amp=true, with which there are more"
        raise RecipeError(f"fused_blocks=true finds no block in {recipe.model} that it computes: leave it out{more}.")
    if recipe.amp and is_native():
        use_folded_rows(model)  # after the blocks, which compute some of these themselves
    return model


@torch.no_grad()
def try_sizes(recipe: Recipe, model: Any, cfg: dict[str, Any]) -> None:
    """Let the network see a batch of every size to come, so that none is found not to fit after hours.

    Args:
        recipe: `sizes`.
        model: The network, which is left in training mode.
        cfg: As `cfg_to_come` gives it.

    Raises:
        RecipeError: If the network does not take a size, or gives no logits; says which.
    """
    like, logits = next(model.parameters(), None), (2, cfg["num_classes"])
    if like is None:
        raise RecipeError(f"{recipe.model} has no parameters: there is nothing to train.")
    model.eval()
    for size in sorted(set(recipe.sizes.values())):
        try:
            found = model(like.new_zeros((2, cfg["input_size"][0], size, size)))
        except torch.OutOfMemoryError:
            raise
        except (ValueError, AssertionError, RuntimeError) as error:
            advice = (
                "Name sizes that it takes, or change model_kwargs: {img_size: PX} builds it for one, where it has that."
            )
            more = "" if isinstance(error, FerzooError) else f". {advice}"
            why = f"{first_line(error)}{more}"
            raise RecipeError(f"sizes={recipe.sizes}: {recipe.model} does not take {size}x{size} px: {why}") from error
        if (shape := tuple(getattr(found, "shape", ()))) != logits:
            raise RecipeError(
                f"{recipe.model} with model_kwargs={recipe.model_kwargs} gives outputs of the shape {shape} for two "
                f"faces, not logits {logits}."
            )
    model.train()


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
    # timm's networks say what theirs is called.
    named = (getattr(model, "pretrained_cfg", None) or {}).get("classifier")
    classifier = (*CLASSIFIER, *classifier_prefixes(named))
    shared = {k: v for k, v in state.items() if k in mine and v.shape == mine[k].shape}
    lacking = [k for k in mine if k not in shared and not k.startswith(classifier)]
    # A network of the same class may have another head, or one as large as another map: it starts afresh.
    head = HEAD if type(source) is type(model) else ()
    if body := [k for k in lacking if not k.startswith(head)]:
        raise RecipeError(f"init={recipe.init} does not fit {recipe.model}: it lacks {', '.join(body[:5])}.")
    if lacking:
        shared = {k: v for k, v in shared.items() if not k.startswith((*HEAD, *classifier))}
        warnings.warn(
            f"{recipe.model} takes all of init={recipe.init} but its head, which starts afresh.", stacklevel=2
        )
    model.load_state_dict({**mine, **shared})


def cfg_to_come(recipe: Recipe, model: Any, class_names: tuple[str, ...]) -> dict[str, Any]:
    """The cfg of the weights to come: this network at the recipe's last size and the data's classes."""
    cfg = model.pretrained_cfg
    base = {key: value for key, value in cfg.items() if key not in _OTHERS}
    channels, size = getattr(model, "in_chans", None) or _channels(recipe, cfg), recipe.final_size
    base |= {key: tuple(for_channels(base[key], channels)) for key in ("mean", "std") if base.get(key)}
    if base.get("pool_size") and (size, size) != tuple(cfg["input_size"][1:]):
        find = getattr(model, "map_size_at", None)  # which timm's networks lack
        base["pool_size"] = find(size, size) if find else None
    names = {"num_classes": len(class_names), "label_names": class_names}
    return {**base, "input_size": (channels, size, size), **names}


def _channels(recipe: Recipe, cfg: dict[str, Any]) -> int:
    """Input channels of a network that does not say them itself, as timm's."""
    channels: int = recipe.model_kwargs.get("in_chans") or cfg["input_size"][0]
    return channels
