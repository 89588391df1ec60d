"""The peers of the papers' tables: the authors' numbers, and what losses are given."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from peer_networks import COUNTS, build, filtered, needs_goldens, released
from torch import nn

import ferzoo
from ferzoo.errors import CheckpointError, InputSizeError
from ferzoo.testing import check_model
from ferzoo.testing.graphs import GRAPH_CHECKS
from ferzoo.testing.models import MODEL_CHECKS

ANY_SIZE = ("dan", "ma_net", "ran", "scn")


def relative(actual: torch.Tensor, expected: Any) -> float:
    expected = torch.tensor(expected, dtype=torch.float64)
    assert actual.shape == expected.shape
    return float((actual - expected).norm() / expected.norm())


@needs_goldens
@torch.no_grad()
@pytest.mark.parametrize("name", COUNTS)
def test_the_authors_numbers(name: str) -> None:
    facts, state, fill = released(name)
    model: Any = ferzoo.create_model(name, num_classes=7, dtype=torch.float64).eval()
    counters = {n: b for n, b in model.named_buffers() if n.endswith("num_batches_tracked")}
    model.load_state_dict({**counters, **filtered(name, state, model)}, strict=True)
    x = torch.from_numpy(fill["batch"](tuple(facts["input_shape"]), facts["seed"]))
    out = model.forward_train(x.permute(0, 4, 1, 2, 3) if name == "ran" else x)
    assert relative(out["logits"], facts["output"]) < 1e-9
    if "features_shape" in facts:
        assert list(out["features"].shape) == facts["features_shape"]
        assert relative(out["features"].mean((2, 3)), facts["features_mean_per_channel"]) < 1e-9
    if name == "scn":
        assert relative(out["importance"][:, None], facts["importance"]) < 1e-9
    if name == "dacl":
        assert relative(out["attention"].mean(1), facts["attention_mean"]) < 1e-9
    if name == "ran":
        assert relative(out["importance"][:, :5].amax(1, keepdim=True), facts["alpha_crops_max"]) < 1e-9
        assert relative(out["importance"][:, 5:], facts["alpha_whole"]) < 1e-9
    assert COUNTS[name][0] == facts["params"] - COUNTS[name][1]


@pytest.mark.parametrize("name", COUNTS)
def test_counts(name: str) -> None:
    model = ferzoo.create_model(name, num_classes=7, device="meta")
    assert sum(p.numel() for p in model.parameters()) == COUNTS[name][0]


def test_ddamfn_with_four_heads() -> None:
    model = ferzoo.create_model("ddamfn", num_classes=7, num_heads=4, device="meta")
    assert sum(p.numel() for p in model.parameters()) == 4_175_727


@pytest.mark.usefixtures("shrunk")
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("dacl", {"attention": (2, 80), "embedding": (2, 80)}),
        ("dan", {"heads": (2, 4, 80), "attention": (2, 4, 1, 2, 2), "embedding": (2, 80)}),
        ("ddamfn", {"attention": (2, 2, 512, 4, 4), "embedding": (2, 512)}),
        ("ma_net", {"heads": (2, 2, 5), "embedding": (2, 160)}),
        ("ran", {"importance": (2, 6), "embedding": (2, 160)}),
        ("scn", {"importance": (2,), "embedding": (2, 80)}),
    ],
)
def test_what_losses_are_given(name: str, expected: dict[str, tuple[int, ...]]) -> None:
    model = build(name, num_classes=5, img_size=64)
    out = model.forward_train(torch.randn(2, 3, 64, 64))
    assert {k: tuple(v.shape) for k, v in out.items() if k not in ("logits", "features")} == expected
    bare = build(name, num_classes=0, global_pool="", img_size=64)
    assert set(bare.forward_train(torch.randn(2, 3, 64, 64))) == {"logits", "features", "embedding"}


@pytest.mark.usefixtures("shrunk")
@torch.no_grad()
def test_the_parts_make_the_logits() -> None:
    x = torch.randn(2, 3, 64, 64)
    model = build("ma_net", num_classes=5)
    out = model.forward_train(x)
    torch.testing.assert_close(out["logits"], 0.6 * out["heads"][:, 0] + 0.4 * out["heads"][:, 1])
    model = build("scn", num_classes=5)
    out = model.forward_train(x)
    plain = F.linear(out["embedding"], model.head.weight, model.head.bias)
    torch.testing.assert_close(out["logits"], out["importance"][:, None] * plain)
    out = build("dan", num_classes=5).forward_train(x)
    torch.testing.assert_close(out["heads"].exp().sum(1), torch.ones(2, 80))
    torch.testing.assert_close(out["heads"].sum(1), out["embedding"])


@pytest.mark.usefixtures("shrunk")
@torch.no_grad()
def test_ran_cuts_the_regions_itself() -> None:
    model = build("ran", num_classes=5)
    x = torch.randn(2, 3, 40, 80)
    # Upper left, upper right, lower centre, and two centres, as fractions of the sides.
    boxes = [(0, 0, 0.75, 0.75), (0.25, 0, 1, 0.75), (0.125, 0.25, 0.875, 1)]
    boxes += [(0.05, 0.05, 0.95, 0.95), (0.075, 0.075, 0.925, 0.925)]
    regions = []
    for left, top, right, bottom in boxes:
        crop = x[:, :, int(40 * top) : int(40 * bottom), int(80 * left) : int(80 * right)]
        regions.append(F.interpolate(crop, (40, 80), mode="bilinear", align_corners=False))
    regions = torch.stack([*regions, x], dim=1)
    torch.testing.assert_close(model(regions), model(x))
    weights = model.forward_train(x)["importance"]
    torch.testing.assert_close(weights.sum(1), torch.ones(2))
    with pytest.raises(InputSizeError, match=r"or \(N, 6, 3, H, W\), got a tensor of shape \(2, 5, 3, 40, 80\)"):
        model(regions[:, 1:])
    with pytest.raises(InputSizeError, match=r"takes 3 channel.*has 2"):
        model(regions[:, :, :2])


@pytest.mark.usefixtures("shrunk")
@torch.no_grad()
@pytest.mark.parametrize("name", ANY_SIZE)
@pytest.mark.parametrize("size", [(32, 32), (33, 47), (112, 65)], ids=str)
def test_other_sizes_work(name: str, size: tuple[int, int]) -> None:
    logits = build(name)(torch.randn(2, 3, *size))
    assert logits.shape == (2, 8) and logits.isfinite().all()


@pytest.mark.usefixtures("shrunk")
@pytest.mark.parametrize("name", ["dacl", "ddamfn"])
def test_a_network_that_knows_its_size_says_so(name: str) -> None:
    module = importlib.import_module(f"ferzoo.models.{name}")
    with pytest.raises(InputSizeError, match="Build the network with img_size"):
        getattr(module, name.upper())(img_size=None)
    small, large = (build(name, img_size=size) for size in (64, 96))
    with pytest.raises(CheckpointError, match="build the network with the weights' img_size"):
        filtered(name, large.state_dict(), small)


@torch.no_grad()
@pytest.mark.usefixtures("shrunk")
@pytest.mark.parametrize("name", ["dacl", "ddamfn"])
def test_without_its_head_a_network_takes_any_size(name: str) -> None:
    x = torch.randn(2, 3, 64, 96)
    whole = build(name, img_size=64)
    with pytest.raises(InputSizeError, match=r"built for 64x64 px, the batch is 64x96"):
        whole(x)
    maps = whole.forward_intermediates(x, intermediates_only=True)
    bare = build(name, num_classes=0, global_pool="", img_size=64)
    assert [tuple(m.shape[2:]) for m in maps] == [tuple(m.shape[2:]) for m in build(name, features_only=True)(x)]
    assert bare(x).shape[2:] == maps[-1].shape[2:] and whole.forward_intermediates(x)[0].shape == bare(x).shape
    bare.reset_classifier(5, "head")
    with pytest.raises(InputSizeError, match="built for 64x64"):
        bare(x)


@pytest.mark.usefixtures("shrunk")
def test_scn_keeps_its_importance_with_a_new_classifier() -> None:
    model = build("scn", num_classes=7)
    weight, before = model.head.weight, model.head.importance
    model.reset_classifier(5)
    assert model.head.importance is before and model.head.weight.shape[0] == 5 and model.head.weight is not weight


@pytest.mark.parametrize("name", ["dan", "ddamfn"])
def test_no_head_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="num_heads must be 1 or more, got 0"):
        ferzoo.create_model(name, num_heads=0)


@pytest.mark.usefixtures("shrunk")
def test_dacl_declares_what_no_logit_depends_on() -> None:
    model = build("dacl", img_size=64)
    declared = {n for n, _ in model.named_parameters() if n.startswith("pool.attention.")}
    assert set(model.loss_only_parameters) == declared
    model.reset_classifier(3, "")
    assert model.loss_only_parameters == ()
    model.reset_classifier(3, "head")
    assert set(model.loss_only_parameters) == declared


@pytest.mark.usefixtures("shrunk")
def test_compilers_take_ma_net() -> None:
    def short(**kwargs: Any) -> nn.Module:
        model: Any = ferzoo.create_model("ma_net", **kwargs)
        branches = model.stages[2][0]
        branches.whole = branches.whole[::2]
        for i, layers in enumerate(branches.local):
            branches.local[i] = layers[::2]
        return model

    graphs = [check.name for check in GRAPH_CHECKS]
    check_model(short, img_size=(32, 48), skip=[check.name for check in MODEL_CHECKS if check.name not in graphs])
