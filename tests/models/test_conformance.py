"""Every registered network against the public contract, and what ferzoo's own base adds to it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy
import pytest
import timm
import torch

import ferzoo
from ferzoo.errors import CheckpointError, InputSizeError
from ferzoo.hub.facts import Facts
from ferzoo.hub.folder import write_folder
from ferzoo.testing import check_model
from ferzoo.testing.graphs import GRAPH_CHECKS

EMBEDDERS = ("lfn", "mfn", "mobilefacenet")


# Small, and not square, so that height and width cannot be mistaken for one another.
SIZE = (32, 48)
#: Compilers take long for the others' 34 blocks or ResNet-18.
WHOLE = ("lanmsff", "mobilefacenet")
#: Four copies of the same layers: what a compiler makes of them is seen in `test_peers.py`.
COPIES = {"ma_net": [check.name for check in GRAPH_CHECKS]}


@pytest.mark.parametrize("name", ferzoo.list_models())
def test_a_network_keeps_the_contract(name: str, request: pytest.FixtureRequest) -> None:
    if name not in WHOLE:
        request.getfixturevalue("shrunk")
    check_model(name, img_size=SIZE, skip=COPIES.get(name, ()))


@pytest.mark.parametrize("name", ferzoo.list_models())
def test_a_network_trains_under_autocast(name: str) -> None:
    torch.manual_seed(0)
    # As the training has it: in the other format torch 2.6 gets the gradients of dilated convolutions wrong.
    model = ferzoo.create_model(name, img_size=48).to(memory_format=torch.channels_last).train()
    with torch.autocast("cpu", torch.bfloat16):
        out = model(torch.randn(4, model.in_chans, 48, 48).to(memory_format=torch.channels_last)).float()
    torch.nn.functional.cross_entropy(out, torch.arange(4)).backward()
    assert out.isfinite().all()
    assert not [key for key, p in model.named_parameters() if p.grad is not None and not p.grad.isfinite().all()]


@pytest.mark.parametrize("name", ferzoo.list_models())
def test_networks_have_eight_classes_unless_told(name: str) -> None:
    model = ferzoo.create_model(name, device="meta")
    assert model.num_classes == 8
    assert model.pretrained_cfg["num_classes"] == 8


@pytest.mark.parametrize("name", EMBEDDERS)
def test_without_classes_they_give_the_raw_embedding(name: str) -> None:
    model = ferzoo.create_model(name, num_classes=0, img_size=32).eval()
    with torch.no_grad():
        embedding = model(torch.randn(3, 3, 32, 32))
    assert embedding.shape == (3, 256)
    assert not torch.allclose(embedding.norm(dim=1), torch.ones(3), atol=1e-3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": -1}, "num_classes must be 0 or more, got -1"),
        ({"in_chans": 0}, "in_chans must be 1 or more, got 0"),
        ({"num_classes": "7"}, "num_classes must be a whole number, got '7'"),
        ({"num_classes": 7.0}, "num_classes must be a whole number, got 7.0"),
        ({"in_chans": 1.5}, "in_chans must be a whole number, got 1.5"),
        ({"drop_rate": 1.0}, r"drop_rate must lie in \[0, 1\), got 1.0"),
        ({"global_pool": "max"}, "global_pool of LANMSFF is 'avg', or '' for the map, got 'max'"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ferzoo.create_model("lanmsff", **arguments)


def test_reset_classifier_refuses_what_the_constructor_does() -> None:
    model = ferzoo.create_model("lanmsff")
    with pytest.raises(ValueError, match="num_classes must be 0 or more"):
        model.reset_classifier(-2)
    with pytest.raises(ValueError, match="global_pool"):
        model.reset_classifier(4, "max")
    assert model.num_classes == 8


def test_a_reset_head_follows_the_network_s_type() -> None:
    model = ferzoo.create_model("mobilefacenet", img_size=32, dtype=torch.float64).eval()
    model.reset_classifier(0, "")
    model.reset_classifier(3, "head")
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    # The new pool holds a BatchNorm over the batch: in training mode one image would be refused.
    assert model(torch.randn(1, 3, 32, 32, dtype=torch.float64)).shape == (1, 3)


@torch.no_grad()
def test_norm_applies_the_final_convolution_to_the_last_map() -> None:
    model = ferzoo.create_model("mobilefacenet", img_size=32).eval()
    x = torch.randn(2, 3, 32, 32)
    features, maps = model.forward_intermediates(x, norm=True)
    assert [m.shape[1] for m in maps] == [64, 64, 128, 512]
    assert torch.equal(maps[-1], features)
    with pytest.raises(ValueError, match="'NCHW', got 'NLC'"):
        model.forward_intermediates(x, output_fmt="NLC")


@torch.no_grad()
def test_stopped_early_the_last_map_stands_for_the_features() -> None:
    model = ferzoo.create_model("mobilefacenet", img_size=32).eval()
    last, maps = model.forward_intermediates(torch.randn(2, 3, 32, 32), indices=[1], stop_early=True)
    assert torch.equal(last, maps[0])


@torch.no_grad()
@pytest.mark.parametrize("name", ["mobilefacenet", "lanmsff"])
def test_a_pruned_network_still_runs(name: str) -> None:
    size = {"img_size": 32} if name == "mobilefacenet" else {}
    model = ferzoo.create_model(name, **size).eval()
    x = torch.randn(2, model.in_chans, 32, 32)
    reference = model.forward_intermediates(x, intermediates_only=True)
    assert model.prune_intermediate_layers([0, 1], prune_norm=False) == [0, 1]
    assert torch.equal(model.forward_intermediates(x, norm=True, intermediates_only=True)[1], reference[1])
    assert model(x).shape[0] == 2


@pytest.mark.parametrize("name", ["mobilefacenet", "lanmsff"])
def test_checkpointing_reaches_the_intermediates(name: str) -> None:
    size = {"img_size": 32} if name == "mobilefacenet" else {}
    plain = ferzoo.create_model(name, **size).eval()
    saving = copy.deepcopy(plain)
    saving.set_grad_checkpointing()
    gradients = []
    for model in (plain, saving):
        x = torch.ones(2, model.in_chans, 32, 32, requires_grad=True)
        sum(m.sum() for m in model.forward_intermediates(x, intermediates_only=True)).backward()
        gradients.append(x.grad)
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-5)


def test_forward_train_gives_what_losses_take() -> None:
    model = ferzoo.create_model("mobilefacenet", img_size=32).train()
    out = model.forward_train(torch.randn(4, 3, 32, 32))
    assert {key: tuple(value.shape) for key, value in out.items()} == {
        "logits": (4, 8),
        "features": (4, 512, 2, 2),
        "embedding": (4, 256),
    }


def test_layer_groups_run_from_stem_to_head() -> None:
    from timm.models._manipulate import group_parameters

    model = ferzoo.create_model("lfnsb")
    groups = group_parameters(model, model.group_matcher(), reverse=True)
    assert groups["stem.conv.c.weight"] == 0
    assert groups["stages.0.0.expand.conv.weight"] == 1
    assert groups["stages.2.6.expand.conv.weight"] == groups["final_conv.bn.weight"] == 34
    assert groups["pool.spatial_bias.mix.weight"] == groups["head.weight"] == 35
    coarse = group_parameters(model, model.group_matcher(coarse=True), reverse=True)
    assert coarse["stages.2.6.expand.conv.weight"] == coarse["final_conv.bn.weight"] == 3


def test_prelu_slopes_alone_escape_weight_decay() -> None:
    model = ferzoo.create_model("mobilefacenet", img_size=32)
    names = model.no_weight_decay()
    assert "stem.conv.act.weight" in names
    assert all(name.endswith("act.weight") for name in names)


def test_weights_of_another_input_size_are_refused_with_the_way_out() -> None:
    from ferzoo.models.mobilefacenet import checkpoint_filter_fn

    small, large = (ferzoo.create_model("mobilefacenet", img_size=size) for size in (32, 64))
    with pytest.raises(CheckpointError, match="build the network with the weights' img_size"):
        checkpoint_filter_fn(large.state_dict(), small)


@torch.no_grad()
def test_lanmsff_exports_with_any_batch_and_size() -> None:
    model = ferzoo.create_model("lanmsff").eval()
    dims = {0: torch.export.Dim("n", max=16), 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
    program = torch.export.export(model, (torch.randn(2, 1, 64, 80),), dynamic_shapes=(dims,)).module()
    x = torch.randn(3, 1, 96, 64)
    assert torch.allclose(program(x), model(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("img_size", [(64,), 64.0, (64, 64, 3), "64"])
def test_an_input_size_that_is_none_is_named(img_size: Any) -> None:
    with pytest.raises(InputSizeError, match="a side in pixels, or .height, width., got"):
        ferzoo.create_model("mobilefacenet", img_size=img_size)


def test_numbers_of_numpy_are_numbers() -> None:
    model = ferzoo.create_model("lanmsff", num_classes=numpy.int64(5))
    assert type(model.num_classes) is int and model.num_classes == 5


def test_timms_way_to_a_folder_takes_ferzoos(tmp_path: Path) -> None:
    folder = write_folder(
        ferzoo.create_model("lanmsff", num_classes=3), Facts("lanmsff"), tmp_path / "a", "me/x"
    ).folder
    ferzoo.load_plugins()
    loaded, fresh = (timm.create_model(f"local-dir:{folder}", pretrained=pretrained) for pretrained in (True, False))
    written = ferzoo.create_model(f"local-dir:{folder}", pretrained=True).state_dict()
    assert all(torch.equal(tensor, written[name]) for name, tensor in loaded.state_dict().items())
    assert loaded.num_classes == fresh.num_classes == 3 and not torch.equal(fresh.head.weight, written["head.weight"])
    torch.save(written, tmp_path / "pickled.pth")
    overlay = {"file": str(tmp_path / "pickled.pth"), "source": "url"}
    with pytest.raises(CheckpointError, match="pickled.pth is no safetensors file"):
        timm.create_model(f"local-dir:{folder}", pretrained=True, pretrained_cfg_overlay=overlay)
    (folder / "model.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match="model.safetensors is damaged"):
        timm.create_model(f"local-dir:{folder}", pretrained=True)
