"""`ferzoo.explain`: each map against one worked out by hand, and the network left as it was."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import ferzoo
from ferzoo.errors import FerzooError
from ferzoo.predict.explain import explain_methods
from ferzoo.registry import entry_points

pytest.importorskip("captum", reason="comes with the extra explain")

LABELS = ("calm", "cross", "glad")
OWN = [name for name, found in entry_points.entries("model").items() if found[0].distribution == "ferzoo"]


def small(make: Callable[..., Any], *arguments: Any, size: int = 48, **kwargs: Any) -> Any:
    """An untrained network with three named classes."""
    torch.manual_seed(0)
    model = make(*arguments, num_classes=len(LABELS), **kwargs)
    cfg = dict(model.pretrained_cfg)
    cfg |= {"input_size": (cfg["input_size"][0], size, size), "label_names": LABELS, "crop_pct": 1.0}
    model.pretrained_cfg = cfg
    return model


@pytest.fixture
def lanmsff() -> Any:
    """One of the zoo, cheap and with attention."""
    return small(ferzoo.create_model, "lanmsff")


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A smooth picture with noise, (90, 120, 3)."""
    generator = np.random.default_rng(0)
    coarse = Image.fromarray(generator.integers(0, 256, (6, 8, 3), dtype=np.uint8)).resize((120, 90))
    return np.clip(np.asarray(coarse) + generator.normal(0, 8, (90, 120, 3)), 0, 255).astype(np.uint8)


def whole(model: nn.Module) -> ferzoo.Predictor:
    return ferzoo.Predictor(model, detect=False)


def seen_by(predictor: ferzoo.Predictor, photo: np.ndarray) -> torch.Tensor:
    """The batch that the network gets."""
    return predictor.network.batch(predictor.prepare(photo, predictor.find(photo)))


def enlarged(values: torch.Tensor, heat: np.ndarray) -> np.ndarray:
    return F.interpolate(values[None, None], heat.shape, mode="bilinear", align_corners=False)[0, 0].numpy()


def cam_by_hand(features: torch.Tensor, logit: torch.Tensor, first: int = 0) -> torch.Tensor:
    """ReLU of the sum of the channels from `first` on, each weighted by the logit's mean gradient (equations 1, 2)."""
    (gradient,) = torch.autograd.grad(logit, features, retain_graph=True)
    alpha = gradient.flatten(2).mean(2)
    return torch.einsum("nc,nchw->nhw", alpha[:, first:], features[:, first:]).relu().detach()[0]


@pytest.mark.parametrize("name", OWN)
def test_grad_cam_of_every_network(name: str, photo: np.ndarray, shrunk: None) -> None:
    size = 64
    kwargs = {} if name == "lanmsff" else {"img_size": size}
    model = small(ferzoo.create_model, name, size=size, **kwargs).eval()
    # What speaks against one class then speaks for the other: not both maps can be empty.
    model.head.weight.data[1] = -model.head.weight.data[0]
    predictor = whole(model)
    x = seen_by(predictor, photo)
    highest = []
    for k, label in enumerate(LABELS):
        (one,) = ferzoo.explain(photo, predictor, label=label)
        features = model.forward_features(x).detach().requires_grad_()
        # RAN's sixth region is the whole face.
        first = features.shape[1] * 5 // 6 if name == "ran" else 0
        expected = cam_by_hand(features, model.forward_head(features)[0, k], first)
        assert one.grid == tuple(expected.shape) and one.heat.shape == (size, size)
        assert (one.method, one.layer, one.label, one.low) == ("gradcam", "forward_features", label, 0.0)
        wanted = enlarged(expected, one.heat)
        np.testing.assert_allclose(one.heat * one.high, wanted, rtol=1e-3, atol=1e-5 * max(1e-3, wanted.max()))
        assert one.high == pytest.approx(float(expected.max()), rel=1e-3, abs=1e-8)
        assert one.heat.any() == (wanted.max() > 0)
        highest.append(one.high)
    assert max(highest) > 0


def test_a_layer_that_is_changed_in_place_afterwards(photo: np.ndarray) -> None:
    model = small(timm.create_model, "test_resnet", zero_init_last=False).eval()
    layer = "layer2.0.bn1"
    assert model.get_submodule("layer2.0.act1").inplace
    model.get_classifier().weight.data[1] = -model.get_classifier().weight.data[0]
    predictor, kept = whole(model), []
    maps = [ferzoo.explain(photo, predictor, label=label, layer=layer)[0] for label in LABELS[:2]]

    def keep(_module: nn.Module, _inputs: Any, output: torch.Tensor) -> torch.Tensor:
        kept.append(output)
        return output.clone()

    handle = model.get_submodule(layer).register_forward_hook(keep)
    logits = model(seen_by(predictor, photo))
    handle.remove()
    for k, one in enumerate(maps):
        expected = enlarged(cam_by_hand(kept[0], logits[0, k]), one.heat)
        assert one.layer == layer
        np.testing.assert_allclose(one.heat * one.high, expected, rtol=1e-3, atol=1e-5 * max(1e-3, expected.max()))
    assert max(one.high for one in maps) > 0


def test_a_pattern_of_layers_comes_in_the_network_s_order(lanmsff: Any, photo: np.ndarray) -> None:
    maps = ferzoo.explain(photo, whole(lanmsff), layer="stages.?")
    assert [(one.layer, one.grid) for one in maps] == [
        ("stages.0", (12, 12)),
        ("stages.1", (6, 6)),
        ("stages.2", (3, 3)),
    ]
    assert all(one.face is maps[0].face for one in maps)


def test_a_layer_that_sees_a_part_alone_is_refused(photo: np.ndarray, shrunk: None) -> None:
    model = small(ferzoo.create_model, "ran", size=64).eval()
    with pytest.raises(FerzooError, match=r"'stages.3.0.0' gives 6 maps for one face: choose one around it"):
        ferzoo.explain(photo, whole(model), layer="stages.3.0.0")


@pytest.mark.parametrize("name", OWN)
def test_attention_is_what_a_map_is_multiplied_with(name: str, photo: np.ndarray, shrunk: None) -> None:
    kwargs = {} if name == "lanmsff" else {"img_size": 64}
    model = small(ferzoo.create_model, name, size=64, **kwargs).double().eval()
    for method in explain_methods(model)[1:]:
        check_attention(model, method, photo)


def check_attention(model: Any, method: str, photo: np.ndarray) -> None:
    predictor, seen = whole(model), {}
    maps = ferzoo.explain(photo, predictor, method, layer="*")
    blocks = {one.layer: model.get_submodule(one.layer) for one in maps}
    for block in blocks.values():
        block.register_forward_hook(lambda m, inputs, output: seen.update({m: (inputs[0], output)}))
    with torch.no_grad():
        model(seen_by(predictor, photo))
    for one in maps:
        x, output = seen[blocks[one.layer]]
        # CoordAtt gives the product, the others the factor.
        gate = (output / x if method == "coord_att" else output).mean(1)[0]
        assert 0 < one.low <= one.high < 1 and one.grid == tuple(gate.shape)
        np.testing.assert_allclose(
            one.low + one.heat * (one.high - one.low), enlarged(gate, one.heat), rtol=1e-5, atol=1e-7
        )
        assert (one.low, one.high) == pytest.approx((float(gate.min()), float(gate.max())), rel=1e-6)
        assert one.heat.any() == (one.low < one.high), "rounding is no map"
    chosen = [one.layer for one in ferzoo.explain(photo, predictor, method)]
    assert chosen == list({one.grid: one.layer for one in maps}.values())


class RowGate(nn.Module):
    """A block of another package, which only has the one method."""

    def attention_map(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((1, 3), keepdim=True).sigmoid().expand(-1, -1, -1, x.shape[3])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.attention_map(x)


def test_a_block_of_another_package_joins_by_its_method(lanmsff: Any, photo: np.ndarray) -> None:
    lanmsff.stages[1].append(RowGate())
    assert explain_methods(lanmsff) == ["gradcam", "mass_att", "row_gate"]
    (one,) = ferzoo.explain(photo, whole(lanmsff), "row_gate")
    assert one.layer == "stages.1.1" and one.grid == (6, 6)
    assert np.ptp(one.heat, axis=1).max() < 1e-5 < np.ptp(one.heat, axis=0).min()


@pytest.mark.parametrize("method", ["gradcam", "mass_att"])
def test_the_network_is_left_as_it_was(lanmsff: Any, photo: np.ndarray, method: str) -> None:
    lanmsff.train()
    lanmsff.stages[1].eval()
    for parameter in lanmsff.stem.parameters():
        parameter.requires_grad_(False)
    before = {name: tensor.clone() for name, tensor in lanmsff.state_dict().items()}
    modes = [module.training for module in lanmsff.modules()]
    predictor = whole(lanmsff)
    with torch.inference_mode():
        inside = ferzoo.explain(photo, predictor, method)
    outside = ferzoo.explain(photo, predictor, method)
    with pytest.raises(FerzooError):
        ferzoo.explain(photo, predictor, method, layer="no.such.layer")
    with pytest.raises(FerzooError):
        ferzoo.explain(photo, predictor, layer="head")
    for a, b in zip(inside, outside, strict=True):
        assert np.array_equal(a.heat, b.heat) and a == b
    assert all(torch.equal(tensor, before[name]) for name, tensor in lanmsff.state_dict().items())
    assert [module.training for module in lanmsff.modules()] == modes
    assert all(parameter.grad is None for parameter in lanmsff.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks or m._backward_hooks for m in lanmsff.modules())


@pytest.mark.parametrize(("method", "layer"), [("gradcam", None), ("gradcam", "stages.?"), ("mass_att", None)])
def test_two_threads_explain_with_one_predictor(
    lanmsff: Any, photo: np.ndarray, method: str, layer: str | None
) -> None:
    photos = [photo, photo[:, ::-1].copy()]
    before = {name: tensor.clone() for name, tensor in lanmsff.train().state_dict().items()}
    predictor, hidden = whole(lanmsff), threading.local()
    alone = [ferzoo.explain(one, predictor, method, layer=layer) for one in photos]
    both_inside, first_is_done = threading.Barrier(2), threading.Event()

    def meet(*_: Any) -> None:
        """Both are within a pass that looks into the network; the second stays there until the first has left."""
        if torch.is_inference_mode_enabled() or hidden.met:
            return
        hidden.met = True
        both_inside.wait(120)
        assert hidden.first or first_is_done.wait(120)

    def work(i: int) -> list[Any]:
        hidden.met, hidden.first = False, i == 0
        try:
            return ferzoo.explain(photos[i], predictor, method, layer=layer)
        finally:
            if hidden.first:
                first_is_done.set()

    lanmsff.stem.register_forward_hook(meet)
    with ThreadPoolExecutor(2) as pool:
        together = list(pool.map(work, range(2)))
    for found, expected in zip(together, alone, strict=True):
        assert found == expected
        assert all(np.array_equal(a.heat, b.heat) for a, b in zip(found, expected, strict=True))
    assert all(torch.equal(tensor, before[name]) for name, tensor in lanmsff.state_dict().items())


@pytest.mark.parametrize("batch_size", [1, 64])
@pytest.mark.parametrize("method", ["gradcam", "mass_att"])
def test_two_faces_are_each_as_if_alone(lanmsff: Any, photo: np.ndarray, method: str, batch_size: int) -> None:
    boxes = np.array([[5, 5, 60, 60], [50, 20, 110, 80]])
    both = ferzoo.Predictor(lanmsff, detector=lambda rgb: boxes, batch_size=batch_size)
    maps = ferzoo.explain(photo, both, method)
    alone = [
        one
        for i in range(2)
        for one in ferzoo.explain(photo, ferzoo.Predictor(lanmsff, detector=lambda rgb, i=i: boxes[i : i + 1]), method)
    ]
    assert [one.face.box for one in maps] == [one.face.box for one in alone] and len(maps) >= 2
    for a, b in zip(maps, alone, strict=True):
        assert (a.label, a.layer, a.grid) == (b.label, b.layer, b.grid)
        np.testing.assert_allclose(a.heat, b.heat, atol=1e-4)
        assert a.picture.shape == b.picture.shape
    assert ferzoo.explain(photo, ferzoo.Predictor(lanmsff, detector=lambda rgb: np.zeros((0, 4))), method) == []


def test_the_picture_is_what_the_network_was_given(lanmsff: Any, photo: np.ndarray) -> None:
    lanmsff.pretrained_cfg["crop_pct"] = 0.5
    (one,) = ferzoo.explain(photo, whole(lanmsff))
    assert np.array_equal(one.picture, photo[22:67, 30:90])
    assert one.score == one.face.scores[one.face.label] and one.to_dict()["box"] == [0, 0, 120, 90]


def test_no_evidence_is_a_map_of_zeros(lanmsff: Any, photo: np.ndarray) -> None:
    nn.init.zeros_(lanmsff.head.weight)
    (one,) = ferzoo.explain(photo, whole(lanmsff))
    assert one.high == 0 and not one.heat.any()
    nn.init.constant_(lanmsff.head.weight, torch.nan)
    with pytest.raises(FerzooError, match="NaN"):
        ferzoo.explain(photo, whole(lanmsff))


def test_the_map_depends_on_what_the_head_has_learnt(astronaut: Any) -> None:
    """The test of Adebayo et al. (2018, arXiv 1810.03292): a map that survives random weights would explain nothing."""
    model = ferzoo.create_model("lanmsff", pretrained=True)
    predictor = whole(model)
    face = Image.open(astronaut).crop((170, 50, 290, 170))
    (trained,) = ferzoo.explain(face, predictor, label="happiness")
    attention = ferzoo.explain(face, predictor, "mass_att")
    changes = []
    for seed in range(5):
        torch.manual_seed(seed)
        nn.init.normal_(model.head.weight, 0, float(model.head.weight.detach().std()))
        (random,) = ferzoo.explain(face, predictor, label="happiness")
        changes.append(float(np.abs(trained.heat - random.heat).mean()))
    assert min(changes) > 0.05 and np.mean(changes) > 0.2, changes
    # What comes before the head knows nothing of the class.
    for a, b in zip(attention, ferzoo.explain(face, predictor, "mass_att"), strict=True):
        assert np.array_equal(a.heat, b.heat)
