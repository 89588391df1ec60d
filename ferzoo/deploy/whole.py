"""A network with its preprocessing and its softmax inside, for programs that have pictures and no ferzoo."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import FerzooError
from ..registry.config import center_margin, with_defaults

__all__ = ["Whole"]

#: Pillow's weights of red, green and blue in ITU-R 601 grey, in units of 2^-16.
_GREY = (19595.0, 38470.0, 7471.0)


class Whole(nn.Module):
    """RGB pictures in, logits or probabilities out; a network that takes normalised faces stays as it is.

    The preprocessing is that of `ferzoo.data.transforms.eval_transform` up to a few steps of 1/255 in some pixels, as
    Pillow rounds elsewhere.

    Args:
        model: The network.
        cfg: Its pretrained cfg.
        grayscale: Take the colours away first; always so where the network takes one channel.
        preprocess: Take (N, H, W, 3), uint8, of any size, instead of (N, C, H, W), float32, normalised.
        softmax: Return probabilities.

    Raises:
        FerzooError: If the preprocessing is to be inside, and the cfg's interpolation is neither bicubic nor bilinear
            or the network takes neither one channel nor three.
    """

    def __init__(
        self,
        model: nn.Module,
        cfg: Mapping[str, Any],
        grayscale: bool = False,
        preprocess: bool = False,
        softmax: bool = False,
    ) -> None:
        """See the class."""
        super().__init__()
        self.model, self.preprocess, self.softmax = model, preprocess, softmax
        cfg = with_defaults(cfg)
        self.channels, self.height, self.width = cfg["input_size"]
        self.interpolation = str(cfg["interpolation"])
        if preprocess and self.interpolation not in ("bicubic", "bilinear"):
            raise FerzooError(f"Interpolation {self.interpolation!r} cannot go inside: export without preprocessing.")
        if preprocess and self.channels not in (1, 3):
            raise FerzooError(
                f"The network takes {self.channels} channels; pictures have 1 or 3: export without preprocessing."
            )
        self.grey = grayscale or self.channels == 1
        # As timm does: the picture is made larger by 1 / crop_pct, and its centre is cut out; or smaller, with an edge.
        self.resized = [math.floor(side / cfg["crop_pct"]) for side in (self.height, self.width)]
        self.luma: torch.Tensor
        self.face_mean: torch.Tensor
        self.face_std: torch.Tensor
        self.register_buffer("luma", torch.tensor(_GREY).view(1, 3, 1, 1), persistent=False)
        for name in ("mean", "std"):  # under names of their own: older exporters mix them up with operations
            values = torch.tensor([float(v) for v in cfg[name]]).view(1, -1, 1, 1)
            self.register_buffer(f"face_{name}", values, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, classes)."""
        logits = self.logits(x)
        return logits.softmax(1) if self.softmax else logits

    def logits(self, x: torch.Tensor) -> torch.Tensor:
        """What the network itself gives."""
        logits: torch.Tensor = self.model(self.prepare(x) if self.preprocess else x)
        return logits

    @staticmethod
    def _edges(whole: int, part: int) -> tuple[int, int]:
        """Pixels to add before and after; below 0, to leave out."""
        before = -center_margin(whole, part)
        return before, part - whole - before

    def prepare(self, pictures: torch.Tensor) -> torch.Tensor:
        """Turn (N, H, W, 3), uint8, into normalised faces (N, C, height, width)."""
        x = pictures.permute(0, 3, 1, 2).float()
        if self.grey:
            x = torch.floor(((x * self.luma).sum(1, keepdim=True) + 32768.0) / 65536.0)
        x = F.interpolate(x, size=self.resized, mode=self.interpolation, align_corners=False, antialias=True)
        x = torch.clamp(torch.floor(x + 0.5), 0.0, 255.0) / 255.0
        (top, bottom), (left, right) = map(self._edges, self.resized, (self.height, self.width))
        if any(edges := [max(0, pixels) for pixels in (left, right, top, bottom)]):
            x = F.pad(x, edges)
        top, left = max(0, -top), max(0, -left)
        x = x[:, :, top : top + self.height, left : left + self.width]
        return (x - self.face_mean) / self.face_std
