"""RAN, the region attention network (Wang et al. 2020, IEEE TIP 29:4057-4069, arXiv 1905.04075)."""

from __future__ import annotations

from collections import OrderedDict
from functools import partial
from typing import Any

import torch
import torch.fx
import torch.nn.functional as F
from torch import nn

from ..registry.register import register_model
from .build import Rename, StateDict, build_model, convert_state_dict, default_cfgs_for
from .resnet18 import RESNET_PARTS, ResNet18, layer_renames, resnet18_parts

__all__ = ["RAN", "checkpoint_filter_fn", "ran"]

#: Left, top, right and bottom of the crops in thousandths of a side: upper left and right, lower centre, centre twice.
CROPS = (
    (0, 0, 750, 750),
    (250, 0, 1000, 750),
    (125, 250, 875, 1000),
    (50, 50, 950, 950),
    (75, 75, 925, 925),
)
#: The crops, and the whole face as the last.
REGIONS = len(CROPS) + 1


def cut_regions(x: torch.Tensor, crops: list[tuple[int, int, int, int]]) -> torch.Tensor:
    """A face's crops, resized to the face's size, and the face, one after the other along the channels.

    Args:
        x: Faces (N, C, H, W), or regions that were cut before, (N, R, C, H, W).
        crops: Left, top, right and bottom in thousandths of a side, rounded down to pixels.
    """
    if x.dim() == 5:
        return x.flatten(1, 2)
    height, width = x.shape[2], x.shape[3]
    regions: list[torch.Tensor] = []
    for left, top, right, bottom in crops:
        rows = x[:, :, height * top // 1000 : height * bottom // 1000]
        crop = rows[:, :, :, width * left // 1000 : width * right // 1000]
        regions.append(F.interpolate(crop, size=(height, width), mode="bilinear", align_corners=False))
    regions.append(x)
    return torch.cat(regions, dim=1)


# A leaf for symbolic tracing, which does not know how many axes there are.
torch.fx.wrap("cut_regions")


class Regions(nn.Module):
    """`cut_regions` with the paper's crops."""

    def __init__(self) -> None:
        """Keep the crops, as TorchScript wants them."""
        super().__init__()
        self.crops = list(CROPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return (N, regions * C, H, W)."""
        return cut_regions(x, self.crops)


class Shared(nn.Sequential):
    """Modules that every region goes through on its own: (N, regions * C, H, W), the regions one after the other."""

    __constants__ = ["regions"]
    regions = REGIONS

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the maps of all regions, in the same layout."""
        faces = x.shape[0]
        x = x.reshape(faces * self.regions, x.shape[1] // self.regions, x.shape[2], x.shape[3])
        for module in self:
            x = module(x)
        return x.reshape(faces, self.regions * x.shape[1], x.shape[2], x.shape[3])


class RegionAttention(nn.Module):
    """A vector of a face from those of its regions, weighed by themselves and then beside their mean.

    Shape: (N, regions * channels, H, W) to (N, 2 * channels).
    """

    def __init__(self, channels: int, regions: int, **dd: Any) -> None:
        """Take a region's channels, the number of regions, and `device` and `dtype`."""
        super().__init__()
        self.regions = regions
        self.alpha = nn.Linear(channels, 1, **dd)
        self.beta = nn.Linear(2 * channels, 1, **dd)

    def attend(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The face's vector, and the weights (N, regions) of the first attention, which sum to 1."""
        v = x.mean((2, 3)).unflatten(1, (self.regions, -1))
        alpha = torch.sigmoid(self.alpha(v)).softmax(1)
        mean = (alpha * v).sum(1, keepdim=True)
        u = torch.cat([v, mean.expand_as(v)], dim=2)
        weight = alpha * torch.sigmoid(self.beta(u)).softmax(1)
        return (weight * u).sum(1) / weight.sum(1), alpha.squeeze(2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the face's vector."""
        return self.attend(x)[0]


class RAN(ResNet18):
    """One ResNet-18 on five crops of a face and on the whole, and attention over these regions.

    Takes faces (N, in_chans, H, W) of any size from 32 px up, by default 224 px, and cuts them itself; or regions
    (N, 6, in_chans, H, W), the last of them the whole face. Maps hold the regions one after the other along the
    channels: `forward_features` gives (N, 6 * 512, h, w). `forward_train` gives the `importance` (N, 6) of the regions,
    which the loss `region_bias` takes.

    Args:
        num_classes: Classes; 0 for the 1024-d vector.
        in_chans: Channels of the input.
        global_pool: ``"head"`` for the network's own head, ``""`` for the 4-D map.
        drop_rate: Dropout before the classifier; the paper has none.
        img_size: Taken as timm's tools pass it; any size works, whatever is said here.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    native_pool = "head"
    num_regions = REGIONS
    backbone_renames: tuple[Rename, ...] = tuple(layer_renames(RESNET_PARTS, inner="0."))

    def __init__(
        self,
        num_classes: int = 8,
        in_chans: int = 3,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        img_size: int | tuple[int, int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__(num_classes, in_chans, global_pool, drop_rate, img_size, device, dtype)
        width = self.widths[-1]
        self.init_head(partial(RegionAttention, width, REGIONS), REGIONS * width, 2 * width)

    def build_backbone(self, in_chans: int, **dd: Any) -> None:
        """Set stem and stages, each shared by the regions."""
        stem, layers = resnet18_parts(in_chans, self.widths, **dd)
        self.stem = nn.Sequential(OrderedDict(regions=Regions(), shared=Shared(stem)))
        self.feature_info = [{"num_chs": REGIONS * self.widths[0], "reduction": 2, "module": "stem"}]
        for blocks, width in zip(layers, self.widths, strict=True):
            self.add_stage([Shared(*blocks)], REGIONS * width)

    @torch.jit.ignore
    def pool_outputs(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """The `embedding`, and the `importance` of each region."""
        embedding, importance = self.pool.attend(features)
        return {"embedding": embedding, "importance": importance}


_RENAMES = [
    *RAN.backbone_renames,
    (r"^(alpha|beta)\.0\.", r"pool.\1."),
    (r"^fc\.", "head."),
]


def checkpoint_filter_fn(state_dict: StateDict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Take this network's names and the authors' released ones; check that nothing else differs.

    Args:
        state_dict: Tensors by name.
        model: The network that they are for.

    Raises:
        CheckpointError: If names are missing or unexpected, or a shape differs; lists them.
    """
    return convert_state_dict(state_dict, model, _RENAMES)


default_cfgs = default_cfgs_for(
    {"ran": {}},
    input_size=(3, 224, 224),
    first_conv="stem.shared.conv1",
    pool_size=(7, 7),
    paper_name="Region Attention Networks for Pose and Occlusion Robust Facial Expression Recognition",
    paper_ids="arXiv:1905.04075",
    origin_url="https://github.com/kaiwang960112/Challenge-condition-FER-dataset",
    license="apache-2.0",
)


@register_model
def ran(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """RAN: ResNet-18 on six regions of a face, and attention over them."""
    return build_model(RAN, "ran", pretrained, checkpoint_filter_fn, maps=5, **kwargs)
