"""MixConv bottlenecks as runtimes are quick at them: the same function of the same weights, in other operations."""

from __future__ import annotations

import copy
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..blocks.mixconv import MixConv, MixConvBottleneck

__all__ = ["BlockedBottleneck", "ChannelsLastBottleneck", "can_rewrite", "has_hooks", "merged_depthwise"]

#: Channels that ONNX Runtime and OpenVINO keep together in memory on processors with AVX-512; AVX2 takes half of it.
BLOCK = 16


def can_rewrite(module: nn.Module) -> bool:
    """Whether a module is a MixConv bottleneck whose BatchNorms are folded, and none of whose parts has hooks."""
    return isinstance(module, MixConvBottleneck) and not any(
        isinstance(part, nn.BatchNorm2d) or has_hooks(part) for part in module.modules()
    )


def has_hooks(module: Any) -> bool:
    """Whether something is called before or after the module's forward pass."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def merged_depthwise(mix: MixConv, channels: int = 0) -> nn.Conv2d:
    """One depthwise convolution for the slices of a MixConv: smaller kernels get a rim of zeros.

    Args:
        mix: The block.
        channels: Channels to fill up to with zeros; none where 0.

    Returns:
        A convolution without bias, (N, channels, H, W) to (N, channels, ceil(H / stride), ceil(W / stride)).
    """
    convs: list[Any] = list(mix.convs)
    side = max(conv.kernel_size[0] for conv in convs)
    weight = torch.cat([F.pad(conv.weight, [(side - conv.kernel_size[0]) // 2] * 4) for conv in convs])
    weight = _padded(weight, max(channels, len(weight)))
    merged = nn.Conv2d(len(weight), len(weight), side, convs[0].stride, side // 2, groups=len(weight), bias=False)
    merged.weight = nn.Parameter(weight)
    return merged


class ChannelsLastBottleneck(nn.Module):
    """For PyTorch's eager mode: channels last, 1x1 convolutions as matrix products, one depthwise convolution.

    oneDNN brings a convolution's weights into its own order at every call, and matrix products need none.
    Shape: (N, C, H, W) to (N, C', H', W') as the block's; the output lies in memory with its channels last.

    Args:
        block: A bottleneck without BatchNorms.
    """

    def __init__(self, block: Any) -> None:
        """See the class."""
        super().__init__()
        self.residual = block.residual
        self.expand, self.act = _linear(block.expand.conv), block.expand.act
        self.mix = merged_depthwise(block.mix)
        self.squeeze, self.att_act = _linear(block.att.conv1), block.att.act
        self.gate_h, self.gate_w = _linear(block.att.conv_h), _linear(block.att.conv_w)
        self.project = _linear(block.project)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Expand, mix, attend, project; add the input where the block is residual."""
        y = self.act(self.expand(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        y = self.mix(y).permute(0, 2, 3, 1)
        strips = self.att_act(self.squeeze(torch.cat([y.mean(2), y.mean(1)], dim=1)))
        rows, columns = strips[:, : y.shape[1]], strips[:, y.shape[1] :]
        gates = torch.sigmoid(self.gate_h(rows))[:, :, None] * torch.sigmoid(self.gate_w(columns))[:, None]
        y = self.project(y * gates).permute(0, 3, 1, 2)
        return x + y if self.residual else y


class BlockedBottleneck(nn.Module):
    """For ONNX Runtime and OpenVINO, which keep channels in blocks: nothing here makes them change the layout.

    The hidden channels are filled up to whole blocks, pooling is AveragePool, and each strip has convolutions of its
    own. For ONNX Runtime PReLU becomes two depthwise convolutions, mix(relu(y)) (1 - a) + mix(y) a with the slopes a,
    of which the second adds to the first; and the gates are upsampled, because the runtime multiplies blocked maps of
    equal shape alone. OpenVINO fuses PReLU and broadcasts as they are.
    Shape: (N, C, H, W) to (N, C', H', W') as the block's.

    Args:
        block: A bottleneck without BatchNorms.
        native: Leave PReLU and broadcasts to the runtime.
    """

    def __init__(self, block: Any, native: bool) -> None:
        """See the class."""
        super().__init__()
        self.residual, self.native = block.residual, native
        hidden = -(-sum(block.mix.splits) // BLOCK) * BLOCK
        middle = -(-block.att.conv1.out_channels // BLOCK) * BLOCK
        self.expand = _grown(block.expand.conv, outputs=hidden)
        slopes = _padded(block.expand.act.weight.detach().expand(sum(block.mix.splits)), hidden)
        self.mix = merged_depthwise(block.mix, hidden)
        self.act: nn.Module = nn.PReLU(hidden)
        self.mix_slopes: nn.Module = nn.Identity()
        if native:
            self.act.weight = nn.Parameter(slopes.clone())
        else:
            self.act = nn.ReLU()
            self.mix_slopes = copy.deepcopy(self.mix)
            self.mix_slopes.weight = nn.Parameter(self.mix.weight * slopes.view(-1, 1, 1, 1))
            self.mix.weight = nn.Parameter(self.mix.weight * (1 - slopes).view(-1, 1, 1, 1))
        self.squeeze, self.att_act = _grown(block.att.conv1, hidden, middle), block.att.act
        self.gate_h, self.gate_w = _grown(block.att.conv_h, middle, hidden), _grown(block.att.conv_w, middle, hidden)
        self.project = _grown(block.project, hidden)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Expand, mix, attend, project; add the input where the block is residual."""
        y = self.expand(x)
        y = self.mix(self.act(y)) if self.native else self.mix(self.act(y)) + self.mix_slopes(y)
        height, width = y.shape[2], y.shape[3]
        gate_h = torch.sigmoid(self.gate_h(self.att_act(self.squeeze(F.avg_pool2d(y, (1, width))))))
        gate_w = torch.sigmoid(self.gate_w(self.att_act(self.squeeze(F.avg_pool2d(y, (height, 1))))))
        if not self.native:
            gate_h = F.interpolate(gate_h, scale_factor=(1.0, float(width)), mode="nearest")
            gate_w = F.interpolate(gate_w, scale_factor=(float(height), 1.0), mode="nearest")
        y = self.project(y * gate_h * gate_w)
        return x + y if self.residual else y


def _linear(conv: nn.Conv2d) -> nn.Linear:
    """A 1x1 convolution as a matrix product over the last axis."""
    linear = nn.Linear(conv.in_channels, conv.out_channels, bias=conv.bias is not None)
    linear.weight = nn.Parameter(conv.weight.detach().flatten(1))
    if conv.bias is not None:
        linear.bias = nn.Parameter(conv.bias.detach())
    return linear


def _grown(conv: nn.Conv2d, inputs: int = 0, outputs: int = 0) -> nn.Conv2d:
    """A 1x1 convolution with more channels, whose weights are zero."""
    inputs, outputs = inputs or conv.in_channels, outputs or conv.out_channels
    grown = nn.Conv2d(inputs, outputs, 1)
    weight = F.pad(conv.weight.detach(), [0, 0, 0, 0, 0, inputs - conv.in_channels])
    grown.weight = nn.Parameter(_padded(weight, outputs))
    bias = torch.zeros_like(weight[:, 0, 0, 0]) if conv.bias is None else conv.bias.detach()
    grown.bias = nn.Parameter(_padded(bias, outputs))
    return grown


def _padded(tensor: torch.Tensor, length: int) -> torch.Tensor:
    """A tensor with zeros behind its first axis up to a length."""
    return torch.cat([tensor, tensor.new_zeros(length - len(tensor), *tensor.shape[1:])])
