"""The cfg of weights in FERZOO_WEIGHTS or the cache: the facts beside them over those of the architecture."""

from __future__ import annotations

from typing import Any

from ..errors import CheckpointError
from ..weights.folders import Weights
from ..weights.safe import refuse_damaged
from .config import CLASSES, PREPARED, check_cfg, classifier_prefixes, unsaid

__all__ = ["OWN_CFGS", "local_cfg"]

#: The cfg of each architecture without weights, as its paper has it; the zoo's families fill it as they are imported.
OWN_CFGS: dict[str, dict[str, Any]] = {}


def local_cfg(architecture: str, tag: str, weights: Weights) -> dict[str, Any]:
    """The cfg of a checkpoint with facts of its own, over that of its architecture.

    Args:
        architecture: A model's name, whose module is imported.
        tag: The checkpoint's tag.
        weights: The checked file. Its class count is that of its classifier where the facts do not say.

    Raises:
        CheckpointError: If a fact is of the wrong kind, is none of timm's, or contradicts the file.
    """
    from timm.models import PretrainedCfg, get_pretrained_cfg

    own = OWN_CFGS.get(architecture)
    base = PretrainedCfg(**own) if own else get_pretrained_cfg(architecture) or PretrainedCfg()
    cfg = {key: value for key, value in unsaid(base.to_dict(remove_source=True)).items() if key not in CLASSES}
    facts = weights.facts or weights.path
    cfg |= {key: value for key, value in weights.cfg.items() if value is not None}
    cfg = {key: list(value) if isinstance(value, tuple) else value for key, value in cfg.items()}
    cfg.update(architecture=architecture, tag=tag)
    check_cfg(facts, cfg, {}, {key: value for key, value in weights.ferzoo.items() if key in PREPARED})
    stated, held = weights.cfg.get("num_classes"), _classes_in(weights, cfg.get("classifier"))
    if None not in (stated, held) and stated != held:
        raise CheckpointError(f"{facts} states num_classes {stated}, but the classifier in {weights.path} has {held}.")
    if stated is None and held is not None:
        cfg["num_classes"] = held
    names = cfg.get("label_names")
    if names and len(names) != cfg["num_classes"]:
        raise CheckpointError(f"{facts} has {len(names)} label_names for {cfg['num_classes']} classes.")
    cfg = {key: tuple(value) if isinstance(value, list) else value for key, value in cfg.items()}
    try:
        PretrainedCfg(**cfg)
    except TypeError as error:
        raise CheckpointError(f"The cfg in {facts} is not timm's: {error}") from error
    return cfg


def _classes_in(weights: Weights, classifier: Any) -> int | None:
    """Rows of the classifier in a file of weights; None where it has none of that name."""
    from safetensors import safe_open

    refuse_damaged(weights.path)
    name = next((f"{prefix}weight" for prefix in classifier_prefixes(classifier)), None)
    with safe_open(weights.path, "np") as file:
        return int(file.get_slice(name).get_shape()[0]) if name in file.keys() else None  # noqa: SIM118
