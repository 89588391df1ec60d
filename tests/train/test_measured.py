"""Which data set is measured on where nobody says it, and what is said where it or its split cannot be read."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from measured_networks import Brightness
from PIL import Image

import ferzoo
from ferzoo.errors import DataError, UnknownNameError
from ferzoo.labels import FER2013, LABELS
from ferzoo.train.checkpoint import write_checkpoint
from ferzoo.train.measured import dataset_of, read_measured

CLASSES = ("happy", "sad")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("faces")
    for number, split in enumerate(("train", "test")):
        for name in CLASSES:
            (root / split / name).mkdir(parents=True)
            Image.fromarray(np.full((8, 8), 40 * number, np.uint8)).save(root / split / name / "0.png")
    return root


def network(names: tuple[str, ...] = ("cat",), **stated: object) -> SimpleNamespace:
    return SimpleNamespace(pretrained_cfg={"label_names": list(names)}, ferzoo_cfg=stated)


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (network(FER2013, labels="folder"), "folder"),
        (network(FER2013, dataset="rafdb", labels="fer2013"), "rafdb"),
        (network(FER2013, dataset="", labels=None), "fer2013"),
        (network(), ""),
        (network(FER2013[::-1]), ""),
        (object(), ""),
        *((network(labels), name) for name, labels in LABELS.items()),
    ],
)
def test_what_the_weights_say(model: object, name: str) -> None:
    assert dataset_of(model) == name


def test_a_checkpoint_that_ships_says_it() -> None:
    for name, dataset in (("lanmsff.fer2013", "fer2013"), ("lanmsff.ferplus", "ferplus")):
        assert dataset_of(ferzoo.create_model(name, pretrained=True)) == dataset


def test_a_run_is_measured_on_its_own_data_set(folder: Path, tmp_path: Path) -> None:
    model = ferzoo.create_model("lanmsff", num_classes=2)
    cfg = {k: v for k, v in model.pretrained_cfg.items() if k not in ("file", "hf_hub_id", "url", "tag")}
    cfg |= {"architecture": "lanmsff", "num_classes": 2, "label_names": CLASSES}
    write_checkpoint(tmp_path, model, cfg, {"grayscale": True, "labels": "folder"})
    found = ferzoo.evaluate(tmp_path, folder, split="test")
    assert (found["dataset"], found["split"], found["classes"]) == ("folder", "test", list(CLASSES))
    with pytest.raises(DataError, match="FERPlus"):
        ferzoo.evaluate(tmp_path, folder, split="test", dataset="ferplus")


def test_the_name_alone_decides_where_it_is_given(folder: Path) -> None:
    assert read_measured(folder, "folder", "test", networks=[network(labels="rafdb")]).dataset == "folder"


@pytest.mark.parametrize(
    ("networks", "message"),
    [
        ([], "FERPlus.*ferplus was taken unasked: name another data set by dataset='NAME'"),
        ([network(labels="rafdb")], "RAF-DB.*rafdb was taken unasked"),
        ([network(labels="hf:someone/faces")], "'hf:someone/faces', which is none of fer2013, .*by dataset='NAME'"),
        ([network(labels="rafdb"), network(FER2013)], "different data sets, fer2013, rafdb"),
    ],
)
def test_data_that_the_weights_do_not_fit(networks: list, message: str, folder: Path) -> None:
    with pytest.raises(DataError, match=message):
        read_measured(folder, split="test", networks=networks)
    with pytest.raises(DataError) as raised:
        read_measured(folder, "ferplus", "test", networks=networks)
    assert "unasked" not in str(raised.value)


@pytest.mark.parametrize(
    ("dataset", "split", "message"),
    [
        ("rafdb", "validation", r"splits of RAF-DB are train, test\. Take one of them by split='test'\."),
        ("kdef", "valid", r"Did you mean 'validation'.*by split='validation'"),
        ("folder", "validation", r"It has test, train;.*by split='NAME'"),
    ],
)
def test_a_split_that_does_not_exist(dataset: str, split: str, message: str, folder: Path) -> None:
    with pytest.raises(UnknownNameError, match=message):
        ferzoo.evaluate(Brightness(FER2013), folder, dataset=dataset, split=split)
