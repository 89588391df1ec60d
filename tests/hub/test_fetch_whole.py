"""Networks of timm's own from a repository: whole, but for a classifier that is asked to differ."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
from hub_server import Hub
from safetensors.torch import save

import ferzoo
from ferzoo.errors import CheckpointError, CheckpointWarning

REPO = "someone/net"
NAME = f"hf-hub:{REPO}"
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def tensors() -> Tensors:
    return timm.create_model("test_resnet", num_classes=4).state_dict()


@pytest.fixture
def add(hub: Hub, tensors: Tensors) -> Callable[..., None]:
    """Publish these tensors with some taken away or added, and a config with changes."""

    def publish(without: str = "", more: Tensors | None = None, cfg: dict[str, Any] | None = None, **args: Any) -> None:
        state = {name: tensor for name, tensor in tensors.items() if name != without} | (more or {})
        own = {"input_size": [3, 160, 160], "num_classes": 4, "mean": [0.5] * 3, "std": [0.5] * 3, "classifier": "fc"}
        own |= {"first_conv": "conv1.0", "interpolation": "bicubic", "crop_pct": 0.95, **(cfg or {})}
        config = {"architecture": "test_resnet", "num_classes": 4, "pretrained_cfg": own, "model_args": args}
        hub.add(REPO, {"model.safetensors": save(state), "config.json": json.dumps(config).encode()})

    return publish


def load(**kwargs: Any) -> Any:
    return ferzoo.create_model(NAME, pretrained=True, **kwargs)


def test_a_repository_of_timms_loads_whole(add: Any, tensors: Tensors) -> None:
    add()
    state = load().state_dict()
    assert state.keys() == tensors.keys() and all(torch.equal(state[name], tensors[name]) for name in tensors)


#: What the caller may ask for, by which timm itself no longer looks at what is missing or left over.
LAX: list[dict[str, Any]] = [{"num_classes": 7}, {"num_classes": 0}, {"features_only": True}]


@pytest.mark.parametrize("asked", [{}, *LAX], ids=str)
@pytest.mark.parametrize(
    "fault",
    [{"without": "layer1.0.bn1.weight"}, {"without": "fc.bias"}, {"more": {"extra.weight": torch.ones(2)}}],
    ids=["missing", "no classifier", "left over"],
)
def test_a_file_that_is_not_the_networks_is_refused(add: Any, fault: dict[str, Any], asked: dict[str, Any]) -> None:
    add(**fault)
    with pytest.raises(CheckpointError, match="cannot be loaded into test_resnet: .*(layer1|fc.bias|extra)"):
        load(**asked)


def test_a_config_cannot_name_the_backbone_as_its_classifier(add: Any) -> None:
    add(cfg={"classifier": ["fc", "layer1.0.conv1", "layer1.0.bn1"]})
    with pytest.raises(CheckpointError, match=r"not loaded whole .*layer1\.0\.conv1\.weight"):
        load(num_classes=7)
    load()


def test_another_class_count_leaves_the_classifier_out_and_says_so(add: Any, tensors: Tensors) -> None:
    add()
    with pytest.warns(CheckpointWarning, match="classifier has 4 classes and the network 7: it is left out"):
        model = load(num_classes=7)
    state = model.state_dict()
    assert state["fc.weight"].shape[0] == 7
    assert all(torch.equal(state[name], tensors[name]) for name in tensors if not name.startswith("fc."))


def test_other_channels_and_features_alone_take_the_weights(add: Any, tensors: Tensors) -> None:
    add()
    with pytest.warns(CheckpointWarning, match="it is left out"):
        grey = load(in_chans=1, num_classes=7).state_dict()
    first = next(iter(tensors))
    assert grey[first].shape[1] == 1 and torch.allclose(grey[first], tensors[first].sum(1, keepdim=True), atol=1e-6)
    features = load(features_only=True).state_dict()
    assert features and all(torch.equal(tensor, tensors[name]) for name, tensor in features.items())


def test_a_network_far_larger_than_its_weights_is_not_built(add: Any) -> None:
    add(stem_width=2_000)
    with pytest.raises(CheckpointError, match="asks for a network far larger than its weights, which have .* values"):
        load()
    add(stem_width=50_000)
    with pytest.raises(CheckpointError, match="of more than 2,147,483,648 parameters|allocate memory"):
        ferzoo.create_model(NAME)


def test_whole_numbers_are_no_weights(add: Any, tensors: Tensors) -> None:
    add(more={"fc.bias": tensors["fc.bias"].to(torch.int32)})
    with pytest.raises(CheckpointError, match="holds no real numbers for fc.bias"):
        load()


def test_the_arguments_of_the_constructor_are_kept(add: Any) -> None:
    add(drop_rate=0.1, num_classes=4)
    assert load(global_pool="max").ferzoo_args == {"drop_rate": 0.1, "global_pool": "max"}
