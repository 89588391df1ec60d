"""bfloat16 on a CPU without instructions for it: the same numbers to its precision, and nothing it is slow at."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import ferzoo
from ferzoo.train import bfloat16, network
from ferzoo.train.bfloat16 import product, use_float32_products
from ferzoo.train.network import build_network
from ferzoo.train.recipe import Recipe

#: Numbers up to which a product costs nothing: those of a classifier of a few faces.
FEW = 1000
#: What takes ten times as long in bfloat16 as in float32, and more, on a CPU with AVX2 alone.
SLOW = {"mm", "addmm", "bmm", "baddbmm", "convolution", "convolution_backward", "mkldnn_rnn_layer"}


class Slow(TorchDispatchMode):
    """Collects the products of bfloat16 that a computation makes."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        sizes = [x.numel() for x in args if isinstance(x, torch.Tensor) and x.dtype == torch.bfloat16]
        if func.overloadpacket.__name__ in SLOW and max(sizes, default=0) > FEW:
            self.found.append(f"{func} of {sizes} numbers")
        return func(*args, **(kwargs or {}))


@pytest.fixture
def avx2(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU without bfloat16."""
    for module in (bfloat16, network):
        monkeypatch.setattr(module, "is_native", lambda: False)


def test_plain_autocast_makes_slow_products() -> None:
    with Slow() as slow, torch.autocast("cpu", torch.bfloat16):
        for make, shape in LAYERS.values():
            make()(torch.randn(shape))
    assert len(slow.found) == len(LAYERS)


def test_a_product(avx2: None) -> None:
    torch.manual_seed(0)
    a, b = torch.randn(300, 70).bfloat16(), torch.randn(70, 20).bfloat16()
    expected = a.double() @ b.double()
    found = product(a, b)
    # Half of the last of bfloat16's eight bits, and a little of float32's rounding near a middle.
    assert found.dtype == torch.bfloat16 and ((found.double() - expected).abs() <= 2**-8 * expected.abs() + 1e-5).all()


LAYERS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "convolution": (lambda: nn.Conv2d(6, 10, 3, 2, 1), (4, 6, 9, 7)),
    "depthwise": (lambda: nn.Conv2d(6, 6, 5, padding=2, groups=6, bias=False), (4, 6, 9, 7)),
    "pointwise": (lambda: nn.Conv2d(6, 10, 1), (4, 6, 9, 7)),
    "linear": (lambda: nn.Linear(6, 10), (40, 5, 6)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_and_its_gradients_under_autocast(name: str, avx2: None) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    plain = make()
    layer = copy.deepcopy(plain)
    assert use_float32_products(nn.Sequential(layer)) == 1
    x = torch.randn(shape).bfloat16()
    found_x, expected_x = x.clone().requires_grad_(), x.double().requires_grad_()
    with Slow() as slow:
        with torch.autocast("cpu", torch.bfloat16):
            found = layer(found_x)
        weight = torch.randn(found.shape).bfloat16()
        found.backward(weight)
    expected = plain.double()(expected_x)
    expected.backward(weight.double())
    assert found.dtype == found_x.grad.dtype == torch.bfloat16 and not slow.found
    pairs = {"out": (found, expected), "x": (found_x.grad, expected_x.grad)}
    pairs |= {key: (p.grad, q.grad) for (key, q), p in zip(plain.named_parameters(), layer.parameters(), strict=True)}
    for key, (value, reference) in pairs.items():
        # Weights and their gradients are float32.
        tolerance = 4e-3 if key in ("out", "x") else 1e-5
        assert (value.double() - reference).norm() < tolerance * reference.norm(), key


@pytest.mark.parametrize("name", LAYERS)
def test_without_autocast_or_on_another_cpu_it_is_the_layer(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make, shape = LAYERS[name]
    plain = make()
    layer = copy.deepcopy(plain)
    use_float32_products(nn.Sequential(layer))
    x = torch.randn(shape)
    monkeypatch.setattr(bfloat16, "is_native", lambda: False)
    assert torch.equal(layer(x), plain(x))
    monkeypatch.setattr(bfloat16, "is_native", lambda: True)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(layer(x), plain(x))


def test_subclasses_stay() -> None:
    class Own(nn.Conv2d):
        pass

    model = nn.Sequential(Own(8, 8, 3), nn.BatchNorm2d(8), nn.PReLU(), nn.Linear(8, 8))
    kinds = [type(module) for module in model]
    assert use_float32_products(model) == 1 and [type(module) for module in model][:3] == kinds[:3]


@pytest.mark.parametrize(
    ("name", "fused"),
    [*((name, False) for name in (*ferzoo.list_models(), "resnet18")), ("lanmsff", True), ("lfnsb", True),
     ("lfnsb_fast", True), ("scn", True)],
)  # fmt: skip
def test_a_network_of_a_recipe_makes_no_slow_products(name: str, fused: bool, avx2: None, shrunk: None) -> None:
    if fused:
        pytest.importorskip("numba", reason="comes with the extra cpu")
    kwargs = {} if name == "resnet18" else {"img_size": 48}
    if name == "lanmsff":
        kwargs["block_drop_rate"] = 0
    plain: Any = build_network(Recipe(model=name, model_kwargs=kwargs), 8).train()
    quick: Any = build_network(Recipe(model=name, model_kwargs=kwargs, amp=True, fused_blocks=fused), 8).train()
    quick.load_state_dict(plain.state_dict())
    images, labels = torch.randn(4, plain.pretrained_cfg["input_size"][0], 48, 48), torch.arange(4)
    flat = []
    for model, amp in ((plain, False), (quick, True)):
        torch.manual_seed(0)
        with Slow() as slow:
            with torch.autocast("cpu", torch.bfloat16, enabled=amp):
                logits = model(images)
            nn.functional.cross_entropy(logits.float(), labels).backward()
        assert not slow.found
        flat.append(torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]))
    # Through tens of layers the rounding of bfloat16 adds up, with PyTorch's own layers alike.
    assert flat[1].isfinite().all() and nn.functional.cosine_similarity(*flat, dim=0) > 0.8
