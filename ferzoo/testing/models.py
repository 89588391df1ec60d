"""check_model: a network against the contract that makes it a first-class citizen of timm."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial
from typing import Any

import torch
from torch import nn

from ..registry.factory import create_model
from .contract import CONTRACT_CHECKS
from .graphs import GRAPH_CHECKS
from .intermediates import INTERMEDIATES_CHECKS
from .report import ConformanceError, run_checks
from .robustness import ROBUSTNESS_CHECKS
from .subject import ModelSubject
from .training import TRAINING_CHECKS

__all__ = ["MODEL_CHECKS", "check_model"]

#: The whole contract, in the order in which it is checked.
MODEL_CHECKS = (*CONTRACT_CHECKS, *INTERMEDIATES_CHECKS, *TRAINING_CHECKS, *ROBUSTNESS_CHECKS, *GRAPH_CHECKS)


def check_model(
    name_or_entrypoint: str | Callable[..., nn.Module],
    *,
    img_size: int | tuple[int, int] | None = None,
    in_chans: int | None = None,
    skip: Collection[str] = (),
    **kwargs: Any,
) -> list[str]:
    """Check that a network keeps the whole contract: timm's, and what the zoo adds to it.

    Every clause is looked at, and one error lists all that are broken. Weights are random; nothing is
    downloaded. A small `img_size` saves most of the time.

    Args:
        name_or_entrypoint: A registered name, or an entrypoint `(pretrained=False, **kwargs)`.
        img_size: Height and width of the batches, the cfg's where None. A network whose cfg says
            `fixed_input_size` is built with it.
        in_chans: Channels of the batches, the cfg's where None.
        skip: Names of checks to leave out, for example ``("script",)``.
        **kwargs: Further arguments of every build.

    Returns:
        Names of the checks, all of which passed.

    Raises:
        ConformanceError: If a clause is broken; the message lists each, and what was wanted. Or if
            the entrypoint returns no network.
        UnknownNameError: If the name is not registered, or `skip` names no check.
    """
    entrypoint: Callable[..., nn.Module]
    if isinstance(name_or_entrypoint, str):
        name, entrypoint = name_or_entrypoint, partial(create_model, name_or_entrypoint)
    else:
        name, entrypoint = getattr(name_or_entrypoint, "__name__", "The network"), name_or_entrypoint
    with torch.random.fork_rng(devices=[]):
        cfg = getattr(_built(name, entrypoint, kwargs), "pretrained_cfg", None)
        if not cfg or not cfg.get("input_size"):
            wanted = "build it with timm.models.build_model_with_cfg and a default cfg that states its input_size"
            raise ConformanceError(f"{name} has no pretrained_cfg with an input_size: {wanted}.", ["cfg: missing"])
        fixed = bool(cfg.get("fixed_input_size"))
        size = img_size or tuple(cfg["input_size"][1:])
        size = (size, size) if isinstance(size, int) else (int(size[0]), int(size[1]))
        if fixed and img_size is not None:
            kwargs["img_size"] = size
        subject = ModelSubject(name, entrypoint, kwargs, dict(cfg), in_chans or cfg["input_size"][0], size, fixed)
        return run_checks(MODEL_CHECKS, subject, name, skip)


def _built(name: str, entrypoint: Callable[..., nn.Module], kwargs: dict[str, Any]) -> nn.Module:
    """The network as it comes; an entrypoint may return anything."""
    wanted = "Its entrypoint has to return a torch.nn.Module"
    try:
        network = entrypoint(**kwargs)
    except AttributeError as error:  # timm's, for example, where it gets None
        raise ConformanceError(f"{name} cannot be built: {error}. {wanted}.", [f"build: {error}"]) from error
    if not isinstance(network, nn.Module):
        found = f"it returned a {type(network).__name__}"
        raise ConformanceError(f"{name} cannot be built. {wanted}, but {found}.", [f"build: {found}"])
    return network
