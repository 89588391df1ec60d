"""Hashes of the Hub in every kind of cache: without links, offline, linked further, and of a mirror."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from hub_server import Hub
from hub_store import Blob
from safetensors.torch import load_file, save

import ferzoo
from ferzoo.errors import CheckpointError, UnknownNameError, WeightsCorruptError
from ferzoo.registry.load import is_folder, load_model
from ferzoo.weights.repository import fetch

REPO = "someone/net"
NAME = f"hf-hub:{REPO}"


def contents(sha256: bool = False) -> dict[str, bytes]:
    weights = save(ferzoo.create_model("lanmsff").state_dict())
    cfg = {"input_size": [1, 48, 48], "mean": [0.5], "std": [0.5], "num_classes": 8, "first_conv": "stem.conv1.conv"}
    config: dict = {"architecture": "lanmsff", "num_classes": 8, "pretrained_cfg": {**cfg, "classifier": "head"}}
    if sha256:
        config["ferzoo"] = {"sha256": hashlib.sha256(weights).hexdigest()}
    return {"model.safetensors": weights, "config.json": json.dumps(config).encode()}


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda *_: False)


def alter(hub: Hub) -> None:
    hub.alter(REPO, "model.safetensors", lambda body: body[:-4] + bytes(4))


def weights_of(name: str = NAME, **kwargs: object) -> Path:
    return fetch(name, **kwargs).folder / "model.safetensors"


def test_without_links_what_is_altered_is_refused_and_not_kept(hub: Hub, no_links: None) -> None:
    hub.add(REPO, contents())
    alter(hub)
    for _ in range(2):
        with pytest.raises(WeightsCorruptError, match="the Hub says .* It was taken out of the cache"):
            ferzoo.create_model(NAME, pretrained=True)
    hub.repair()
    path = weights_of()
    assert not path.is_symlink() and path.read_bytes() == hub.read(REPO, "main", "model.safetensors")


def test_without_links_the_hub_is_asked_once_and_the_hash_kept(hub: Hub, no_links: None) -> None:
    commit = hub.add(REPO, contents())
    path = weights_of(f"{NAME}@{commit}")
    asked = len(hub.requests)
    assert weights_of(f"{NAME}@{commit}") == path and len(hub.requests) == asked
    hub.stop()
    ferzoo.create_model(f"{NAME}@{commit}", pretrained=True, local_files_only=True)
    with path.open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"evil")
    with pytest.raises(WeightsCorruptError, match="is damaged"):
        ferzoo.create_model(f"{NAME}@{commit}", pretrained=True, local_files_only=True)
    assert not path.exists()


@pytest.mark.parametrize("stated", [False, True])
def test_offline_weights_whose_hash_nobody_states_are_refused(hub: Hub, no_links: None, stated: bool) -> None:
    hub.add(REPO, contents(stated))
    folder = fetch(NAME).folder
    shutil.rmtree(folder.parents[1] / "ferzoo-etags")  # as if another program had fetched them
    if stated:
        ferzoo.create_model(NAME, pretrained=True, local_files_only=True)
        return
    with pytest.raises(CheckpointError, match=f"cannot be checked: .* Load it once .* local-dir:{folder}"):
        ferzoo.create_model(NAME, pretrained=True, local_files_only=True)
    ferzoo.create_model(f"local-dir:{folder}", pretrained=True)
    ferzoo.create_model(NAME, pretrained=True)
    ferzoo.create_model(NAME, pretrained=True, local_files_only=True)


def test_a_blob_may_be_linked_further(hub: Hub, tmp_path: Path) -> None:
    hub.add(REPO, contents())
    path = weights_of()
    store = tmp_path / "store" / ("0" * 64)  # the client's store for several caches has names of its own
    store.parent.mkdir()
    blob = path.parent / os.readlink(path)
    shutil.move(blob, store)
    blob.symlink_to(store)
    ferzoo.create_model(NAME, pretrained=True)
    store.write_bytes(store.read_bytes()[:-4] + bytes(4))
    with pytest.raises(WeightsCorruptError, match="It was taken out of the cache"):
        ferzoo.create_model(NAME, pretrained=True)
    assert not store.exists()
    ferzoo.create_model(NAME, pretrained=True)


ETAGS = {
    "sha1": lambda content: hashlib.sha1(content).hexdigest(),
    "md5": lambda content: hashlib.md5(content).hexdigest(),
    "none": lambda content: "v1-" + hashlib.md5(content).hexdigest(),
}


@pytest.mark.parametrize("kind", ETAGS)
def test_the_etags_of_mirrors(hub: Hub, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    monkeypatch.setattr(Blob, "etag", property(lambda blob: ETAGS[kind](blob.content)))
    hub.add(REPO, contents())
    if kind == "none":
        with pytest.raises(CheckpointError, match="states none"):
            fetch(NAME)
        hub.add(REPO, contents(sha256=True))
    own, held = ferzoo.create_model(NAME, pretrained=True).state_dict(), load_file(weights_of())
    assert all(torch.equal(own[name], tensor) for name, tensor in held.items())
    alter(hub)
    shutil.rmtree(weights_of().parents[2])
    with pytest.raises(WeightsCorruptError, match="is damaged"):
        ferzoo.create_model(NAME, pretrained=True)


@pytest.mark.parametrize("load", [ferzoo.create_model, load_model])
def test_a_name_without_its_prefix_is_answered_with_it(load: object) -> None:
    with pytest.raises((UnknownNameError, CheckpointError), match="Write hf-hub:someone/t@v1 for a repository"):
        load("someone/t@v1")


def test_what_is_a_folder_and_what_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("lanmsff", "lanmsff.ferplus", "mine"):
        Path(name).mkdir()
    names = ("lanmsff", "lanmsff.ferplus", "nowhere", "hf-hub:someone/t", "HF-HUB:someone/t", "local-dir:mine")
    assert not any(map(is_folder, names))
    assert all(map(is_folder, ("mine", "./lanmsff", "some/where", Path("lanmsff"), ".", str(tmp_path))))
