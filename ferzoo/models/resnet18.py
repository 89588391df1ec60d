"""ResNet-18, timm's, as the backbone of the networks that were built on it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from timm.models.resnet import BasicBlock, ResNet
from torch import nn

from .backbone import take_backbone
from .base import FerModel
from .build import Rename, StateDict, rename

__all__ = ["RESNET_PARTS", "ResNet18", "layer_renames", "resnet18_parts"]

#: A ResNet's names of its stem and layers.
RESNET_PARTS = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")


def resnet18_parts(
    in_chans: int, widths: Sequence[int], **dd: Any
) -> tuple[OrderedDict[str, nn.Module], list[list[nn.Module]]]:
    """The stem and the first layers of timm's ResNet-18, without weights.

    Args:
        in_chans: Channels of the input.
        widths: Channels of the layers.
        **dd: `device` and `dtype`.

    Returns:
        The stem up to the activation, by name, and each layer's modules; the first begins with the max-pool.
    """
    layers = len(widths)
    net = ResNet(
        BasicBlock,
        (2,) * layers,
        num_classes=0,
        in_chans=in_chans,
        channels=tuple(widths),
        # Else no gradient reaches a block's convolutions at first.
        zero_init_last=False,
        **dd,
    )
    stem = OrderedDict[str, nn.Module](conv1=net.conv1, bn1=net.bn1, act1=net.act1)
    stages = [list(getattr(net, f"layer{i}")) for i in range(1, layers + 1)]
    return stem, [[net.maxpool, *stages[0]], *stages[1:]]


def layer_renames(numbers: Sequence[str], inner: str = "") -> list[Rename]:
    """Rules from a ResNet's names to those of stem and stages.

    Args:
        numbers: Released prefixes of the stem's convolution and BatchNorm, and of the layers.
        inner: What lies between a stage's number and its block's, ``"0."`` where a stage holds one module.
    """
    conv, bn, *layers = numbers
    shared = "shared." if inner else ""
    rules: list[Rename] = [(rf"^{conv}\.", f"stem.{shared}conv1."), (rf"^{bn}\.", f"stem.{shared}bn1.")]
    for i, layer in enumerate(layers):
        # The first stage counts the max-pool too.
        for block in (0, 1):
            rules.append((rf"^{layer}\.{block}\.", f"stages.{i}.{inner}{block + (not i)}."))
    return rules


class ResNet18(FerModel):
    """Base of the networks on ResNet-18: its stem, its layers as stages, and the head of a subclass.

    A subclass's constructor calls this one and then `init_head`.
    """

    map_reduction = 32
    #: Channels of the layers; the stem has those of the first.
    widths = (64, 128, 256, 512)
    #: timm's names to those of this network, for `load_backbone`.
    backbone_renames: tuple[Rename, ...] = tuple(layer_renames(RESNET_PARTS))

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        global_pool: str | None,
        drop_rate: float,
        img_size: int | tuple[int, int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        fixed_size: bool = False,
    ) -> None:
        """Build stem and stages; arguments as in `FerModel`."""
        dd: dict[str, Any] = {"device": device, "dtype": dtype}
        super().__init__(num_classes, in_chans, global_pool, drop_rate, img_size, fixed_size=fixed_size, **dd)
        self.build_backbone(in_chans, **dd)

    def build_backbone(self, in_chans: int, **dd: Any) -> None:
        """Set stem and stages, and their lines in `feature_info`."""
        stem, layers = resnet18_parts(in_chans, self.widths, **dd)
        self.stem = nn.Sequential(stem)
        self.feature_info = [{"num_chs": self.widths[0], "reduction": 2, "module": "stem"}]
        for blocks, width in zip(layers, self.widths, strict=True):
            self.add_stage(blocks, width)

    @torch.jit.ignore
    def load_backbone(self, backbone: nn.Module) -> None:
        """Take over the weights of a ResNet-18 of timm's: those of ImageNet, or of faces.

        Args:
            backbone: ``timm.create_model("resnet18", pretrained=True)``, with as many input channels.

        Raises:
            CheckpointError: If it is another network; names what does not fit.
        """
        whole = ResNet(BasicBlock, (2, 2, 2, 2), num_classes=0, device=torch.device("meta"))
        needed = self.from_resnet18(whole.state_dict())
        take_backbone(self, self.from_resnet18(backbone.state_dict()), type(backbone).__name__, needed, ("fc.",))

    @torch.jit.ignore
    def from_resnet18(self, state_dict: StateDict) -> dict[str, torch.Tensor]:
        """ResNet-18's tensors of timm under this network's names."""
        return {rename(name, self.backbone_renames): tensor for name, tensor in state_dict.items()}
