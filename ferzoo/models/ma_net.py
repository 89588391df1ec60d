"""MA-Net, the multi-scale and local attention network (Zhao et al. 2021, IEEE TIP 30:6544-6556)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from timm.models.resnet import BasicBlock, downsample_conv
from torch import nn

from ..blocks.cbam import CBAM
from ..blocks.multi_scale import MultiScale
from ..registry.register import register_model
from .build import Rename, StateDict, build_model, convert_state_dict, default_cfgs_for
from .pools import AveragePool
from .resnet18 import ResNet18, layer_renames, resnet18_parts

__all__ = ["MANet", "checkpoint_filter_fn", "ma_net"]

#: Patches of the local branch.
PATCHES = 4
#: Share of the local branch in the logits.
LOCAL = 0.6


def _attentive_layer(in_chs: int, out_chs: int, stride: int, **dd: Any) -> Iterator[nn.Module]:
    """Two of timm's basic blocks with CBAM before the residual addition."""
    shortcut = downsample_conv(in_chs, out_chs, 1, stride, **dd)
    yield BasicBlock(in_chs, out_chs, stride, shortcut, attn_layer=CBAM, **dd)
    yield BasicBlock(out_chs, out_chs, attn_layer=CBAM, **dd)


class Branches(nn.Module):
    """The local branch, on four patches of the map, and the global branch, on the whole.

    The local map is average-pooled to the global one's grid, and both are concatenated, the local one first.
    Shape: (N, width, H, W) to (N, 2 * fourth, ceil(H / 4), ceil(W / 4)).
    """

    def __init__(self, width: int, third: int, fourth: int, **dd: Any) -> None:
        """Take the map's channels, those after the third and the fourth layer, and `device` and `dtype`."""
        super().__init__()
        self.local = nn.ModuleList(
            nn.Sequential(*_attentive_layer(width, third, 2, **dd), *_attentive_layer(third, fourth, 1, **dd))
            for _ in range(PATCHES)
        )
        self.whole = nn.Sequential(
            MultiScale(width, third, 2, **dd),
            MultiScale(third, third, **dd),
            MultiScale(third, fourth, 2, **dd),
            MultiScale(fourth, fourth, **dd),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return both branches' maps."""
        top, left = x.shape[2] // 2, x.shape[3] // 2
        patches = [x[:, :, :top, :left], x[:, :, :top, left:], x[:, :, top:, :left], x[:, :, top:, left:]]
        maps: list[torch.Tensor] = []
        for i, layers in enumerate(self.local):
            maps.append(layers(patches[i]))
        local = torch.cat([torch.cat(maps[:2], dim=3), torch.cat(maps[2:], dim=3)], dim=2)
        whole = self.whole(x)
        size = (whole.shape[2], whole.shape[3])
        return torch.cat([F.adaptive_avg_pool2d(local, size), whole], dim=1)


class MixedLinear(nn.Linear):
    """A classifier for each half of a vector, and the mix of their logits; `weight` and `bias` are the first one's."""

    def __init__(self, in_features: int, out_features: int, share: float, **dd: Any) -> None:
        """Take the width of a half, the classes, the first half's share, and `device` and `dtype`."""
        super().__init__(in_features, out_features, **dd)
        self.second = nn.Linear(in_features, out_features, **dd)
        self.share = share

    def halves(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The logits of each half."""
        first, second = x.chunk(2, dim=1)
        return F.linear(first, self.weight, self.bias), self.second(second)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, out_features)."""
        first, second = self.halves(x)
        return self.share * first + (1 - self.share) * second


class MANet(ResNet18):
    """Two layers of ResNet-18, then a local branch on four patches and a multi-scale branch on the whole map.

    Takes (N, in_chans, H, W) of any size from 32 px up, by default 224 px. `forward_features` gives the local map,
    average-pooled to the global one's grid, and the global map: at sizes that are multiples of 32 this is the paper's
    network exactly. `forward_train` gives the branches' logits as `heads` (N, 2, num_classes), which the loss
    `mixed_cross_entropy` takes. The classifier takes the vector of 1024 in two halves, each by a Linear layer of 512.

    Args:
        num_classes: Classes; 0 for the 1024-d vector.
        in_chans: Channels of the input.
        global_pool: ``"avg"``, or ``""`` for the 4-D map (N, 1024, h, w).
        drop_rate: Dropout before the classifier; the paper has none.
        img_size: Taken as timm's tools pass it; any size works, whatever is said here.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

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
        self.init_head(AveragePool, 2 * self.widths[-1], 2 * self.widths[-1])

    def build_backbone(self, in_chans: int, **dd: Any) -> None:
        """Set the stem, two layers of ResNet-18, and both branches as one stage."""
        stem, layers = resnet18_parts(in_chans, self.widths[:2], **dd)
        self.stem = nn.Sequential(stem)
        self.feature_info = [{"num_chs": self.widths[0], "reduction": 2, "module": "stem"}]
        for blocks, width in zip(layers, self.widths, strict=False):
            self.add_stage(blocks, width)
        branches = Branches(*self.widths[1:], **dd)
        for module in branches.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.add_stage([branches], 2 * self.widths[-1])
        self.feature_info[-1]["reduction"] = self.map_reduction

    def make_head(self) -> tuple[nn.Module, nn.Module]:
        """A classifier for each branch, mixed."""
        return MixedLinear(self.head_hidden_size // 2, self.num_classes, LOCAL, **self._dd), nn.Identity()

    @torch.jit.ignore
    def head_outputs(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """The logits of the branches as `heads` (N, 2, C), the local one first."""
        return {"heads": torch.stack(self.head.halves(vector), dim=1)}

    @torch.jit.ignore
    def from_resnet18(self, state_dict: StateDict) -> dict[str, torch.Tensor]:
        """ResNet-18's tensors of timm; the third and fourth layer go to each patch of the local branch."""
        out = {}
        for name, tensor in super().from_resnet18(state_dict).items():
            later = name.startswith(("stages.2.", "stages.3."))
            for new in (_patch_name(name, patch) for patch in range(PATCHES)) if later else (name,):
                out[new] = tensor
        return out


def _patch_name(name: str, patch: int) -> str:
    """The name in a patch's layers of a tensor of ResNet-18's third or fourth layer."""
    _, stage, block, rest = name.split(".", 3)
    return f"stages.2.0.local.{patch}.{2 * (int(stage) - 2) + int(block)}.{rest}"


def _renames() -> list[Rename]:
    rules: list[Rename] = layer_renames(("conv1", "bn1", "layer1", "layer2"))
    for block in (0, 1):
        for layer, first in (("layer3", 0), ("layer4", 2)):
            whole, index = f"stages.2.0.whole.{first + block}", rf"^{layer}_2\.{block}\."
            rules += [(rf"{index}conv1\.", f"{whole}.conv.c."), (rf"{index}bn1\.", f"{whole}.conv.bn.")]
            for split in range(4):
                for way, prefix, place in (("ahead", "1", split), ("back", "2", 3 - split)):
                    number = f"{prefix}_2_{split + 1}"
                    rules.append((rf"{index}conv{number}\.", f"{whole}.{way}.{place}.c."))
                    rules.append((rf"{index}bn{number}\.", f"{whole}.{way}.{place}.bn."))
            rules.append((rf"{index}downsample\.", f"{whole}.shortcut."))
            for patch in range(PATCHES):
                ours = f"stages.2.0.local.{patch}.{first + block}."
                rules.append((rf"^{layer}_1_p{patch + 1}\.{block}\.", ours))
    return [
        *rules,
        (r"\.cbam\.ChannelGate\.mlp\.1\.", ".se.channel.fc1."),
        (r"\.cbam\.ChannelGate\.mlp\.3\.", ".se.channel.fc2."),
        (r"\.cbam\.SpatialGate\.spatial\.conv\.", ".se.spatial.c."),
        (r"\.cbam\.SpatialGate\.spatial\.bn\.", ".se.spatial.bn."),
        (r"^fc_1\.", "head."),
        (r"^fc_2\.", "head.second."),
    ]


def checkpoint_filter_fn(state_dict: StateDict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Take this network's names and the authors' released ones; check that nothing else differs.

    The release's MLP of CBAM is of Linear layers, timm's of 1x1 convolutions.

    Args:
        state_dict: Tensors by name.
        model: The network that they are for.

    Raises:
        CheckpointError: If names are missing or unexpected, or a shape differs; lists them.
    """
    state = {
        name: tensor[:, :, None, None] if ".ChannelGate.mlp." in name and tensor.dim() == 2 else tensor
        for name, tensor in state_dict.items()
    }
    return convert_state_dict(state, model, _renames())


default_cfgs = default_cfgs_for(
    {"ma_net": {}},
    input_size=(3, 224, 224),
    first_conv="stem.conv1",
    pool_size=(7, 7),
    paper_name="Learning Deep Global Multi-Scale and Local Attention Features for Facial Expression Recognition in "
    "the Wild",
    origin_url="https://github.com/zengqunzhao/MA-Net",
    license="apache-2.0",
)


@register_model
def ma_net(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """MA-Net: local attention on four patches beside a multi-scale branch."""
    return build_model(MANet, "ma_net", pretrained, checkpoint_filter_fn, **kwargs)
