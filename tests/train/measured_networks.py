"""A network whose answers are known: it reads the class out of the brightness of the picture."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from ferzoo.data.faces import Faces

STEP = 24
CFG = {"input_size": (1, 8, 8), "mean": (0.0,), "std": (1.0,)}


class Brightness(nn.Module):
    """Gives the class k to pictures of the brightness 24 k, by logits that fall with the distance."""

    def __init__(self, names: tuple[str, ...], sharpness: float = 1.0, channels: int = 1) -> None:
        super().__init__()
        self.sharpness = nn.Parameter(torch.tensor(sharpness))
        self.names, self.channels = names, channels
        self.seen: list[torch.Tensor] = []
        cfg = {"input_size": (channels, 8, 8), "mean": (0.0,) * channels, "std": (1.0,) * channels}
        self.pretrained_cfg = {**cfg, "label_names": names}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x)
        level = 255 * x.mean((1, 2, 3)) / STEP
        return -self.sharpness * (level[:, None] - torch.arange(len(self.names), device=x.device)) ** 2


def pictures(levels: list[float], labels: list[int], names: tuple[str, ...], **more: np.ndarray) -> Faces:
    """A face for each level, bright as the class of that number."""
    images = np.stack([np.full((8, 8), round(STEP * level), np.uint8) for level in levels])
    return Faces(images, np.eye(len(names), dtype=np.float32)[labels], np.array(labels, np.int64), names, **more)
