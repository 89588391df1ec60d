"""LANMSFF: a lightweight attentional network with multi-scale feature fusion (Ezati et al. 2024, arXiv 2403.14318)."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..blocks.mass_att import MassAtt
from ..blocks.pwfs import PWFS
from ..blocks.two_path import ConvBnReLU, TwoPath
from ..registry.register import register_model
from .base import FerModel
from .build import Rename, StateDict, build_model, convert_state_dict, default_cfgs_for
from .pools import AveragePool

__all__ = ["LANMSFF", "checkpoint_filter_fn", "lanmsff"]


class ConvBlock(nn.Module):
    """Blocks 1 and 3: conv, separable conv, conv, each with BN; max-pool; ReLU; dropout.

    Shape: (N, in_chs, H, W) to (N, out_chs, H // 2, W // 2).
    """

    def __init__(self, in_chs: int, out_chs: int, drop: float, **dd: Any) -> None:
        """Take the widths, the dropout rate, and `device` and `dtype`."""
        super().__init__()
        self.conv1 = ConvBnReLU(in_chs, out_chs, **dd)
        self.conv2 = ConvBnReLU(out_chs, out_chs, separable=True, **dd)
        self.conv3 = ConvBnReLU(out_chs, out_chs, act=False, **dd)
        self.pool = nn.MaxPool2d(2)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's map."""
        return self.drop(self.act(self.pool(self.conv3(self.conv2(self.conv1(x))))))


class AttentionBlock(nn.Module):
    """Blocks 2 and 4: two-path block times its MassAtt; 1x1 conv, BN; max-pool; ReLU; dropout.

    Shape: (N, in_chs, H, W) to (N, out_chs, H // 2, W // 2).
    """

    def __init__(self, in_chs: int, out_chs: int, drop: float, **dd: Any) -> None:
        """Take the widths, the dropout rate, and `device` and `dtype`."""
        super().__init__()
        self.two_path = TwoPath(in_chs, out_chs, **dd)
        self.att = MassAtt(out_chs, 4, **dd)
        self.conv = ConvBnReLU(out_chs, out_chs, kernel_size=1, act=False, **dd)
        self.pool = nn.MaxPool2d(2)
        self.act = nn.ReLU()
        self.drop = nn.Dropout(drop)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the block's map."""
        x = self.two_path(x)
        return self.drop(self.act(self.pool(self.conv(x * self.att(x)))))


class LANMSFF(FerModel):
    """LANMSFF: four blocks, of which the first three give their selected features to the classifier.

    Takes (N, in_chans, H, W) of any size from 32 px up, by default grey 64 px faces in [-1, 1].
    `forward_features` gives 156 channels: the filtered maps of blocks 1 to 3, average-pooled to block 4's
    grid, and block 4. At sizes that are multiples of 16 this is the paper's network exactly.

    Args:
        num_classes: Classes; 0 for the 156-d vector.
        in_chans: Channels of the input; 1 is grey (ITU-R 601).
        global_pool: ``"avg"``, or ``""`` for the 4-D map.
        drop_rate: Dropout before the classifier; the paper has none there.
        block_drop_rate: Dropout that ends each block.
        img_size: Taken as timm's tools pass it; any size works, whatever is said here.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    map_is_cut = True

    def __init__(
        self,
        num_classes: int = 8,
        in_chans: int = 1,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        block_drop_rate: float = 0.4,
        img_size: int | tuple[int, int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(num_classes, in_chans, global_pool, drop_rate, img_size, fixed_size=False, **dd)
        drop = block_drop_rate
        self.stem = ConvBlock(in_chans, 66, drop, **dd)
        blocks = (AttentionBlock(66, 72, drop, **dd), ConvBlock(72, 78, drop, **dd), AttentionBlock(78, 84, drop, **dd))
        self.stages = nn.Sequential(*(nn.Sequential(block) for block in blocks))
        self.filter = PWFS()
        for i, width in enumerate((66, 72, 78, 84)):
            module = f"stages.{i - 1}" if i else "stem"
            self.feature_info.append({"num_chs": width, "reduction": 2 ** (i + 1), "module": module})
        self.init_head(AveragePool, 22 + 24 + 26 + 84, 156)
        self.apply(self._init_weights)

    @staticmethod
    def _init_weights(module: nn.Module) -> None:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.kaiming_uniform_(module.weight, nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)

    def fuse_stages(self, maps: list[torch.Tensor]) -> torch.Tensor:
        """Filter the earlier maps, pool them to the last one's grid, and concatenate all."""
        last = maps[-1]
        size = (last.shape[2], last.shape[3])
        parts = [F.adaptive_avg_pool2d(self.filter(x), size) for x in maps[:-1]]
        return torch.cat(parts + [last], dim=1)


def _renames() -> list[Rename]:
    """Keras' layer names, numbered by kind in order of creation, to ours.

    The order is that of the released model: block by block, and in a two-path block H before L.
    """
    names: OrderedDict[str, str] = OrderedDict()
    count = {"conv2d": 0, "separable_conv2d": 0, "batch_normalization": 0, "dense": 0, "conv2d_transpose": 0}

    def add(kind: str, ours: str) -> None:
        names[f"{kind}_{count[kind]}" if count[kind] else kind] = ours
        count[kind] += 1

    def conv_bn(ours: str, kind: str = "conv2d") -> None:
        add(kind, f"{ours}.conv")
        add("batch_normalization", f"{ours}.bn")

    for i, block in enumerate(("stem", "stages.0.0", "stages.1.0", "stages.2.0")):
        if i % 2 == 0:
            for name, kind in (("conv1", "conv2d"), ("conv2", "separable_conv2d"), ("conv3", "conv2d")):
                conv_bn(f"{block}.{name}", kind)
            continue
        for stage, kind in enumerate(("conv2d", "separable_conv2d", "conv2d")):
            paths = [f"{block}.two_path.path_{p}.{stage}" for p in "hl"]
            for path in paths:
                add(kind, f"{path}.conv")
            for path in paths:
                add("batch_normalization", f"{path}.bn")
        for kind, name in (
            ("conv2d", "down1"),
            ("conv2d", "down2"),
            ("dense", "fc1"),
            ("conv2d_transpose", "up1"),
            ("dense", "fc2"),
            ("conv2d_transpose", "up2"),
        ):
            add(kind, f"{block}.att.{name}")
        conv_bn(f"{block}.conv")
    add("dense", "head")
    rules: list[Rename] = [(rf"^{keras}\.", f"{ours}.") for keras, ours in names.items()]
    return [*rules, (r"\.conv\.depthwise\.", ".conv.conv_dw."), (r"\.conv\.pointwise\.", ".conv.conv_pw.")]


def checkpoint_filter_fn(state_dict: StateDict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Take this network's names, and the released Keras model's in torch layout; check the rest.

    Args:
        state_dict: Tensors by name.
        model: The network that they are for.

    Raises:
        CheckpointError: If names are missing or unexpected, or a shape differs; lists them.
    """
    return convert_state_dict(state_dict, model, _renames())


default_cfgs = default_cfgs_for(
    {"lanmsff": {}},
    input_size=(1, 64, 64),
    mean=(0.5,),
    std=(0.5,),
    first_conv="stem.conv1.conv",
    pool_size=(4, 4),
    paper_name="A Lightweight Attention-based Deep Network via Multi-Scale Feature Fusion for Multi-View Facial "
    "Expression Recognition",
    paper_ids="arXiv:2403.14318",
    license="apache-2.0",
)


@register_model
def lanmsff(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """LANMSFF: 0.36M parameters, mass attention and point-wise feature selection, grey 64 px faces."""
    return build_model(LANMSFF, "lanmsff", pretrained, checkpoint_filter_fn, **kwargs)
