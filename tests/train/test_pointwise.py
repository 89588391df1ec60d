"""1x1 convolutions in bfloat16: the same function to its precision, the same weights, and nothing else touched."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from noise import faces
from safetensors.torch import load_file
from torch import nn

from ferzoo.registry.load import load_model
from ferzoo.train import network
from ferzoo.train.loop import train
from ferzoo.train.network import build_network
from ferzoo.train.pointwise import PointwiseConv2d, use_bf16_pointwise
from ferzoo.train.recipe import Recipe


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU with instructions for bfloat16: the others leave the setting."""
    monkeypatch.setattr(network, "is_native", lambda: True)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("channels", "tolerance"), [((48, 64), 2e-2), ((48, 8), 1e-5), ((8, 48), 1e-5)])
def test_a_convolution_and_its_gradients(bias: bool, channels: tuple[int, int], tolerance: float) -> None:
    torch.manual_seed(0)
    plain = nn.Conv2d(*channels, 1, bias=bias)
    quick = copy.deepcopy(plain)
    assert use_bf16_pointwise(nn.Sequential(quick)) == 1
    images = torch.randn(4, channels[0], 5, 7).to(memory_format=torch.channels_last)
    found = {}
    for name, layer in (("plain", plain), ("quick", quick)):
        x = images.clone(memory_format=torch.preserve_format).requires_grad_()
        out = layer(x)
        out.square().mean().backward()
        assert out.dtype == torch.float32 and all(p.grad.dtype == torch.float32 for p in layer.parameters())
        found[name] = [out, x.grad, *(p.grad for p in layer.parameters())]
    for expected, value in zip(found["plain"], found["quick"], strict=True):
        assert value.shape == expected.shape
        assert (value - expected).norm() < tolerance * expected.norm()
    in_bf16 = (found["quick"][0] - found["plain"][0]).norm() > 1e-4 * found["plain"][0].norm()
    assert in_bf16 == (min(channels) >= 32)
    with torch.no_grad():
        assert torch.equal(quick.eval()(images), plain.eval()(images))


def test_what_is_no_plain_1x1_convolution_stays() -> None:
    class Own(nn.Conv2d):
        pass

    others = [
        nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1, stride=2), nn.Conv2d(8, 8, 1, groups=8), nn.Conv2d(8, 8, 1, padding=1),
        Own(8, 8, 1), nn.Linear(8, 8),
    ]  # fmt: skip
    model = nn.Sequential(*others, nn.Conv2d(8, 8, 1))
    kinds = [type(module) for module in others]
    assert use_bf16_pointwise(model) == 1
    assert [type(module) for module in model] == [*kinds, PointwiseConv2d]


@pytest.mark.parametrize("name", ["lfnsb", "lanmsff", "mobilefacenet", "ddamfn"])
def test_a_network_of_a_recipe_keeps_its_names(name: str, shrunk: None, native: None) -> None:
    recipe = Recipe(model=name)
    plain: Any = build_network(recipe, 8)
    quick: Any = build_network(dataclasses.replace(recipe, bf16_pointwise=True), 8)
    assert plain.state_dict().keys() == quick.state_dict().keys()
    assert any(isinstance(module, PointwiseConv2d) for module in quick.modules())
    quick.load_state_dict(plain.state_dict())
    x = torch.randn(2, *plain.pretrained_cfg["input_size"])
    with torch.no_grad():
        assert torch.equal(plain.eval()(x), quick.eval()(x))


def test_a_run_gives_the_same_bits_twice_and_plain_weights(tmp_path: Path, shrunk: None, native: None) -> None:
    splits = {"train": faces(24, 0), "validation": faces(8, 1)}
    recipe = Recipe(
        model="mobilefacenet", model_kwargs={"img_size": 32}, epochs=2, batch_size=8, sizes={0: 32}, lr=1e-3,
        device="cpu", ema=0.9, bf16_pointwise=True,
    )  # fmt: skip
    weights = []
    for bf16 in (True, True, False):
        out = tmp_path / str(len(weights))
        train(dataclasses.replace(recipe, out=str(out), bf16_pointwise=bf16), faces=splits)
        weights.append(load_file(out / "model.safetensors"))
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])
    assert weights[0].keys() == weights[2].keys()
    assert not all(torch.equal(weights[0][key], weights[2][key]) for key in weights[0])
    assert json.loads((tmp_path / "0" / "recipe.json").read_text())["bf16_pointwise"] is True
    assert not any(isinstance(module, PointwiseConv2d) for module in load_model(tmp_path / "0").modules())
