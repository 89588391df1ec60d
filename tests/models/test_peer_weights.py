"""Weights of the peers: the authors' names, other class counts and heads, and timm's ResNet-18."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
import timm
import torch
from peer_networks import COUNTS, build, filtered, needs_goldens, released
from safetensors.torch import load_file, save_file

import ferzoo
from ferzoo.errors import CheckpointError
from ferzoo.hub.convert import convert


@pytest.mark.usefixtures("shrunk")
@pytest.mark.parametrize("name", ["dan", "ddamfn"])
def test_another_number_of_heads_says_so(name: str) -> None:
    two, three = (build(name, num_heads=heads, img_size=64) for heads in (2, 3))
    for source, target in ((two, three), (three, two)):
        with pytest.raises(CheckpointError, match="another number of heads: build the network with their num_heads"):
            filtered(name, dict(source.state_dict()), target)


@pytest.mark.usefixtures("shrunk")
def test_another_class_count_drops_every_class_sized_tensor() -> None:
    for name, kept in (("dan", ()), ("scn", ("head.importance.weight", "head.importance.bias")), ("ma_net", ())):
        state = dict(build(name, num_classes=7).state_dict())
        with pytest.warns(UserWarning, match="7 classes and the network 5"):
            out = filtered(name, state, build(name, num_classes=5))
        lost = {n for n in state if n.startswith(("head.", "head_norm.")) and state[n].shape[:1] == (7,)}
        assert set(out) == set(state) - lost and set(kept) <= set(out)
    del state["head.second.weight"]
    with pytest.raises(CheckpointError, match=r"missing: head\.second\.weight"):
        filtered("ma_net", state, build("ma_net", num_classes=7))


@pytest.mark.usefixtures("shrunk")
@pytest.mark.parametrize("name", sorted(COUNTS))
def test_a_checkpoint_without_classifier_leaves_the_network_s(name: str, tmp_path: Path) -> None:
    source, path = ferzoo.create_model(name, num_classes=0), tmp_path / "backbone.safetensors"
    save_file(source.state_dict(), path)
    model = ferzoo.create_model(name, pretrained=True, num_classes=5, pretrained_cfg_overlay={"file": str(path)})
    own = model.state_dict()
    assert all(torch.equal(own[key], value) for key, value in source.state_dict().items())


@needs_goldens
def test_what_does_not_convert_says_why(tmp_path: Path) -> None:
    _, state, _ = released("dan")
    torch.save({k: v.float() for k, v in state.items()}, tmp_path / "in.pth")
    with pytest.raises(CheckpointError, match="does not fit SCN; missing") as caught:
        convert(tmp_path / "in.pth", tmp_path / "out.safetensors", "scn")
    assert "num_heads" not in str(caught.value)
    with pytest.raises(CheckpointError, match="a classifier of 7 classes, not 5: leave --num-classes out"):
        convert(tmp_path / "in.pth", tmp_path / "out.safetensors", "dan", num_classes=5)
    assert not (tmp_path / "out.safetensors").exists()


@needs_goldens
@pytest.mark.parametrize(
    ("name", "wrapper"), [("dan", "model_state_dict"), ("scn", "model_state_dict"), ("ran", "net")]
)
def test_a_checkpoint_of_the_authors_converts(name: str, wrapper: str, tmp_path: Path) -> None:
    _, state, _ = released(name)
    state = {f"module.{k}": v.float() for k, v in state.items()}
    # What PyTorch saves beside a BatchNorm's statistics, and the goldens leave out.
    counters = {k.replace("running_mean", "num_batches_tracked"): torch.tensor(9) for k in state if "running_mean" in k}
    torch.save({wrapper: {**state, **counters}, "epoch": 3}, tmp_path / "in.pth")
    result = convert(tmp_path / "in.pth", tmp_path / "out.safetensors", name)
    assert result["num_classes"] == 7 and result["dropped"] == 0
    tensors = load_file(tmp_path / "out.safetensors")
    assert torch.equal(tensors["head.weight"], state["module.fc.weight"])
    assert all(value == 9 for key, value in tensors.items() if key.endswith("num_batches_tracked"))


@needs_goldens
def test_what_a_release_never_uses_is_counted(tmp_path: Path) -> None:
    _, state, _ = released("ddamfn")
    torch.save({k: v.float() for k, v in state.items()}, tmp_path / "in.pth")
    result = convert(tmp_path / "in.pth", tmp_path / "out.safetensors", "ddamfn")
    counters = {key for key in load_file(tmp_path / "out.safetensors") if key.endswith("num_batches_tracked")}
    assert result["dropped"] == len(state) - (result["tensors"] - len(counters)) > 0


@torch.no_grad()
def test_weights_of_timm_s_resnet18_load() -> None:
    torch.manual_seed(3)
    source = timm.create_model("resnet18").eval()
    x = torch.randn(1, 3, 64, 64)
    expected = source.forward_features(x)
    for name in ("scn", "dan", "ran"):
        model = build(name)
        head = copy.deepcopy(model.head.state_dict())
        model.load_backbone(source)
        found = model.forward_features(x)[:, -512:]  # of RAN's regions, the whole face
        torch.testing.assert_close(found, expected)
        assert all(torch.equal(head[k], v) for k, v in model.head.state_dict().items())
    with pytest.raises(CheckpointError, match="ResNet is not the backbone of RAN"):
        model.load_backbone(timm.create_model("resnet34"))
    shorter = timm.models.resnet.ResNet(timm.models.resnet.BasicBlock, (1, 1, 1, 1))
    with pytest.raises(CheckpointError, match="do not fit or are not there"):
        model.load_backbone(shorter)
    local = build("ma_net")
    local.load_backbone(source)
    for patch in local.stages[2][0].local:
        assert torch.equal(patch[2].conv1.weight, source.layer4[0].conv1.weight)
