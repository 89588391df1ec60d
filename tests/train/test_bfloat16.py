"""bfloat16 on a CPU without instructions for it: nothing that it would take ten times as long for."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from noise import faces
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from ferzoo.train import bfloat16, network
from ferzoo.train.bfloat16 import autocast, product
from ferzoo.train.loop import Run
from ferzoo.train.pointwise import use_bf16_pointwise
from ferzoo.train.recipe import Recipe


class Products(TorchDispatchMode):
    """Collects what is computed of bfloat16 maps and weights, other than their elements one by one."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tensors = [x for x in args if isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16]
        name = func.overloadpacket.__name__
        if tensors and any(part in name for part in ("mm", "mv", "convolution", "attention")):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> bool:
    """A CPU with or without bfloat16."""
    for module in (bfloat16, network):
        monkeypatch.setattr(module, "is_native", lambda kind="cpu": kind != "cpu" or request.param)
    return bool(request.param)


both = pytest.mark.parametrize("native", [False, True], indirect=True, ids=["float32", "bfloat16"])
without = pytest.mark.parametrize("native", [False], indirect=True, ids=["float32"])


@both
def test_autocast(native: bool) -> None:
    layer, x = nn.Linear(4, 3), torch.randn(2, 4)
    with autocast("cpu", True):
        assert layer(x).dtype == (torch.bfloat16 if native else torch.float32)
    with autocast("cpu", False):
        assert layer(x).dtype == torch.float32


@without
def test_a_gpu_is_asked_for_it_whatever_the_cpu(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *args, **kwargs: (args, kwargs))
    assert autocast("cuda", True) == (("cuda", torch.bfloat16), {"enabled": True})
    assert autocast("cuda", False) == (("cuda", torch.bfloat16), {"enabled": False})


@both
def test_a_product(native: bool) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(300, 70).bfloat16(), torch.randn(70, 20).bfloat16()
    expected = a.double() @ b.double()
    with Products() as seen, torch.autocast("cpu", torch.bfloat16):
        found = product(a, b)
    # Half of the last of bfloat16's eight bits, and a little of float32's rounding near a middle.
    assert found.dtype == torch.bfloat16 and ((found.double() - expected).abs() <= 2**-8 * expected.abs() + 1e-5).all()
    assert bool(seen.found) is native


def test_pointwise_convolutions_are_traced_whole() -> None:
    model = nn.Sequential(nn.Conv2d(32, 48, 1), nn.Conv2d(48, 8, 1)).train()
    assert use_bf16_pointwise(model) == 2
    x = torch.randn(2, 32, 5, 5)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert torch.allclose(compiled(x), model(x), atol=1e-5)


#: Settings of a recipe that compute in bfloat16 where the CPU can.
SETTINGS: dict[str, dict[str, Any]] = {
    "amp": {"amp": True},
    "pointwise": {"bf16_pointwise": True},
    "amp and pointwise": {"amp": True, "bf16_pointwise": True},
    "fused": {"fused_blocks": True},
    "all": {"amp": True, "bf16_pointwise": True, "fused_blocks": True},
    "teacher": {"amp": True, "teacher": "lanmsff.ferplus"},
}


@pytest.mark.parametrize("settings", SETTINGS)
@both
def test_a_step(native: bool, settings: str, shrunk: None) -> None:
    if "fused_blocks" in SETTINGS[settings]:
        pytest.importorskip("numba", reason="comes with the extra cpu")
    recipe = Recipe(model="lfnsb", batch_size=4, sizes={0: 48}, device="cpu", **SETTINGS[settings])
    plain = dataclasses.replace(recipe, amp=False, bf16_pointwise=False, fused_blocks=False)
    gradients = []
    for one in (plain, recipe):
        run = Run(one, {"train": faces(8, 0), "validation": faces(8, 1)})
        images = torch.rand(4, 3, 48, 48, generator=torch.Generator().manual_seed(0))
        with Products() as seen:
            run.objective.step(images.to(memory_format=torch.channels_last), torch.arange(4))
        assert bool(seen.found) is (native and one is recipe)
        gradients.append(torch.cat([p.grad.flatten() for p in run.model.parameters()]))
    exact = not native and "fused_blocks" not in SETTINGS[settings]
    assert nn.functional.cosine_similarity(*gradients, dim=0) > (0.9999 if exact else 0.9)
