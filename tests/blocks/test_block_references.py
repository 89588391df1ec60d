"""Blocks against references written here from the papers: plain loops, or torch's functions one by one."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from timm.layers.coord_attn import CoordAttn
from torch import nn

import ferzoo
from ferzoo.testing.report import randomise

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def make(name: str, *args: object, **kwargs: object) -> nn.Module:
    torch.manual_seed(0)
    return randomise(ferzoo.create_block(name, *args, dtype=torch.float64, **kwargs)).eval()


def batch(*size: int) -> torch.Tensor:
    return torch.randn(size, dtype=torch.float64, generator=torch.Generator().manual_seed(5))


def norm(bn: nn.Module, x: torch.Tensor) -> torch.Tensor:
    shape = (1, -1, *[1] * (x.dim() - 2))
    scale = bn.weight / torch.sqrt(bn.running_var + bn.eps)
    return (x - bn.running_mean.view(shape)) * scale.view(shape) + bn.bias.view(shape)


def prelu(act: nn.PReLU, x: torch.Tensor) -> torch.Tensor:
    return torch.where(x > 0, x, x * act.weight.view(1, -1, 1, 1))


def close(actual: torch.Tensor, expected: torch.Tensor | np.ndarray) -> None:
    torch.testing.assert_close(actual.detach(), torch.as_tensor(expected).detach(), rtol=1e-10, atol=1e-12)


# MassAtt, against TensorFlow's "same" rule.


def tf_conv(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Convolution of (C, H, W), kernel 3, stride 2, "same" in TensorFlow's sense."""
    out_size = [-(-n // 2) for n in x.shape[1:]]
    total = [max((o - 1) * 2 + 3 - n, 0) for o, n in zip(out_size, x.shape[1:], strict=True)]
    before = [t // 2 for t in total]
    x = np.pad(x, [(0, 0), *((p, t - p) for p, t in zip(before, total, strict=True))])
    out = np.zeros((len(w), *out_size))
    for o, i, j in np.ndindex(*out.shape):
        out[o, i, j] = b[o] + np.sum(w[o] * x[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3])
    return out


def tf_conv_transpose(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Transposed convolution of (C, H, W), kernel 3, stride 2, "same": exactly twice the size."""
    _, height, width = x.shape
    full = np.zeros((w.shape[1], 2 * height + 1, 2 * width + 1))
    for c, i, j in np.ndindex(*x.shape):
        full[:, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3] += x[c, i, j] * w[c]
    return full[:, : 2 * height, : 2 * width] + b[:, None, None]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize("size", [(4, 4), (8, 12), (5, 7), (6, 9), (7, 6), (2, 3), (1, 1)], ids=str)
def test_mass_att(size: tuple[int, int]) -> None:
    block = make("mass_att", 8)
    x = batch(2, 8, *size)
    p = {name: value.detach().numpy() for name, value in block.named_parameters()}
    expected = np.zeros(x.shape)
    for n, image in enumerate(x.numpy()):
        hidden = np.maximum(p["fc1.weight"] @ image.mean((1, 2)) + p["fc1.bias"], 0)
        channel = sigmoid(p["fc2.weight"] @ hidden + p["fc2.bias"])
        y = image.mean(0, keepdims=True)
        y = np.maximum(tf_conv(y, p["down1.weight"], p["down1.bias"]), 0)
        y = np.maximum(tf_conv(y, p["down2.weight"], p["down2.bias"]), 0)
        y = np.maximum(tf_conv_transpose(y, p["up1.weight"], p["up1.bias"]), 0)
        y = sigmoid(tf_conv_transpose(y, p["up2.weight"], p["up2.bias"]))
        expected[n] = channel[:, None, None] * y[:, : size[0], : size[1]]
    close(block(x), expected)


# PWFS


def test_pwfs_is_the_mean_of_the_two_largest_of_three() -> None:
    x = batch(3, 9, 4, 5)
    x[0, 0] = x[0, 3] = x[0, 6]  # ties
    triples = np.stack([x.numpy()[:, i : i + 3] for i in (0, 3, 6)])
    close(ferzoo.create_block("pwfs")(x), np.sort(triples, axis=0)[1:].mean(0))


# CoordAtt


@pytest.mark.parametrize("channels", [16, 512])
@pytest.mark.parametrize("training", [False, True])
def test_coord_att_is_timm_s_layer(channels: int, training: bool) -> None:
    block = make("coord_att", channels).train(training)
    assert block.conv1.out_channels == max(8, channels // 32)
    twin = copy.deepcopy(block)
    x = batch(3, channels, 5, 8).requires_grad_()
    y = x.detach().clone().requires_grad_()
    ours, timms = block(x), CoordAttn.forward(twin, y)
    close(ours, timms)
    (ours * torch.arange(8)).sum().backward()
    (timms * torch.arange(8)).sum().backward()
    close(x.grad, y.grad)
    for a, b in zip(block.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-9)
    for a, b in zip(block.buffers(), twin.buffers(), strict=True):
        close(a, b)


# Spatial Bias


@pytest.mark.parametrize(("size", "shape"), [(2, (7, 7)), (3, (5, 8)), (2, (2, 2))])
def test_spatial_bias(size: int, shape: tuple[int, int]) -> None:
    maps = 6
    block = make("spatial_bias", 12, maps, size)
    x = batch(2, 12, *shape)
    reduced = F.relu(norm(block.reduce.bn, torch.einsum("oi,nihw->nohw", block.reduce.c.weight[:, :, 0, 0], x)))
    rows = torch.zeros(2, size * size, maps + 2, dtype=torch.float64)
    for i in range(size):
        for j in range(size):
            top, bottom = i * shape[0] // size, -(-(i + 1) * shape[0] // size)
            left, right = j * shape[1] // size, -(-(j + 1) * shape[1] // size)
            rows[:, i * size + j] = reduced[:, :, top:bottom, left:right].mean((2, 3))
    weight, bias = block.mix.weight, block.mix.bias
    expected = torch.zeros(2, maps, size, size, dtype=torch.float64)
    for out in range(size * size):
        for s in range(maps):
            window = rows[:, :, s : s + 3]
            expected[:, s, out // size, out % size] = (window * weight[out]).sum((1, 2)) + bias[out]
    close(block(x), expected)


# Two-path block


def test_channel_shuffle_deals_channels_in_turn() -> None:
    """Two groups: the first channel of each, then the second of each."""
    x = batch(2, 6, 3, 4)
    close(F.channel_shuffle(x, 2), x[:, [0, 3, 1, 4, 2, 5]])


def test_two_path() -> None:
    block = make("two_path", 6, 8)
    x = batch(2, 6, 7, 9)

    def conv(path: nn.ModuleList, stage: int, y: torch.Tensor, dilation: int) -> torch.Tensor:
        part = path[stage]
        assert part.bn.eps == 1e-3
        args = {"padding": dilation, "dilation": dilation}
        if stage == 1:
            y = F.conv2d(y, part.conv.conv_dw.weight, groups=y.shape[1], **args)
            y = F.conv2d(y, part.conv.conv_pw.weight, part.conv.conv_pw.bias)
        else:
            y = F.conv2d(y, part.conv.weight, part.conv.bias, **args)
        return F.relu(norm(part.bn, y))

    high, low = x[:, [0, 3, 1]], x[:, [4, 2, 5]]
    for stage in range(3):
        high, low = conv(block.path_h, stage, high, 1), conv(block.path_l, stage, low, 2)
        both = torch.cat([high, low], dim=1)
        high = low = both
    close(block(x), both)


# Convolutions


@pytest.mark.parametrize("name", ["conv2d_bn", "conv_bn_prelu"])
def test_conv_bn(name: str) -> None:
    block = make(name, 6, 8, kernel_size=3, stride=2, groups=2)
    x = batch(2, 6, 7, 9)
    conv = block.c if name == "conv2d_bn" else block.conv
    assert conv.bias is None
    expected = norm(block.bn, F.conv2d(x, conv.weight, stride=2, padding=1, groups=2))
    close(block(x), expected if name == "conv2d_bn" else prelu(block.act, expected))


@pytest.mark.parametrize("stride", [1, 2])
def test_mixconv(stride: int) -> None:
    block = make("mixconv", (5, 3, 2), (3, 5, 7), stride)
    x = batch(2, 10, 9, 8)
    expected, start = [], 0
    for c, k, conv in zip((5, 3, 2), (3, 5, 7), block.convs, strict=True):
        for i in range(c):
            one = x[:, start + i : start + i + 1]
            expected.append(F.conv2d(one, conv.weight[i : i + 1], stride=stride, padding=k // 2))
        start += c
    close(block(x), torch.cat(expected, dim=1))
    assert sum(p.numel() for p in block.parameters()) == 5 * 9 + 3 * 25 + 2 * 49


@pytest.mark.parametrize("residual", [False, True])
def test_mixconv_bottleneck(residual: bool) -> None:
    block = make("mixconv_bottleneck", 6, 6, (5, 3), (3, 5), residual=residual)
    x = batch(2, 6, 6, 7)
    y = prelu(block.expand.act, norm(block.expand.bn, F.conv2d(x, block.expand.conv.weight)))
    y = block.att(block.mix(y))  # each has its own reference
    y = norm(block.project.bn, F.conv2d(y, block.project.c.weight))
    close(block(x), x + y if residual else y)


def test_rep_vgg_dw() -> None:
    block = make("rep_vgg_dw", 6)
    x = batch(2, 6, 5, 7)
    large = norm(block.conv.bn, F.conv2d(x, block.conv.c.weight, padding=1, groups=6))
    small = F.conv2d(x, block.conv1.weight, block.conv1.bias, groups=6)
    close(block(x), norm(block.bn, large + small + x))
    fused = copy.deepcopy(block).float().fuse()
    assert isinstance(fused, nn.Conv2d) and fused.kernel_size == (3, 3) and fused.groups == 6
    torch.testing.assert_close(fused(x.float()).double(), block(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("embed_dim", [0, 5])
def test_gdconv_head(embed_dim: int) -> None:
    block = make("gdconv_head", 4, (3, 6), embed_dim)
    x = batch(3, 4, 3, 6)
    vector = torch.stack([(x[:, c] * block.conv.c.weight[c, 0]).sum((1, 2)) for c in range(4)], dim=1)
    expected = norm(block.conv.bn, vector[:, :, None, None]).flatten(1)
    if embed_dim:
        assert block.fc.bias is None
        expected = norm(block.bn, expected @ block.fc.weight.T)
    close(block(x), expected)
