"""`ferzoo.explain` with what it cannot explain: each error says what there is instead."""

from __future__ import annotations

import sys
import threading
from typing import Any

import numpy as np
import pytest
import torch
from test_explain import LABELS, small, whole
from torch import nn

import ferzoo
from ferzoo.errors import FerzooError, MissingExtraError, UnknownNameError
from ferzoo.predict.explain import explain_methods

pytest.importorskip("captum", reason="comes with the extra explain")


@pytest.fixture
def lanmsff() -> Any:
    """One of the zoo, untrained."""
    return small(ferzoo.create_model, "lanmsff")


@pytest.fixture
def photo() -> np.ndarray:
    """Noise, (90, 120, 3)."""
    return np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)


class Rough(nn.Module):
    """A network whose parts give what is no map."""

    num_classes, num_features = 3, 5

    def __init__(self, features: torch.Tensor) -> None:
        super().__init__()
        self.pretrained_cfg = {"input_size": (3, 8, 8), "mean": (0.0,) * 3, "std": (1.0,) * 3, "label_names": LABELS}
        self.features, self.idle, self.cut = features, nn.Identity(), nn.Identity()

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.features.expand(len(x), *self.features.shape[1:]) + self.cut(x).detach().mean()

    def forward_head(self, x: torch.Tensor) -> torch.Tensor:
        return x.flatten(1)[:, :3]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


@pytest.mark.parametrize(
    ("shape", "layer", "message"),
    [
        ((1, 4, 4, 5), None, "channels last"),
        ((1, 7, 5), None, r"gives \(1, 7, 5\) and no map"),
        ((1, 5, 4, 4), "idle", "not used in a forward pass"),
        ((1, 5, 4, 4), "cut", "No gradient goes"),
    ],
)
def test_layers_that_give_no_map(photo: np.ndarray, shape: tuple[int, ...], layer: str | None, message: str) -> None:
    with pytest.raises(FerzooError, match=message):
        ferzoo.explain(photo, whole(Rough(torch.ones(shape))), layer=layer)


def test_wrong_names_are_answered_with_the_nearest(lanmsff: Any, photo: np.ndarray, colours: Any) -> None:
    predictor = whole(lanmsff)
    with pytest.raises(UnknownNameError, match=r"'massatt'. Did you mean 'mass_att'\? LANMSFF has gradcam, mass_att"):
        ferzoo.explain(photo, predictor, "massatt")
    with pytest.raises(UnknownNameError, match="LANMSFF has gradcam, mass_att"):
        ferzoo.explain(photo, predictor, "coord_att")
    with pytest.raises(UnknownNameError, match="label 'gald'. Did you mean 'glad'"):
        ferzoo.explain(photo, predictor, label="gald")
    with pytest.raises(UnknownNameError, match=r"layer 'stage.2'. Did you mean 'stages.2'"):
        ferzoo.explain(photo, predictor, layer="stage.2")
    with pytest.raises(UnknownNameError, match=r"'stages.2.0.at'. Did you mean 'stages.2.0.att'"):
        ferzoo.explain(photo, predictor, "mass_att", layer="stages.2.0.at")
    with pytest.raises(FerzooError, match="used 3 times"):
        ferzoo.explain(photo, predictor, layer="filter")
    with pytest.raises(FerzooError, match=r"'head' gives \(1, 3\) and no map"):
        ferzoo.explain(photo, predictor, layer="head")
    assert explain_methods(colours) == ["gradcam"]


def test_exported_files_have_no_gradients(photo: np.ndarray) -> None:
    with pytest.raises(FerzooError, match="neither gradients nor layers"):
        ferzoo.explain(photo, "lanmsff.onnx")
    opened = whole(Rough(torch.ones(1, 5, 4, 4)))
    opened.network.model = torch.jit.trace(opened.network.model, torch.zeros(1, 3, 32, 32))
    with pytest.raises(FerzooError, match="TorchScript has neither gradients nor layers"):
        ferzoo.explain(photo, opened)
    opened.network = object()  # as ONNX Runtime's, without a network of torch
    with pytest.raises(FerzooError, match="neither gradients nor layers"):
        ferzoo.explain(photo, opened)


def test_without_captum_the_extra_is_named(lanmsff: Any, photo: np.ndarray, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingExtraError, match=r'pip install "ferzoo\[explain\]"'):
        ferzoo.explain(photo, whole(lanmsff))
    assert len(ferzoo.explain(photo, whole(lanmsff), "mass_att")) == 2


def test_a_network_that_cannot_be_copied(lanmsff: Any, photo: np.ndarray) -> None:
    lanmsff.stem.lock = threading.Lock()
    with pytest.raises(FerzooError, match="LANMSFF cannot be copied.*lock.* out of the network"):
        ferzoo.explain(photo, whole(lanmsff))
    nobody = ferzoo.Predictor(lanmsff, detector=lambda _: np.zeros((0, 4)))
    assert ferzoo.explain(photo, nobody) == []


class Recorder:
    """Keeps what it sees, beside what cannot be copied."""

    def __init__(self) -> None:
        self.lock, self.seen = threading.Lock(), list[torch.Tensor]()

    def __call__(self, module: Any, given: Any, output: torch.Tensor) -> None:
        self.seen.append(output)

    note = __call__


@pytest.mark.parametrize("bound", [False, True])
def test_hooks_of_the_network_see_its_maps(lanmsff: Any, photo: np.ndarray, bound: bool) -> None:
    recorder = Recorder()
    lanmsff.stem.register_forward_hook(recorder.note if bound else recorder)
    for _ in range(2):  # what it keeps from the first time has a gradient, which torch does not copy
        recorder.seen.clear()
        lanmsff.kept = {"maps": recorder.seen}
        ferzoo.explain(photo, whole(lanmsff))
        assert any(output.requires_grad for output in recorder.seen)


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_weight_that_is_worked_out_from_others(lanmsff: Any, photo: np.ndarray) -> None:
    expected = ferzoo.explain(photo, whole(lanmsff.eval()))
    torch.nn.utils.weight_norm(lanmsff.head)
    lanmsff(torch.zeros(1, 1, 48, 48))
    assert lanmsff.head.weight.grad_fn is not None
    for one, other in zip(ferzoo.explain(photo, whole(lanmsff)), expected, strict=True):
        np.testing.assert_allclose(one.heat, other.heat, atol=1e-4)
