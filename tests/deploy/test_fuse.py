"""`fuse` gives the same function, without BatchNorm, and leaves the original alone."""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from timm.models.repvit import ConvNorm, RepVggDw
from torch import nn

import ferzoo
from ferzoo.deploy.fuse import fuse_for_onnxruntime, fuse_for_openvino

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
SIZES = {"lfnsb": (65, 48), "lanmsff": (65, 48)}


def warmed_up(name: str, seed: int = 0) -> tuple[nn.Module, torch.Tensor]:
    """A network whose BatchNorm statistics have moved, in eval mode, and a batch for it."""
    torch.manual_seed(seed)
    size = SIZES.get(name, (64, 64))
    kwargs = {} if name in SIZES else {"img_size": size}
    model = ferzoo.create_model(name, **kwargs).train()
    with torch.no_grad():
        for _ in range(2):
            model(torch.randn(4, model.in_chans, *size) * 1.7 + 0.4)
    return model.eval(), torch.randn(2, model.in_chans, *size)


def relative(a: torch.Tensor, b: torch.Tensor) -> float:
    return ((a - b).norm() / a.norm()).item()


@pytest.mark.parametrize("name", ferzoo.list_models())
def test_fused_equals_original(name: str, tmp_path, shrunk: None) -> None:
    model, x = warmed_up(name)
    before = copy.deepcopy(model.state_dict())
    fused = ferzoo.fuse(model)
    with torch.no_grad():
        last, maps = model.forward_intermediates(x)
        fused_last, fused_maps = fused.forward_intermediates(x)
        assert relative(model(x), fused(x)) < 1e-5
    assert relative(last, fused_last) < 1e-5
    assert len(maps) == len(fused_maps) == len(model.feature_info)
    for a, b in zip(maps, fused_maps, strict=True):
        assert relative(a, b) < 1e-5

    left = [n for n, m in fused.named_modules() if isinstance(m, (*NORMS, ConvNorm, RepVggDw))]
    assert not left, f"not folded: {left}"
    assert not fused.training
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(model.state_dict()[k], before[k]) for k in before)

    save_file(fused.state_dict(), tmp_path / "fused.safetensors")
    again = ferzoo.fuse(ferzoo.create_model(name, **({} if name in SIZES else {"img_size": (64, 64)})))
    again.load_state_dict(load_file(tmp_path / "fused.safetensors"), strict=True)
    with torch.no_grad():
        assert torch.equal(again(x), fused(x))


@pytest.mark.parametrize("name", ferzoo.list_models())
def test_features_only_is_fused(name: str, shrunk: None) -> None:
    """torch.fx cannot trace timm's wrapper, only what is in it."""
    torch.manual_seed(0)
    kwargs = {} if name in SIZES else {"img_size": 64}
    model: Any = ferzoo.create_model(name, features_only=True, **kwargs)
    for norm in (m for m in model.modules() if isinstance(m, NORMS)):
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.normal_(norm.running_mean)
    fused: Any = ferzoo.fuse(model.eval())
    assert not [n for n, m in fused.named_modules() if isinstance(m, (*NORMS, ConvNorm, RepVggDw))]
    x = torch.randn(2, model.model.in_chans, 64, 64)
    with torch.no_grad():
        maps, fused_maps = model(x), fused(x)
    assert len(maps) == len(fused_maps) > 1 and fused.feature_info.channels() == model.feature_info.channels()
    for a, b in zip(maps, fused_maps, strict=True):
        assert relative(a, b) < 1e-5


@pytest.mark.parametrize("fuse", [ferzoo.fuse, fuse_for_onnxruntime, fuse_for_openvino])
@pytest.mark.parametrize("name", ferzoo.list_models(pretrained=True))
def test_trained_weights_fuse(name: str, fuse: Callable[[nn.Module], nn.Module]) -> None:
    model = ferzoo.create_model(name, pretrained=True).eval()
    fused = fuse(model)
    torch.manual_seed(0)
    x = torch.randn(4, *model.pretrained_cfg["input_size"])
    with torch.no_grad():
        assert relative(model(x), fused(x)) < 1e-5
        for a, b in zip(model.forward_intermediates(x)[1], fused.forward_intermediates(x)[1], strict=True):
            assert relative(a, b) < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype: torch.dtype) -> None:
    model = nn.Sequential(ConvNorm(3, 8, 3, 2, 1), RepVggDw(8, 3)).to(dtype)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm2d)):
        nn.init.uniform_(norm.running_var, 0.5, 2)
        nn.init.normal_(norm.running_mean)
    fused = ferzoo.fuse(model)
    assert {p.dtype for p in fused.parameters()} == {dtype}
    assert [type(m) for m in fused] == [nn.Conv2d, nn.Conv2d]
    x = torch.randn(2, 3, 9, 7, dtype=dtype)
    assert relative(model.eval()(x), fused(x)) < (1e-5 if dtype is torch.float32 else 1e-12)


class Shared(nn.Module):
    """A convolution whose output is used twice must keep its BatchNorm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)
        self.other, self.other_bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv(x)
        return self.other_bn(self.other(self.bn(y))) + y


class Untraceable(nn.Module):
    """Its forward depends on data: only pairs inside its parts can be found."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) if x.sum() > 0 else self.body(-x)


class Wrapper(nn.Module):
    """As above, with a part that can be traced, a convolution of two names, and a pair of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.part = Shared()
        self.first = nn.Sequential(nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4))
        self.second = nn.Sequential(self.first[0], nn.BatchNorm2d(4))
        self.conv, self.bn = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.part(x)
        return self.bn(self.conv(self.second(self.first(y)))) if x.sum() > 0 else self.first(y) - self.second(y)


@pytest.mark.parametrize(("module", "norms_left"), [(Shared, 1), (Untraceable, 0), (Wrapper, 4)])
def test_foreign_modules(module: type[nn.Module], norms_left: int, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(0)
    model = module().train()
    model(torch.randn(8, 3, 5, 5) * 3 + 1)
    model.eval()
    fused = ferzoo.fuse(model)
    for x in (torch.rand(2, 3, 5, 5), -torch.rand(2, 3, 5, 5)):
        assert relative(model(x), fused(x)) < 1e-5
    assert ("cannot trace what calls them: 1 of Wrapper (" in caplog.text) is (module is Wrapper)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in fused.modules()) == norms_left


def test_other_threads_compute_while_a_network_is_fused(shrunk) -> None:
    """torch.fx takes over the calls of all modules while it traces, which is for the tracing thread alone."""
    network, other = ferzoo.create_model("lfnsb").eval(), nn.Sequential(nn.Linear(3, 3), nn.ReLU())
    x, call, done = torch.randn(2, 3), nn.Module.__call__, threading.Event()

    def compute() -> int:
        count = 0
        with torch.no_grad():
            while not done.is_set():
                other(x)
                count += 1
        return count

    with ThreadPoolExecutor(3) as pool:
        computing = pool.submit(compute)
        fusing = [pool.submit(ferzoo.fuse, network) for _ in range(4)]
        try:
            fused = [each.result() for each in fusing]
        finally:
            done.set()
        assert computing.result() > 0
    assert nn.Module.__call__ is call
    assert not [m for each in fused for m in each.modules() if isinstance(m, NORMS)]
