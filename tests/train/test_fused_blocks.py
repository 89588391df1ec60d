"""Blocks by numba's loops: the same function and gradients to bfloat16's precision, the same weights, nothing else."""

from __future__ import annotations

import copy
import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from noise import faces
from safetensors.torch import load_file
from torch import nn

pytest.importorskip("numba", reason="comes with the extra cpu")

import ferzoo
from ferzoo.blocks.conv_bn import ConvBnPReLU, conv2d_bn
from ferzoo.blocks.mixconv import MixConvBottleneck
from ferzoo.blocks.pwfs import PWFS
from ferzoo.blocks.two_path import ConvBnReLU
from ferzoo.errors import MissingExtraError, RecipeError
from ferzoo.train.dilated import use_folded_rows
from ferzoo.train.fused import maps, use_fused_blocks
from ferzoo.train.loop import train
from ferzoo.train.network import build_network
from ferzoo.train.recipe import Recipe


def stem() -> nn.Module:
    parts = nn.Sequential(nn.Identity(), nn.Sequential())
    parts[1].add_module("conv", conv2d_bn(12, 16, 3, 2))
    parts[1].add_module("conv_dw", conv2d_bn(16, 16, 3, groups=16))
    return parts


def depthwise(stride: int, dilation: int) -> nn.Module:
    return nn.Conv2d(12, 12, 3, stride, dilation, dilation, groups=12, bias=False)


#: A block of 12 channels by name, whether it takes autocast, and how many modules change.
BLOCKS: dict[str, tuple[Any, bool, int]] = {
    "residual": (lambda: MixConvBottleneck(12, 12, (20,), (3,), residual=True), False, 1),
    "mixed": (lambda: MixConvBottleneck(12, 12, (8, 12), (5, 3), residual=True), False, 1),
    "mixed widely": (lambda: MixConvBottleneck(12, 12, (5, 9, 6), (1, 9, 7), residual=True), False, 1),
    "strided": (lambda: MixConvBottleneck(12, 20, (8, 6, 10), (3, 5, 7), stride=2), False, 1),
    "strided widely": (lambda: MixConvBottleneck(12, 20, (8, 12), (1, 9), stride=2), False, 1),
    "stem": (stem, False, 1),
    "bottleneck under autocast": (lambda: MixConvBottleneck(12, 12, (20,), (3,), residual=True), True, 1),
    "relu": (lambda: ConvBnReLU(12, 20), True, 1),
    "no relu": (lambda: ConvBnReLU(12, 20, kernel_size=1, act=False), True, 1),
    "dilated": (lambda: ConvBnReLU(12, 20, dilation=2, separable=True), True, 2),
    "prelu": (lambda: ConvBnPReLU(12, 20, 3, 2), True, 1),
    "depthwise prelu": (lambda: ConvBnPReLU(12, 12, 3, groups=12), True, 2),
    "depthwise": (lambda: depthwise(1, 1), True, 1),
    "strided depthwise": (lambda: depthwise(2, 1), True, 1),
    "pwfs": (PWFS, True, 1),
}


def gradients(block: nn.Module, x: torch.Tensor, amp: bool, weight: torch.Tensor | None) -> dict[str, Any]:
    """Output and gradients of its weighted sum."""
    x = x.detach().clone().requires_grad_()
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        out = block(x)
    out.float().backward(torch.ones_like(out).float() if weight is None else weight.to(torch.float32))
    grads = {name: p.grad for name, p in block.named_parameters() if p.grad is not None}
    return {"out": out, "x": x.grad, **grads}


@pytest.mark.parametrize("name", BLOCKS)
@pytest.mark.parametrize("size", [(12, 12), (11, 7)], ids=str)
@pytest.mark.parametrize("tile", [24, 400])
def test_a_block_and_its_gradients(
    name: str, size: tuple[int, int], tile: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maps, "TILE", tile)  # a tile is a column or two, or a whole line
    make, amp, changed = BLOCKS[name]
    torch.manual_seed(0)
    plain = nn.Sequential(make()).train()
    for key, parameter in plain.named_parameters():
        if "bn" in key:
            nn.init.normal_(parameter, 0.5, 0.5)
    quick = copy.deepcopy(plain)
    assert use_fused_blocks(quick, amp) == changed
    x = torch.randn(8, 12, *size).bfloat16().float()
    reference = plain.double()
    expected_x = x.double().requires_grad_()
    out = reference(expected_x)
    weight = torch.randn(out.shape, dtype=torch.float64).bfloat16().double()
    out.backward(weight)
    expected = {"out": out, "x": expected_x.grad, **{k: p.grad for k, p in reference.named_parameters()}}
    found = gradients(quick, x, amp, weight)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        # A bias that a BatchNorm follows changes nothing: its gradient is rounding alone.
        if value.norm() < 1e-6 * weight.norm():
            continue
        error = (found[key].double() - value).norm() / value.norm()
        assert error < (0.01 if key == "out" else 0.06), f"{key}: {error:.4f}"


@pytest.mark.parametrize("name", BLOCKS)
def test_statistics_and_evaluation(name: str) -> None:
    make, amp, _ = BLOCKS[name]
    torch.manual_seed(1)
    plain = nn.Sequential(make()).train()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0  # what is kept is the batch's: of so few pixels that n - 1 differs from n
    quick = copy.deepcopy(plain)
    use_fused_blocks(quick, amp)
    x = torch.randn(3, 12, 4, 4)
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        quick(x + 1)
    plain(x + 1)
    for (key, expected), value in zip(plain.named_buffers(), quick.buffers(), strict=True):
        assert (value - expected).float().norm() <= 0.015 * expected.float().norm(), key
    quick.load_state_dict(plain.state_dict())
    with torch.no_grad():
        assert torch.equal(quick.eval()(x), plain.eval()(x))


@pytest.mark.parametrize("name", ["residual", "stem", "relu", "prelu"])
def test_a_frozen_norm_stays_frozen(name: str) -> None:
    make, amp, _ = BLOCKS[name]
    plain = nn.Sequential(make()).train()
    for module in plain.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    quick = copy.deepcopy(plain)
    use_fused_blocks(quick, amp)
    x = torch.randn(3, 12, 6, 6) + 1
    with torch.autocast("cpu", torch.bfloat16, enabled=amp):
        outs = [block(x) for block in (quick, plain)]
    assert torch.allclose(*outs, atol=0.05)
    assert all(torch.equal(a, b) for a, b in zip(plain.buffers(), quick.buffers(), strict=True))


def test_variance_far_from_zero() -> None:
    z = (torch.randn(2, 64, 64, 8) + 50).bfloat16()
    norm = nn.BatchNorm2d(8, momentum=1.0)
    mean, rstd = maps.statistics(z, norm)
    assert torch.allclose(mean, z.double().mean((0, 1, 2)).float(), rtol=1e-5)
    assert torch.allclose(rstd, (z.double().var((0, 1, 2), correction=0) + norm.eps).rsqrt().float(), rtol=1e-3)


def test_one_value_a_channel_is_an_error() -> None:
    block = nn.Sequential(MixConvBottleneck(12, 12, (12,), (3,))).train()
    use_fused_blocks(block, False)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        block(torch.randn(1, 12, 1, 1))


def test_checkpointing_gives_the_same_gradients(shrunk: None) -> None:
    model: Any = build_network(Recipe(fused_blocks=True), 8).train()
    images = torch.randn(4, *model.pretrained_cfg["input_size"])
    found = []
    for enable in (False, True):
        twin = copy.deepcopy(model)
        twin.set_grad_checkpointing(enable)
        twin(images).square().sum().backward()
        found.append([p.grad for p in twin.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_a_norm_may_average_all_batches_or_none() -> None:
    for momentum, track in ((None, True), (0.1, False)):
        torch.manual_seed(2)
        plain = MixConvBottleneck(12, 12, (20,), (3,), residual=True).train()
        plain.project.bn = nn.BatchNorm2d(12, momentum=momentum, track_running_stats=track)
        quick = nn.Sequential(copy.deepcopy(plain))
        use_fused_blocks(quick, False)
        for seed in range(3):
            x = torch.randn(4, 12, 6, 6, generator=torch.Generator().manual_seed(seed)) * (seed + 1)
            assert torch.allclose(quick(x), plain(x), atol=0.1)
        if track:
            expected, value = plain.project.bn.running_var, quick[0].project.bn.running_var
            assert torch.allclose(value, expected, rtol=1e-2)


def test_ties_of_pwfs_pass_half_the_gradient_to_two() -> None:
    block = nn.Sequential(PWFS()).train()
    use_fused_blocks(block, True)
    x = torch.tensor([1.0, 1.0, 1.0, 2.0, 2.0, 1.0, 3.0, 1.0, 2.0]).view(3, 3).t().reshape(1, 9, 1, 1)
    found = gradients(block, x, True, None)["x"].view(3, 3).t()
    assert (found.sum(1) == 1).all() and (found.sort(1).values == torch.tensor([0.0, 0.5, 0.5])).all()


def test_what_is_not_for_them_stays() -> None:
    class Own(MixConvBottleneck):
        pass

    others = [
        Own(12, 12, (12,), (3,)), nn.Conv2d(12, 12, 3, padding=1), nn.Conv2d(12, 12, 5, padding=2, groups=12),
        nn.Conv2d(12, 12, 3, padding=1, groups=12), nn.Conv2d(12, 12, 3, groups=12, bias=False), nn.BatchNorm2d(12),
        nn.Conv2d(12, 12, 3, 2, 2, 2, groups=12, bias=False),
        nn.Conv2d(12, 12, 3, padding=1, groups=12, bias=False, padding_mode="reflect"),
    ]  # fmt: skip
    kinds = [[type(m) for m in module.modules()] for module in others]
    others[0].project = nn.Identity()
    kinds[0] = [type(m) for m in others[0].modules()]
    count = use_fused_blocks(nn.ModuleList(others[1:]), True)
    assert count == 0 and [[type(m) for m in module.modules()] for module in others] == kinds
    assert use_fused_blocks(nn.Sequential(others[0]), False) == 0
    block = nn.Sequential(MixConvBottleneck(12, 12, (12,), (3,))).double().train()
    twin = copy.deepcopy(block)
    use_fused_blocks(block, False)
    x = torch.randn(2, 12, 5, 5, dtype=torch.float64)
    assert torch.equal(block(x), twin(x))


@pytest.mark.parametrize("name", ["lfnsb", "lanmsff", "mobilefacenet", "mfn", "lfn"])
def test_the_gradient_of_a_network(name: str, shrunk: None) -> None:
    amp = name in ("lanmsff", "mobilefacenet")
    torch.manual_seed(0)
    drop = {"block_drop_rate": 0.0} if name == "lanmsff" else {}
    plain: Any = build_network(Recipe(model=name, model_kwargs=drop), 8).train()
    quick = copy.deepcopy(plain)
    assert use_fused_blocks(quick, amp) > 5
    use_folded_rows(quick)  # as build_network does
    images, labels = torch.randn(8, *plain.pretrained_cfg["input_size"]), torch.arange(8)
    flat = []
    for network, autocast in ((plain, False), (quick, amp)):
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            logits = network(images)
        nn.functional.cross_entropy(logits.float(), labels).backward()
        flat.append(torch.cat([p.grad.flatten() for p in network.parameters()]))
    # Through tens of layers the rounding of bfloat16 adds up, with PyTorch's own layers alike.
    assert flat[1].isfinite().all() and nn.functional.cosine_similarity(*flat, dim=0) > 0.8


def test_a_run_gives_the_same_bits_twice_and_plain_weights(tmp_path: Path, shrunk: None) -> None:
    splits = {"train": faces(24, 0), "validation": faces(8, 1)}
    recipe = Recipe(
        model="lfnsb", epochs=2, batch_size=8, sizes={0: 32}, lr=1e-3, device="cpu", ema=0.9, fused_blocks=True,
        bf16_pointwise=True,
    )  # fmt: skip
    for name in ("whole", "again"):
        train(dataclasses.replace(recipe, out=str(tmp_path / name)), faces=splits)
    weights = [load_file(tmp_path / name / "model.safetensors") for name in ("whole", "again")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert weights[0].keys() == ferzoo.create_model("lfnsb").state_dict().keys()


def test_without_numba_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)
    monkeypatch.delitem(sys.modules, "ferzoo.train.fused.loops", raising=False)
    for module in ("depthwise", "bits"):
        monkeypatch.delitem(sys.modules, f"ferzoo.train.fused.{module}", raising=False)
    monkeypatch.delattr("ferzoo.train.fused.loops", raising=False)
    with pytest.raises(MissingExtraError, match=r"ferzoo\[cpu\]"):
        use_fused_blocks(nn.Sequential(), False)


@pytest.mark.parametrize("other", ["compile", "sync_bn"])
def test_what_it_does_not_go_with(other: str) -> None:
    with pytest.raises(RecipeError, match="neither compile nor sync_bn"):
        Recipe(fused_blocks=True, **{other: True})


def test_a_network_that_needs_autocast_for_them() -> None:
    with pytest.raises(RecipeError, match="no block in mobilefacenet .* amp=true"):
        build_network(Recipe(model="mobilefacenet", fused_blocks=True), 8)


def test_a_network_without_such_blocks() -> None:
    with pytest.raises(RecipeError, match="no block in scn"):
        build_network(Recipe(model="scn", fused_blocks=True), 8)
