"""hub_configs: what a description says, what makes it invalid, and that the real ones are sound."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from timm.models import PretrainedCfg

from ferzoo.errors import CheckpointError
from ferzoo.labels import LABELS
from ferzoo.registry import entry_points as ep
from ferzoo.weights.configs import Checkpoint, checkpoints, config_folder, recipe_facts, wheel_folder
from ferzoo.weights.folders import Weights, look_in, sha256_of
from ferzoo.weights.resolve import default_tag

PROJECT = Path(__file__).parents[2] / "pyproject.toml"
REAL = sorted(checkpoints().values(), key=lambda checkpoint: checkpoint.name)


def test_a_description_becomes_a_checkpoint(describe: Any) -> None:
    describe(metrics={"validation": {"accuracy": 80.0}}, repo="someone/lfnsb", revision="a" * 40)
    [checkpoint] = checkpoints().values()
    assert (checkpoint.name, checkpoint.file) == ("lfnsb.ferplus", "lfnsb.ferplus.safetensors")
    assert checkpoint.metrics == {"validation": {"accuracy": 80.0}}
    assert checkpoint.training == checkpoint.ferzoo == {}


@pytest.mark.parametrize(
    ("changes", "source"),
    [
        ({}, {}),
        ({"repo": "someone/lfnsb"}, {"hf_hub_id": "someone/lfnsb"}),
        ({"repo": "someone/lfnsb", "revision": "v1"}, {"hf_hub_id": "someone/lfnsb@v1"}),
    ],
)
def test_the_cfg_is_timms_and_names_the_classes(describe: Any, changes: dict[str, str], source: dict[str, str]) -> None:
    describe(labels="rafdb", **changes)
    cfg = checkpoints()["lfnsb.ferplus"].pretrained_cfg()
    assert cfg["num_classes"] == 7
    assert cfg["label_names"] == LABELS["rafdb"]
    assert {key: cfg[key] for key in ("hf_hub_id", "file", "url") if key in cfg} == source
    assert bool(PretrainedCfg(**cfg).has_weights) == bool(source)


def test_the_cfg_names_the_shipped_file(describe: Any, package: Path) -> None:
    describe()
    shipped = package / "weights" / "lfnsb.ferplus.safetensors"
    shipped.write_bytes(b"tensors")
    assert checkpoints()["lfnsb.ferplus"].pretrained_cfg()["file"] == str(shipped)


def test_the_first_tag_is_the_default(describe: Any) -> None:
    assert default_tag("lfnsb") is None
    describe(tag="rafdb", labels="rafdb")
    describe()
    assert (default_tag("lfnsb"), default_tag("lanmsff")) == ("ferplus", None)


@pytest.mark.parametrize("fact", ["architecture", "tag", "sha256", "labels", "cfg", "license", "description"])
def test_a_missing_fact_is_named(describe: Any, fact: str) -> None:
    path = describe("lfnsb.ferplus.yaml", **{fact: None})
    with pytest.raises(CheckpointError, match=rf"{re.escape(str(path))} is no valid .*'{fact}'"):
        checkpoints()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "'colour'"),
        ({"labels": "fer+"}, "Unknown label set 'fer\\+'.*'ferplus'"),
        ({"labels": 7}, "labels must be a str"),
        ({"cfg": ["input_size"], "metrics": "82 %"}, "cfg must be a dict, metrics must be a dict"),
        ({"sha256": "abc"}, "64 hexadecimal digits, not 'abc'"),
        ({"revision": "a" * 40}, "a revision needs the repo"),
        ({"metrics": {"validation": {"accuracy": "82 %"}}}, "metrics.validation .* no accuracy"),
    ],
)
def test_a_fact_that_cannot_be_is_named(describe: Any, changes: dict[str, str], message: str) -> None:
    describe(**changes)
    with pytest.raises(CheckpointError, match=message):
        checkpoints()


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [1", "just words"])
def test_a_file_that_is_no_description_is_named(package: Path, text: str) -> None:
    (package / "hub_configs" / "lfnsb.x.yaml").write_text(text)
    with pytest.raises(CheckpointError, match="lfnsb.x.yaml is no valid checkpoint description"):
        checkpoints()


def test_a_file_is_named_as_its_checkpoint(describe: Any) -> None:
    describe("lfnsb.other.yaml")
    with pytest.raises(CheckpointError, match="rename the file to lfnsb.ferplus.yaml"):
        checkpoints()


def test_a_checkout_has_its_descriptions_beside_the_package(package: Path) -> None:
    assert config_folder() == package / "hub_configs"
    (package / "hub_configs").rmdir()
    assert config_folder() == package.parent / "hub_configs"


@pytest.mark.parametrize(
    ("init", "kept"),
    [
        ("", ""),
        ("lfnsb.ferplus", "lfnsb.ferplus"),
        ("hf-hub:someone/lfnsb@v1", "hf-hub:someone/lfnsb@v1"),
        ("fast", "fast"),
        ("runs/fast/", "fast"),
        ("~/runs/fast", "fast"),
        ("C:\\runs\\fast", "fast"),
        ("~/runs/fast + lfnsb.ferplus  + D:\\a+b", "fast + lfnsb.ferplus + a+b"),
    ],
)
def test_a_recipe_keeps_no_path(init: str, kept: str) -> None:
    recipe = {"model": "lfnsb", "init": init, "teacher": init, "data": "x", "out": "y", "device": "cpu", "lr": 0.1}
    assert recipe_facts(recipe) == {"model": "lfnsb", "init": kept, "teacher": kept, "lr": 0.1}
    assert recipe_facts({"model": "lfnsb"}) == {"model": "lfnsb"}


@pytest.mark.parametrize("checkpoint", REAL, ids=lambda checkpoint: checkpoint.name)
def test_the_real_ones_are_sound(checkpoint: Checkpoint) -> None:
    assert checkpoint.architecture in ep.entries("model")
    assert re.fullmatch("[0-9a-f]{64}", checkpoint.sha256)
    recipe = checkpoint.training["recipe"]
    assert recipe == recipe_facts(recipe)
    cfg = PretrainedCfg(**checkpoint.pretrained_cfg())
    assert bool(cfg.has_weights) == bool(checkpoint.repo or checkpoint.shipped())
    if cfg.file:
        assert sha256_of(Path(cfg.file)) == checkpoint.sha256


@pytest.mark.skipif(not PROJECT.is_file(), reason="an installed package has no pyproject.toml")
def test_the_wheel_has_every_description_and_no_large_weights() -> None:
    packed = re.findall(r'^"(hub_configs/.*)" = "ferzoo/(hub_configs/.*)"$', PROJECT.read_text(), re.MULTILINE)
    assert packed == [(path, path) for path in sorted(f"hub_configs/{c.name}.yaml" for c in REAL)]


@pytest.mark.parametrize("checkpoint", REAL, ids=lambda checkpoint: checkpoint.name)
def test_weights_outside_the_wheel_have_their_facts_beside_them(checkpoint: Checkpoint) -> None:
    path = checkpoint.shipped()
    if path is None or path.parent == wheel_folder():
        return
    found = look_in(path.parent, checkpoint.name)
    assert isinstance(found, Weights) and found.ferzoo == checkpoint.ferzoo
    assert {**found.cfg, "file": str(path)} == json.loads(json.dumps(checkpoint.pretrained_cfg()))
