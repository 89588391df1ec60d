"""Trained networks as teacher (Hinton et al. 2015, arXiv 1503.02531)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from ..data.faces import Faces
from ..deploy.fuse import fuse
from ..errors import RecipeError
from ..registry.exported import is_exported
from ..registry.load import load_model
from ..weights.configs import split_names
from .evaluate import predict_logits
from .processes import Processes
from .recipe import Recipe

__all__ = ["Teacher", "distillation_loss", "mixed_targets"]


class Teacher:
    """Frozen networks that see the student's batches, each in its own preprocessing."""

    def __init__(
        self, names: str, cfg: dict[str, Any], class_names: tuple[str, ...], device: torch.device | str = "cpu"
    ) -> None:
        """Load them.

        Args:
            names: What `load_model` takes, or several as ``"a + b"``.
            cfg: The student's pretrained cfg, whose normalisation is undone.
            class_names: The student's classes.
            device: Where they compute.

        Raises:
            RecipeError: If the classes of one are others, or in another order.
        """
        self.student = cfg
        self.networks = _load(names, class_names, device)

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Log of the mean probabilities (N, C) for the student's normalised images (N, c, H, W)."""
        pixels = images * _column(self.student["std"], images) + _column(self.student["mean"], images)
        logits = torch.stack([_logits(network, pixels) for network in self.networks])
        return logits.log_softmax(2).logsumexp(0) - math.log(len(logits))


def mixed_targets(faces: Faces, recipe: Recipe, processes: Processes) -> np.ndarray:
    """The targets of faces with the teachers' mean probabilities mixed in; each face is seen once.

    The processes share the faces.

    Args:
        faces: The training rows.
        recipe: `teacher`; `distill`, its share; `temperature`, which softens its answers; with `flip`, mirror images
            count as well.
        processes: Those that train.

    Returns:
        float32 (N, C), rows that sum to one where those of the faces do.

    Raises:
        RecipeError: If the classes of a teacher are others, or in another order, or its answers are not finite.
    """
    count = -(-len(faces) // processes.count)
    # Every process takes as many, for the exchange: the last one repeats the last face.
    rows = (processes.rank * count + np.arange(count)).clip(max=len(faces) - 1)
    part = faces.take(rows)
    networks = _load(recipe.teacher, faces.class_names, processes.device)
    total = torch.zeros((count, len(faces.class_names)), dtype=torch.float64)
    for name, network in zip(split_names(recipe.teacher), networks, strict=True):
        processes.say(f"asking {name} about {len(faces)} faces")
        logits = predict_logits(network, part, network.pretrained_cfg, flip=recipe.flip > 0, grayscale=recipe.grayscale)
        if not np.isfinite(logits).all():
            raise RecipeError(f"teacher={name} gives NaN or infinity for some of the faces: its weights are damaged.")
        total += torch.from_numpy(logits).double().softmax(1)
    taught = ((total / len(networks)).log() / recipe.temperature).softmax(1).to(processes.device)
    answers = processes.gather({"taught": taught})["taught"][: len(faces)].cpu().numpy()
    mixed: np.ndarray = (1 - recipe.distill) * faces.targets + recipe.distill * answers
    return mixed.astype(np.float32)


def _load(names: str, class_names: tuple[str, ...], device: torch.device | str) -> list[Any]:
    networks = []
    for name in split_names(names):
        network: Any = load_model(name)
        known = tuple(network.pretrained_cfg.get("label_names") or ())
        if known != tuple(class_names):
            raise RecipeError(
                f"teacher={name} names the classes {', '.join(known) or '(none)'}, the data "
                f"{', '.join(class_names)}: they must be the same in the same order."
            )
        # An exported file is fused already.
        network = network if is_exported(name) else fuse(network)
        networks.append(network.requires_grad_(False).to(device))
    return networks


def _logits(network: Any, x: torch.Tensor) -> torch.Tensor:
    """Logits (N, C), float32, of pixels (N, c, H, W) in [0, 1], in the network's own channels, size and range."""
    cfg = network.pretrained_cfg
    channels, *size = cfg["input_size"]
    if x.shape[1] != channels:
        x = x.expand(-1, channels, -1, -1) if x.shape[1] == 1 else x.mean(1, keepdim=True)
    if list(x.shape[2:]) != list(size):
        x = F.interpolate(x, size=tuple(size), mode="bilinear", antialias=True, align_corners=False)
    logits: torch.Tensor = network((x - _column(cfg["mean"], x)) / _column(cfg["std"], x))
    return logits.float()


def _column(values: Any, like: torch.Tensor) -> torch.Tensor:
    return torch.tensor(list(values), dtype=like.dtype, device=like.device).view(1, -1, 1, 1)


def distillation_loss(logits: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Cross-entropy to the teacher at a temperature T, times T squared, so that gradients keep their size.

    Args:
        logits: The student's (N, C).
        teacher: The teacher's (N, C).
        temperature: T, above 0.
    """
    target = (teacher / temperature).softmax(1)
    return F.cross_entropy(logits.float() / temperature, target) * temperature**2
