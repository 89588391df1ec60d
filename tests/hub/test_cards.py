"""What a written folder says and refuses: licence, classes, channels, and what lies in the folder before."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from cards import REPO, card, config, named, network, written
from torch import nn

from ferzoo.errors import CheckpointError
from ferzoo.hub.facts import checkpoint_of, facts_of
from ferzoo.labels import FERPLUS
from ferzoo.predict.network import Network
from ferzoo.registry.load import load_model
from ferzoo.weights.configs import checkpoints
from ferzoo.weights.folders import sha256_of


@pytest.mark.parametrize(
    ("stated", "identifier", "name"),
    [
        ("MIT", "mit", None),
        ("eupl-1.2", "eupl-1.2", None),
        ("openrail++", "openrail++", None),
        ("proprietary", "other", "proprietary"),
        ("CC-BY-9.9", "other", "cc-by-9.9"),
        ("research only", "other", "research-only"),
        ("see LICENSE.md of my group", "other", "see-license.md-of-my-group"),
    ],
)
@pytest.mark.parametrize("source", ["lanmsff", None])
def test_a_stated_licence_is_the_hubs_or_other(
    tmp_path: Path, stated: str, identifier: str, name: str | None, source: str | None
) -> None:
    files = written(source or network(), tmp_path, {"license": stated}).files
    data = card(tmp_path).data
    assert (data.license, data.get("license_name"), data.get("license_link")) == (identifier, name, None)
    assert "LICENSE.md" not in files and stated[1:] in card(tmp_path).text


def test_ferzoos_terms_go_with_ferzoos_weights(tmp_path: Path) -> None:
    assert "LICENSE.md" in written("lanmsff", tmp_path).files
    data = card(tmp_path).data
    assert (data.license, data.license_name, data.license_link) == ("other", "research-use", "LICENSE.md")
    assert "[LICENSE.md](LICENSE.md)" in card(tmp_path).text


DATASETS = [("fer2013", ["fer2013"]), ("my faces", None), ("me/faces", ["me/faces"])]


@pytest.mark.parametrize(("dataset", "listed"), DATASETS)
def test_only_what_can_name_a_dataset_is_metadata(tmp_path: Path, dataset: str, listed: list[str] | None) -> None:
    written(network(), tmp_path, {"dataset": dataset, "metrics": {"test": {"rows": 20, "accuracy": 50.0}}})
    assert card(tmp_path).data.datasets == listed
    assert card(tmp_path).data.eval_results[0].dataset_type == dataset


def test_another_classifier_has_no_names(tmp_path: Path) -> None:
    model: Any = load_model("lanmsff")
    model.reset_classifier(5)
    written(model, tmp_path)
    assert "It tells 5 classes apart. The names of the classes are not known." in card(tmp_path).text
    found = config(tmp_path)
    assert found["num_classes"] == found["pretrained_cfg"]["num_classes"] == 5
    assert "label_names" not in found and "label_names" not in found["pretrained_cfg"]


def test_names_of_another_number_are_left_out(tmp_path: Path) -> None:
    written(named(("a", "b", "c"), 5), tmp_path)
    assert "label_names" not in config(tmp_path) and "are not known" in card(tmp_path).text


def test_own_names_are_kept(tmp_path: Path) -> None:
    written(named(("a", "b", "c")), tmp_path)
    assert config(tmp_path)["label_names"] == ["a", "b", "c"]
    assert "3 expressions apart: a, b, c." in card(tmp_path).text


@pytest.mark.parametrize("names", [("a", "b", "b"), (1, 2, 3), "abc", (["a"], "b", "c")])
def test_names_that_are_none_or_repeat_are_refused(tmp_path: Path, names: Any) -> None:
    with pytest.raises(CheckpointError, match="label_names.*must be a list of names, each once"):
        written(named(names), tmp_path)
    assert not list(tmp_path.iterdir())


def test_predictors_refuse_repeated_names() -> None:
    with pytest.raises(CheckpointError, match="repeat: a, b, b"):
        Network(named(("a", "b", "b")))


def test_a_network_without_classifier_has_no_snippet_for_photographs(tmp_path: Path) -> None:
    written(network(num_classes=0), tmp_path)
    text = card(tmp_path).text
    assert "It has no classifier." in text and "Predictor" not in text and "create_model" in text


@pytest.mark.parametrize("args", [{"act_layer": nn.ReLU}, {"block_drop_rate": math.inf}])
def test_arguments_that_json_lacks_are_refused_before_a_file_is_written(tmp_path: Path, args: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match=rf"model_args\['{next(iter(args))}'\]"):
        written(network(), tmp_path, model_args=args)
    assert not list(tmp_path.iterdir())


def test_numpys_numbers_are_arguments(tmp_path: Path) -> None:
    written(network(), tmp_path, model_args={"block_drop_rate": np.float64(0.25)})
    assert config(tmp_path)["model_args"] == {"block_drop_rate": 0.25}


@pytest.mark.parametrize("with_attribute", [True, False])
def test_channels_are_those_of_the_network(tmp_path: Path, with_attribute: bool) -> None:
    model: Any = timm.create_model("resnet10t", in_chans=1, num_classes=3)
    if not with_attribute:  # as in older timm
        model.__dict__.pop("in_chans", None)
    written(model, tmp_path)
    cfg = config(tmp_path)["pretrained_cfg"]
    assert cfg["input_size"][0] == 1 and len(cfg["mean"]) == len(cfg["std"]) == 1
    assert "px, grey; mean" in card(tmp_path).text
    assert load_model(tmp_path)(torch.zeros(2, 1, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize(("source", "kept"), [("folder", True), ("run", False), ("network", False)])
def test_a_licence_in_the_cfg_is_that_of_the_weights_unless_they_were_trained(
    tmp_path: Path, source: str, kept: bool
) -> None:
    before, after = tmp_path / "before", tmp_path / "after"
    written(network(), before)
    content = config(before)
    content["pretrained_cfg"] |= {"license": "cc-by-nc-4.0", "description": "Theirs"}
    (before / "config.json").write_text(json.dumps(content))
    if source == "run":
        (before / "recipe.json").write_text('{"model": "lanmsff"}')
    written(load_model(before) if source == "network" else before, after)
    assert (card(after).data.license == "cc-by-nc-4.0") is kept
    assert ("Theirs." in card(after).text) is kept


def test_older_runs_are_of_ferplus(tmp_path: Path) -> None:
    written(network(), tmp_path)
    (tmp_path / "recipe.json").write_text('{"model": "lanmsff"}')
    assert facts_of(tmp_path, load_model(tmp_path)).dataset == "ferplus"


def test_a_config_of_wrong_types_is_refused(tmp_path: Path) -> None:
    written(network(), tmp_path)
    content = config(tmp_path)
    content["ferzoo"]["license"] = ["mit"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="another type than expected: license"):
        facts_of(tmp_path, load_model(tmp_path))


@pytest.mark.parametrize("name", ["lanmsff", "lfnsb.ferplus"])
def test_a_shipped_file_goes_as_it_is(tmp_path: Path, name: str) -> None:
    checkpoint = checkpoint_of(name)
    assert checkpoint is not None
    files = written(name, tmp_path, dtype="float16", source_file=checkpoint.shipped()).files
    assert files["model.safetensors"] == checkpoint.sha256 == sha256_of(tmp_path / "model.safetensors")
    assert config(tmp_path)["ferzoo"]["sha256"] == checkpoint.sha256
    assert tuple(load_model(tmp_path).pretrained_cfg["label_names"]) == FERPLUS


def test_a_file_of_other_weights_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="differs in"):
        written(network(), tmp_path, source_file=checkpoints()["lanmsff.ferplus"].shipped())
    assert not list(tmp_path.iterdir())


class Drawn(nn.Module):
    """Has a random tensor that no state dict holds."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("noise", torch.randn(width), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.noise


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"global_pool": "max"}, "computes something else: its outputs differ by .* as model_args"),
        ({"output_stride": 16}, "computes something else"),
        ({"num_classes": 0, "global_pool": ""}, r"gives \(2, 96\) where the network gives \(2, 96, .*as model_args"),
    ],
)
def test_arguments_that_change_no_tensor_are_asked_for(tmp_path: Path, kwargs: dict[str, Any], message: str) -> None:
    model = timm.create_model("test_resnet", **{"num_classes": 3, **kwargs})
    with pytest.raises(CheckpointError, match=message):
        written(model, tmp_path)
    assert not list(tmp_path.iterdir())
    again = written(model.half(), tmp_path, model_args=kwargs, dtype="float16").model
    assert again(torch.randn(2, 3, 64, 64)).shape == model.float()(torch.randn(2, 3, 64, 64)).shape


def test_a_network_that_keeps_its_last_map_is_written(tmp_path: Path) -> None:
    model = network()
    model.last = model(torch.randn(2, 1, 64, 64))  # with its graph, which no copy takes
    assert written(model, tmp_path).files


def test_what_no_file_holds_is_refused(tmp_path: Path) -> None:
    model = network()
    model.head_drop = Drawn(model.head_hidden_size)
    with pytest.raises(CheckpointError, match="computes something else"):
        written(model, tmp_path)


def test_a_folder_is_no_checkpoint_of_that_name() -> None:
    assert checkpoint_of("lanmsff") is not None and checkpoint_of(Path("lanmsff")) is None


def test_a_dry_run_takes_the_place_of_another(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "folder"
    assert {"LICENSE.md", "confusion.png"} <= set(written("lanmsff", folder).files)
    files = written(network(), folder).files
    assert {path.name for path in folder.iterdir()} == set(files) == {"model.safetensors", "config.json", "README.md"}


@pytest.mark.parametrize("more", ["notes.txt", "history.csv", ".git"])
def test_a_folder_of_others_is_left_alone(tmp_path: Path, more: str) -> None:
    written(network(), tmp_path)
    (tmp_path / more).write_text("mine")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with pytest.raises(CheckpointError, match="Nothing was written: name an empty or new folder"):
        written(network(), tmp_path)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_checkpoint_of_others_is_left_alone(tmp_path: Path) -> None:
    written(network(), tmp_path)
    content = config(tmp_path)
    del content["ferzoo"]
    (tmp_path / "config.json").write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="Nothing was written"):
        written(network(), tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(CheckpointError, match="out is no folder"):
        written(network(), tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


@pytest.mark.parametrize(("revision", "name"), [("", f'"hf-hub:{REPO}"'), ("trial", f'"hf-hub:{REPO}@trial"')])
def test_the_snippets_name_the_branch(tmp_path: Path, revision: str, name: str) -> None:
    written(network(), tmp_path, revision=revision)
    assert card(tmp_path).text.count(name) == 3
