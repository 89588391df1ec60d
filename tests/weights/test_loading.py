"""`pretrained=True` end to end, with a user's own checkpoint in FERZOO_WEIGHTS."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from random_weights import NETWORKS, Save, Tensors, assert_loaded
from safetensors.torch import load_file

import ferzoo
from ferzoo.errors import CheckpointError, WeightsCorruptError
from ferzoo.weights.configs import checkpoints

SIZE = 64


@pytest.mark.parametrize("name", NETWORKS)
def test_a_users_own_checkpoint_loads_by_its_tag(name: str, tensors: dict[str, Tensors], save: Save) -> None:
    path = save(
        f"{name}.mine", tensors[name], {"mean": [0.1], "label_names": list("abcdefgh")}, ferzoo={"note": "mine"}
    )
    model = ferzoo.create_model(f"{name}.mine", pretrained=True)
    assert_loaded(model, tensors[name])
    assert model.ferzoo_cfg == {"note": "mine"}
    cfg = model.pretrained_cfg
    assert (cfg["architecture"], cfg["tag"], cfg["file"]) == (name, "mine", str(path))
    # What the JSON says counts, and the architecture says the rest.
    assert set(cfg["mean"]) == {0.1} and list(cfg["label_names"]) == list("abcdefgh")
    assert cfg["classifier"] == "head" and cfg["input_size"][0] == NETWORKS[name][0]


def test_the_cfg_of_the_json_sets_the_class_count(tensors: dict[str, Tensors], save: Save) -> None:
    state = {**tensors["lanmsff"], "head.weight": torch.ones(5, 156), "head.bias": torch.ones(5)}
    save("lanmsff.five", state, {"num_classes": 5})
    assert_loaded(ferzoo.create_model("lanmsff.five", pretrained=True), state)
    untrained = ferzoo.create_model("lanmsff.five")
    assert untrained.num_classes == 5
    assert not torch.equal(untrained.head.bias, torch.ones(5))
    # Whose classes these are, only the JSON could have said.
    assert "label_names" not in untrained.pretrained_cfg


@pytest.mark.parametrize("name", NETWORKS)
def test_what_the_json_does_not_say_is_the_papers(name: str, tensors: dict[str, Tensors], save: Save) -> None:
    width = tensors[name]["head.weight"].shape[1]
    save(f"{name}.five", {**tensors[name], "head.weight": torch.ones(5, width), "head.bias": torch.ones(5)})
    found, fresh = ferzoo.create_model(f"{name}.five", pretrained=True), ferzoo.create_model(name)
    assert found.num_classes == 5
    assert found.pretrained_cfg["input_size"] == fresh.pretrained_cfg["input_size"] in ((3, 112, 112), (1, 64, 64))


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"num_classes": 7}, "states num_classes 7, but the classifier in .*safetensors has 8"),
        ({"num_classes": "8"}, "num_classes must be 0 to 100,000, got"),
        ({"input_size": [3, 48]}, r"input_size must be \[channels, height, width\], got \[3, 48\]"),
        ({"input_size": [3, 100000, 100000]}, "input_size and img_size must be 1 to 4,096"),
        ({"mean": "x"}, "mean must be a list of numbers, got 'x'"),
        ({"crop_pct": -1}, "crop_pct must be a number from 0.05 to 20, got -1"),
        ({"label_names": ["a", "b"]}, "has 2 label_names for 8 classes"),
        ({"no_field": 1}, "is not timm's: .*no_field"),
    ],
)
def test_a_wrong_fact_in_the_json_is_named(
    cfg: dict[str, Any], message: str, tensors: dict[str, Tensors], save: Save
) -> None:
    save("lanmsff.mine", tensors["lanmsff"], cfg)
    with pytest.raises(CheckpointError, match=message):
        ferzoo.create_model("lanmsff.mine", pretrained=True)


def test_a_fact_that_is_null_is_not_said(tensors: dict[str, Tensors], save: Save) -> None:
    save("lanmsff.mine", tensors["lanmsff"], {"mean": None}, ferzoo={"grayscale": None})
    assert ferzoo.create_model("lanmsff.mine", pretrained=True).ferzoo_cfg == {"grayscale": None}


@pytest.mark.parametrize("name", ["lfn", "lfnsb_fast"])
def test_a_checkout_and_its_folder_of_weights_say_the_same(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(ferzoo.__file__).parents[1] / "hub_configs" / "weights"
    if not (folder / f"{name}.ferplus.safetensors").is_file():
        pytest.skip("the large weights are in a checkout alone")
    monkeypatch.delenv("FERZOO_WEIGHTS", raising=False)
    one = ferzoo.create_model(name, pretrained=True)
    monkeypatch.setenv("FERZOO_WEIGHTS", str(folder))
    other = ferzoo.create_model(name, pretrained=True)
    assert one.pretrained_cfg == other.pretrained_cfg and one.ferzoo_cfg == other.ferzoo_cfg


def test_the_json_of_a_known_checkpoint_counts(tensors: dict[str, Tensors], save: Save) -> None:
    path = save("lfnsb_fast.ferplus", ferzoo.create_model("lfnsb_fast", num_classes=3).state_dict(), {"num_classes": 3})
    model = ferzoo.create_model("lfnsb_fast", pretrained=True)
    assert (model.num_classes, model.pretrained_cfg["file"], model.pretrained_cfg["tag"]) == (3, str(path), "ferplus")


def test_a_damaged_file_whose_hash_is_stated(save: Save, tensors: dict[str, Tensors]) -> None:
    path = save("lanmsff.mine", tensors["lanmsff"])
    path.write_bytes(path.read_bytes()[:1000])
    facts = {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "cfg": {}}
    path.with_suffix(".json").write_text(json.dumps(facts))
    with pytest.raises(CheckpointError, match="lanmsff.mine.safetensors cannot be loaded: it is damaged"):
        ferzoo.create_model("lanmsff.mine", pretrained=True)
    path.with_suffix(".json").write_text(json.dumps({**facts, "sha256": None}))
    with pytest.raises(CheckpointError, match="sha256 must be 64 hexadecimal digits, got 'None'"):
        ferzoo.create_model("lanmsff.mine", pretrained=True)


@pytest.mark.parametrize("name", NETWORKS)
def test_plain_timm_loads_it_too(name: str, tensors: dict[str, Tensors], save: Save) -> None:
    ferzoo.create_model(name)
    save(f"{name}.mine", tensors[name], {"num_classes": 8, "input_size": [NETWORKS[name][0], 64, 64]})
    assert_loaded(timm.create_model(f"{name}.mine", pretrained=True), tensors[name])


@pytest.mark.parametrize(("name", "num_classes"), [("lfnsb", 0), ("lfnsb", 7), *(("lanmsff", n) for n in (0, 1, 7, 9))])
def test_another_class_count_drops_the_classifier_and_nothing_else(
    name: str, num_classes: int, tensors: dict[str, Tensors], save: Save
) -> None:
    save(f"{name}.mine", tensors[name])
    model = ferzoo.create_model(f"{name}.mine", pretrained=True, num_classes=num_classes).eval()
    assert_loaded(model, tensors[name], but=("head.",))
    channels = NETWORKS[name][0]
    assert model(torch.randn(2, channels, SIZE, SIZE)).shape == (2, num_classes or model.head_hidden_size)


def adapted(weight: torch.Tensor, channels: int) -> torch.Tensor:
    """A first convolution for another number of channels, as timm documents it."""
    given = weight.shape[1]
    if channels == 1:
        return weight.sum(1, keepdim=True)
    return torch.stack([weight[:, i % given] for i in range(channels)], dim=1) * (given / channels)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("in_chans", [1, 2, 3, 5])
def test_another_channel_count_adapts_the_first_convolution(
    name: str, in_chans: int, tensors: dict[str, Tensors], save: Save
) -> None:
    save(f"{name}.mine", tensors[name])
    model = ferzoo.create_model(f"{name}.mine", pretrained=True, in_chans=in_chans).eval()
    given, first = NETWORKS[name]
    assert_loaded(model, tensors[name], but=(first,) if in_chans != given else ())
    expected = tensors[name][first] if in_chans == given else adapted(tensors[name][first], in_chans)
    torch.testing.assert_close(model.get_parameter(first).data, expected)
    assert model(torch.randn(1, in_chans, SIZE, SIZE)).shape == (1, 8)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_weights_in_half_precision_load_into_single(
    dtype: torch.dtype, tensors: dict[str, Tensors], save: Save
) -> None:
    half = {k: t.to(dtype) if t.is_floating_point() else t for k, t in tensors["lanmsff"].items()}
    save("lanmsff.half", half)
    model = ferzoo.create_model("lanmsff.half", pretrained=True)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert_loaded(model, {k: t.to(tensors["lanmsff"][k].dtype) for k, t in half.items()})


@pytest.mark.parametrize("name", NETWORKS)
def test_features_alone_take_the_weights(name: str, tensors: dict[str, Tensors], save: Save) -> None:
    save(f"{name}.mine", tensors[name], ferzoo={"note": "mine"})
    whole = ferzoo.create_model(f"{name}.mine", pretrained=True).eval()
    features = ferzoo.create_model(f"{name}.mine", pretrained=True, features_only=True).eval()
    x = torch.randn(1, NETWORKS[name][0], SIZE, SIZE)
    with torch.no_grad():
        expected, maps = whole.forward_intermediates(x, intermediates_only=True), features(x)
    assert len(maps) == len(expected) == 4
    for ours, theirs in zip(maps, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    assert features.ferzoo_cfg == {"note": "mine"}


def _without(state: Tensors, key: str) -> Tensors:
    return {k: t for k, t in state.items() if k != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: _without(s, "stages.0.0.conv.bn.weight"), "missing: stages.0.0.conv.bn.weight"),
        (lambda s: {**s, "stages.9.weight": torch.ones(2)}, "unexpected: stages.9.weight"),
        (lambda s: {**s, "stages.0.0.conv.bn.bias": torch.ones(3)}, r"stages.0.0.conv.bn.bias \(3,\) for \(72,\)"),
        (lambda s: {}, "missing: .* and [0-9]+ more"),
    ],
)
@pytest.mark.parametrize("num_classes", [8, 3])
def test_weights_of_another_network_are_refused(
    change: Callable[[Tensors], Tensors], message: str, num_classes: int, tensors: dict[str, Tensors], save: Save
) -> None:
    save("lanmsff.mine", change(tensors["lanmsff"]))
    with pytest.raises(CheckpointError, match=f"does not fit LANMSFF; .*{message}"):
        ferzoo.create_model("lanmsff.mine", pretrained=True, num_classes=num_classes)


def test_a_classifier_of_another_width_is_refused(tensors: dict[str, Tensors], save: Save) -> None:
    save("lanmsff.mine", {**tensors["lanmsff"], "head.weight": torch.ones(8, 9)})
    with pytest.raises(CheckpointError, match=r"head.weight \(8, 9\) for \(8, 156\)"):
        ferzoo.create_model("lanmsff.mine", pretrained=True)


def test_one_flipped_bit_is_caught(tensors: dict[str, Tensors], save: Save) -> None:
    path = save("lanmsff.mine", tensors["lanmsff"])
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsCorruptError, match="lanmsff.mine.safetensors is damaged"):
        ferzoo.create_model("lanmsff.mine", pretrained=True)


def test_a_field_that_timm_has_not_is_named(tensors: dict[str, Tensors], save: Save) -> None:
    save("lanmsff.mine", tensors["lanmsff"], {"colour": "red"})
    with pytest.raises(CheckpointError, match="lanmsff.mine.json is not timm's.*colour"):
        ferzoo.create_model("lanmsff.mine", pretrained=True)


@pytest.mark.parametrize("name", sorted(checkpoints()))
def test_every_checkpoint_of_the_zoo_that_ships_loads(name: str) -> None:
    checkpoint = checkpoints()[name]
    if "file" not in checkpoint.pretrained_cfg():
        pytest.skip("its weights are on the Hub")
    model = ferzoo.create_model(name, pretrained=True).eval()
    shipped = load_file(checkpoint.pretrained_cfg()["file"])
    assert_loaded(model, {k: shipped[k].to(t.dtype) for k, t in model.state_dict().items() if k in shipped})
