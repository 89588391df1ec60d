"""A network measured in its paper's setting, to stand beside what the paper prints."""

from __future__ import annotations

from typing import Any

from ..models.papers import PAPERS, Paper
from ..registry.factory import create_model
from .profile import Profile, profile

__all__ = ["measured_as_printed", "printed"]


def printed(network: Any) -> Paper | None:
    """What the paper of a network prints of its size; None where there is no paper."""
    return PAPERS.get((getattr(network, "pretrained_cfg", None) or {}).get("architecture", ""))


def measured_as_printed(network: Any, paper: Paper, latency: bool = False) -> Profile:
    """Figures of a network's architecture at its paper's input size and class count.

    Args:
        network: A network of the zoo, of any size and class count; it is left as it is.
        paper: What `printed` gives of it.
        latency: Also time one image.
    """
    architecture, size = network.pretrained_cfg["architecture"], paper.input_size
    as_printed = create_model(architecture, num_classes=paper.num_classes, img_size=size[1:])
    return profile(as_printed, size, latency)
