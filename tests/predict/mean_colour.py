"""A network whose answer can be worked out by hand."""

from __future__ import annotations

import torch
from torch import nn


class MeanColour(nn.Module):
    """Logits are ten times the mean red, green and blue of the crop, in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.num_classes = 3
        self.pretrained_cfg = {
            "input_size": (3, 8, 8),
            "mean": (0.0, 0.0, 0.0),
            "std": (1.0, 1.0, 1.0),
            "label_names": ("red", "green", "blue"),
        }
        self.scale = nn.Parameter(torch.tensor(10.0))
        self.batches: list[int] = []

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        self.batches.append(len(x))
        return x

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = x.mean((2, 3))
        return x if pre_logits else x * self.scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))
