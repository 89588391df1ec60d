"""A trained network as teacher (Hinton et al. 2015, arXiv 1503.02531)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from ..errors import RecipeError
from ..registry.load import load_model

__all__ = ["Teacher", "distillation_loss"]


class Teacher:
    """A frozen network that sees the student's batches in its own preprocessing."""

    def __init__(
        self, name: str, cfg: dict[str, Any], class_names: tuple[str, ...], device: torch.device | str = "cpu"
    ) -> None:
        """Load it.

        Args:
            name: A name with weights, or a checkpoint folder.
            cfg: The student's pretrained cfg, whose normalisation is undone.
            class_names: The student's classes.
            device: Where it computes.

        Raises:
            RecipeError: If its classes are others, or in another order.
        """
        network: Any = load_model(name)
        self.network = network.eval().requires_grad_(False).to(device)
        self.cfg, self.student = network.pretrained_cfg, cfg
        names = tuple(self.cfg.get("label_names") or ())
        if names != tuple(class_names):
            raise RecipeError(
                f"teacher={name} names the classes {', '.join(names) or '(none)'}, the data {', '.join(class_names)}: "
                f"they must be the same in the same order."
            )

    @torch.no_grad()
    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Logits (N, C) of the student's normalised images (N, c, H, W)."""
        x = images * _column(self.student["std"], images) + _column(self.student["mean"], images)
        channels, *size = self.cfg["input_size"]
        if x.shape[1] != channels:
            x = x.expand(-1, channels, -1, -1) if x.shape[1] == 1 else x.mean(1, keepdim=True)
        if list(x.shape[2:]) != list(size):
            x = F.interpolate(x, size=tuple(size), mode="bilinear", antialias=True, align_corners=False)
        x = (x - _column(self.cfg["mean"], x)) / _column(self.cfg["std"], x)
        logits: torch.Tensor = self.network(x)
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
