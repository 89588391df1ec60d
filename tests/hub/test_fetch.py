"""Weights of a repository with the real client: what comes, what each failure says, and that nothing bad is kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hub_server import Hub
from huggingface_hub import constants
from safetensors.torch import save

import ferzoo
from ferzoo.errors import CheckpointError, CheckpointWarning, WeightsCorruptError, WeightsNotFoundError
from ferzoo.hub.pull import pull
from ferzoo.weights.folders import sha256_of
from ferzoo.weights.repository import fetch

REPO = "someone/net"
NAME = f"hf-hub:{REPO}"


def contents(seed: int = 0, **config: Any) -> dict[str, bytes]:
    """The files of a LANMSFF checkpoint, as timm writes them."""
    torch.manual_seed(seed)
    model: Any = ferzoo.create_model("lanmsff")
    cfg = {k: v for k, v in model.pretrained_cfg.items() if k not in ("file", "architecture", "hf_hub_id")}
    whole = {"architecture": "lanmsff", "num_classes": 8, "pretrained_cfg": cfg, **config}
    return {"model.safetensors": save(model.state_dict()), "config.json": json.dumps(whole).encode()}


@pytest.fixture
def net(hub: Hub) -> str:
    """Hash of the commit of a checkpoint."""
    return hub.add(REPO, contents())


def load(name: str = NAME, **kwargs: Any) -> torch.nn.Module:
    return ferzoo.create_model(name, pretrained=True, **kwargs)


def equal(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_a_commit_is_fetched_once_and_loads_offline(
    hub: Hub, net: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    first = load(f"{NAME}@{net}")
    assert len(hub.seen("GET .*(config.json|/storage/)")) == 2
    asked = len(hub.requests)
    assert equal(load(f"{NAME}@{net}"), first) and len(hub.requests) == asked
    assert equal(load(NAME), first)  # the cache then knows which commit main is
    hub.stop()
    assert equal(load(f"{NAME}@{net}", local_files_only=True), first)
    assert equal(load(NAME, local_files_only=True), first)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert equal(load(NAME), first)
    with pytest.raises(WeightsNotFoundError, match=r"config.json .* is not in the cache.*HF_HUB_OFFLINE"):
        load(NAME, cache_dir=tmp_path / "empty")


def test_both_files_are_of_one_commit(hub: Hub, net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.add(REPO, {"config.json": contents(1)["config.json"]})
    newer = contents(1)["model.safetensors"]

    def push_meanwhile(body: bytes) -> bytes:
        if hub.read(REPO, "main", "model.safetensors") != newer:
            hub.add(REPO, {"model.safetensors": newer})
        return body

    hub.alter(REPO, "config.json", push_meanwhile)
    found = fetch(NAME)
    assert (found.folder / "model.safetensors").read_bytes() == contents(0)["model.safetensors"]
    assert hub.commits(REPO)[0].sha != found.commit == hub.commits(REPO)[1].sha


def test_without_pretrained_only_the_config_is_fetched(hub: Hub, net: str) -> None:
    assert ferzoo.create_model(NAME, num_classes=5).num_classes == 5
    assert not hub.seen("GET .*safetensors")


def test_another_class_count_drops_the_classifier_and_says_so(hub: Hub, net: str) -> None:
    with pytest.warns(CheckpointWarning, match="8 classes and the network 3"):
        model = load(num_classes=3)
    whole = load()
    a, b = model.state_dict(), whole.state_dict()
    assert a["head.weight"].shape[0] == 3
    assert all(torch.equal(a[k], b[k]) for k in a if not k.startswith("head."))


@pytest.mark.parametrize("factory", [ferzoo.create_model, timm.create_model])
def test_a_repository_in_the_overlay_goes_before_the_weights_that_ship(hub: Hub, net: str, factory: Any) -> None:
    ferzoo.load_plugins()
    other = {"hf_hub_id": f"{REPO}@{net}", "crop_pct": 0.5}
    model = factory("lanmsff", pretrained=True, pretrained_cfg_overlay=other)
    assert equal(model, load()) and model.pretrained_cfg["crop_pct"] == 0.5
    assert not equal(model, ferzoo.create_model("lanmsff", pretrained=True))
    hub.add("someone/other", contents(1))
    model = load(pretrained_cfg_overlay={"hf_hub_id": "someone/other"})
    assert equal(model, load("hf-hub:someone/other"))


@pytest.mark.parametrize("name", ["lanmsff", NAME])
def test_facts_are_those_of_the_repository_in_the_overlay(hub: Hub, name: str) -> None:
    cfg = {"input_size": [1, 48, 48], "num_classes": 8, "classifier": "head", "first_conv": "stem.conv1.conv"}
    for repo, names, licence in ((REPO, "abcdefgh", "mit"), ("someone/other", "hgfedcba", "apache-2.0")):
        facts = {**cfg, "label_names": list(names), "license": licence}
        hub.add(repo, contents(pretrained_cfg=facts, ferzoo={"labels": names}))
    model: Any = load(name, pretrained_cfg_overlay={"hf_hub_id": "someone/other"})
    assert ("".join(model.pretrained_cfg["label_names"]), model.pretrained_cfg["license"]) == ("hgfedcba", "apache-2.0")
    assert model.ferzoo_cfg == {"labels": "hgfedcba"} and "description" not in model.pretrained_cfg


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ({"hf_hub_id": "nobody/none"}, "no repository nobody/none"),
        ({"hf_hub_id": REPO, "file": None, "source": "hf-hub", "hf_hub_filename": "x.bin"}, "='x.bin' out"),
        ({"url": "http://127.0.0.1:9/x.pth"}, "x.pth is not loaded: .* `ferzoo convert`"),
    ],
)
@pytest.mark.parametrize("name", ["lanmsff", NAME])
def test_a_source_in_the_overlay_is_not_left_out(
    hub: Hub, net: str, name: str, overlay: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        load(name, pretrained_cfg_overlay=overlay)


def private(hub: Hub) -> None:
    hub.store.repos[REPO].private = True


def gated(hub: Hub) -> None:
    hub.store.repos[REPO].gated = True


@pytest.mark.parametrize(
    ("prepare", "token", "name", "message"),
    [
        (private, "", NAME, f"no repository {REPO} .* or it is private: set HF_TOKEN"),
        (private, "hf_other", NAME, "no repository"),
        (None, "hf_wrong", NAME, r"refuses the token \(401\) for config.json of .*: set HF_TOKEN to a valid one"),
        (gated, "hf_other", NAME, "asks for its terms to be accepted"),
        (None, "", "hf-hub:someone/nothing", "no repository someone/nothing"),
        (None, "", f"{NAME}@nowhere", "has no revision 'nowhere'"),
        (None, "", "hf-hub:../../etc/passwd", "is no name of a Hub repository"),
        (None, "", "hf-hub:a/b/c", "is no name of a Hub repository"),
        (None, "", "hf-hub:", "is no name of a Hub repository"),
        (None, "", "hf-hub:someone/lanmsff@", "names no revision after the @"),
    ],
)
def test_what_cannot_be_read_is_said(
    hub: Hub,
    net: str,
    monkeypatch: pytest.MonkeyPatch,
    prepare: Callable[[Hub], None] | None,
    token: str,
    name: str,
    message: str,
) -> None:
    if prepare:
        prepare(hub)
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(WeightsNotFoundError, match=message):
        load(name)


def test_a_private_repository_with_its_token(hub: Hub, net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    private(hub)
    monkeypatch.setenv("HF_TOKEN", hub.read_token)
    load()


@pytest.mark.parametrize("file", ["pytorch_model.bin", "model.pth"])
@pytest.mark.parametrize("factory", [ferzoo.create_model, timm.create_model], ids=["ferzoo", "timm"])
def test_a_repository_of_pickles_is_refused_with_the_reason(hub: Hub, file: str, factory: Any) -> None:
    hub.add(REPO, {file: b"pickle", "config.json": contents()["config.json"]})
    ferzoo.load_plugins()
    with pytest.raises(CheckpointError, match="holds no model.safetensors. Loading a pickle .* can run code"):
        factory(NAME, pretrained=True)
    assert not hub.seen(f"GET .*{file}")


def test_too_many_requests_are_tried_again(hub: Hub, net: str, naps: list[float]) -> None:
    hub.fail("HEAD|GET", 429, times=2, headers={"Retry-After": "0"})
    load()


def test_a_hub_that_is_down_is_named(hub: Hub, net: str, naps: list[float]) -> None:
    hub.fail("HEAD|GET", 503, times=1000)
    with pytest.raises(WeightsNotFoundError, match=f"is not in the cache, and {hub.endpoint} was not reached"):
        load()
    hub.repair()
    load()


def test_a_cut_download_goes_on_where_it_was(hub: Hub, naps: list[float], tmp_path: Path) -> None:
    chunk = constants.DOWNLOAD_CHUNK_SIZE  # what the client keeps of a cut download: whole chunks
    big = save({"a": torch.arange(chunk // 4 + 600_000, dtype=torch.int32)})
    hub.add(REPO, {**contents(), "model.safetensors": big})
    hub.cut("GET /storage", after=chunk + 1_000_000)
    assert (fetch(NAME).folder / "model.safetensors").read_bytes() == big
    assert [(r.status, r.range) for r in hub.seen("GET /storage")] == [(200, None), (206, f"bytes={chunk}-")]


def altered(hub: Hub) -> None:
    hub.alter(REPO, "model.safetensors", lambda body: body[:-4] + bytes(4))


def shortened(hub: Hub) -> None:
    hub.truncate(REPO, "model.safetensors", 100_000, honest=True)


def cut_for_ever(hub: Hub) -> None:
    hub.truncate(REPO, "model.safetensors", 100_000)


@pytest.mark.parametrize("fault", [altered, shortened, cut_for_ever])
def test_what_is_damaged_on_the_way_is_refused_and_not_kept(
    hub: Hub, net: str, naps: list[float], fault: Callable[[Hub], None]
) -> None:
    fault(hub)
    for _ in range(2):
        with pytest.raises(CheckpointError, match="is damaged|cannot be fetched|was not reached"):
            load()
    hub.repair()
    assert (fetch(NAME).folder / "model.safetensors").read_bytes() == contents()["model.safetensors"]
    load()


def test_what_is_damaged_in_the_cache_is_found_and_fetched_again(hub: Hub, net: str) -> None:
    path = fetch(NAME).folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + b"x")
    with pytest.raises(WeightsCorruptError, match="It was taken out of the cache"):
        load(local_files_only=True)
    load()
    assert path.read_bytes() == content


def test_the_sha256_of_the_config_is_compared(hub: Hub) -> None:
    hub.add(REPO, contents(ferzoo={"sha256": "0" * 64}))
    for factory in (ferzoo.create_model, timm.create_model):
        with pytest.raises(WeightsCorruptError, match=f"config.json of the Hub repository {REPO}"):
            factory(NAME, pretrained=True)
    with pytest.raises(WeightsCorruptError):
        pull([NAME])


def run(hub: Hub, code: str, **kwargs: Any) -> subprocess.Popen[str]:
    env = {**os.environ, **hub.env()}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs
    )


def test_eight_processes_and_one_cold_cache(hub: Hub, net: str) -> None:
    code = (
        "from ferzoo.weights.repository import fetch; from ferzoo.weights.folders import sha256_of\n"
        f"print(sha256_of(fetch({NAME!r}).folder / 'model.safetensors'))"
    )
    running = [run(hub, code) for _ in range(8)]
    printed = [process.communicate(timeout=120) for process in running]
    assert all(process.returncode == 0 for process in running), printed
    assert len({out for out, _ in printed}) == 1
    assert printed[0][0].strip() == sha256_of(fetch(NAME).folder / "model.safetensors")
    load()


def test_a_full_disk_leaves_nothing_that_is_trusted(hub: Hub, net: str) -> None:
    resource = pytest.importorskip("resource", reason="limits of the size of a file are POSIX")
    code = (
        "from ferzoo.errors import FerzooError; from ferzoo.weights.repository import fetch\n"
        f"try:\n    fetch({NAME!r})\nexcept FerzooError as error:\n    print(error)"
    )
    limited = run(hub, code, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000)))
    out, err = limited.communicate(timeout=120)
    assert "model.safetensors" in out and "File too large" in out and "Traceback" not in err
    load()
