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
from ..registry.load import load_model
from ..weights.configs import split_names
from .evaluate import predict_logits
from .recipe import Recipe

__all__ = ["Teacher", "distillation_loss"]


class Teacher:
    """Frozen networks that see the student's batches, each in its own preprocessing."""

    def __init__(
        self, names: str, cfg: dict[str, Any], class_names: tuple[str, ...], device: torch.device | str = "cpu"
    ) -> None:
        """Load them.

        Args:
            names: A name with weights or a checkpoint folder, or several as ``"a + b"``.
            cfg: The student's pretrained cfg, whose normalisation is undone.
            class_names: The student's classes.
            device: Where they compute.

        Raises:
            RecipeError: If the classes of one are others, or in another order.
        """
        self.student = cfg
        self.networks: list[Any] = []
        for name in split_names(names):
            network: Any = load_model(name)
            known = tuple(network.pretrained_cfg.get("label_names") or ())
            if known != tuple(class_names):
                raise RecipeError(
                    f"teacher={name} names the classes {', '.join(known) or '(none)'}, the data "
                    f"{', '.join(class_names)}: they must be the same in the same order."
                )
            self.networks.append(fuse(network).requires_grad_(False).to(device))

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Log of the mean probabilities (N, C) for the student's normalised images (N, c, H, W)."""
        pixels = images * _column(self.student["std"], images) + _column(self.student["mean"], images)
        logits = torch.stack([_logits(network, pixels) for network in self.networks])
        return logits.log_softmax(2).logsumexp(0) - math.log(len(logits))

    def mixed_targets(self, faces: Faces, recipe: Recipe) -> np.ndarray:
        """The faces' targets with the networks' mean probabilities mixed in, each face seen once.

        Args:
            faces: The training rows.
            recipe: `distill`, their share; `temperature`, which softens them; with `flip`, mirror images count as well.

        Returns:
            float32 (N, C), rows that sum to one where those of the faces do.
        """
        total = torch.zeros(faces.targets.shape, dtype=torch.float64)
        for network in self.networks:
            logits = predict_logits(
                network, faces, network.pretrained_cfg, flip=recipe.flip > 0, grayscale=recipe.grayscale
            )
            total += torch.from_numpy(logits).double().softmax(1)
        taught = ((total / len(self.networks)).log() / recipe.temperature).softmax(1).numpy()
        mixed: np.ndarray = (1 - recipe.distill) * faces.targets + recipe.distill * taught
        return mixed.astype(np.float32)


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
