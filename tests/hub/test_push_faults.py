"""What goes wrong in a push: one line that says what to do, and nothing half published."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
import torch
from hub_server import Hub
from huggingface_hub import constants

import ferzoo
from ferzoo.errors import CheckpointError
from ferzoo.hub import client, push
from ferzoo.hub.push import push_to_hub

REPO = "someone/lanmsff-mine"


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return ferzoo.create_model("lanmsff", num_classes=4)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that a push would wait; it does not."""
    waited: list[float] = []
    monkeypatch.setattr(client, "time", SimpleNamespace(sleep=waited.append))
    return waited


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("hf_wrong", "The token is missing or wrong"),
        ("hf_read", "may not write to"),
        ("hf_other", "may not write to"),
        ("", "There is no token|The token is missing"),
    ],
)
def test_tokens(hub: Hub, model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch, token: str, message: str) -> None:
    before = hub.add(REPO, {})
    monkeypatch.setenv("HF_TOKEN", token) if token else monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(CheckpointError, match=message):
        push_to_hub(model, REPO)
    assert hub.commits(REPO)[0].sha == before


def test_offline(hub: Hub, model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.utils._http.constants.HF_HUB_OFFLINE", True)
    assert constants.HF_HUB_OFFLINE
    with pytest.raises(CheckpointError, match="HF_HUB_OFFLINE is set"):
        push_to_hub(model, REPO)
    assert hub.requests == []


@pytest.mark.parametrize("pattern", ["POST .*/repos/create", "GET .*/api/models/", "POST .*/commit/"])
def test_a_rate_limit_is_waited_for(hub: Hub, model: torch.nn.Module, patience: list[float], pattern: str) -> None:
    hub.fail(pattern, 429, times=2, headers={"Retry-After": "7"})
    push_to_hub(model, REPO)
    assert patience == [7.0, 7.0]
    hub.fail(pattern, 429, times=10)
    with pytest.raises(CheckpointError, match="asks for fewer requests"):
        push_to_hub(ferzoo.create_model("lanmsff", num_classes=4), REPO)
    assert patience == [7.0, 7.0, 2.0, 8.0, 30.0]


@pytest.mark.parametrize("pattern", ["POST .*/repos/create", "POST .*/batch", "PUT /storage", "POST .*/commit/"])
def test_a_hub_that_fails(
    hub: Hub, model: torch.nn.Module, naps: list[float], patience: list[float], pattern: str
) -> None:
    hub.add(REPO, {})
    before = hub.commits(REPO)[0].sha
    hub.fail(pattern, 500, times=100)
    with pytest.raises(CheckpointError, match=r"Push again later\.$|^The push to .* failed: "):
        push_to_hub(model, REPO)
    assert hub.commits(REPO)[0].sha == before
    hub.repair()
    push_to_hub(model, REPO)


@pytest.mark.parametrize("after", [None, 0])
def test_a_commit_whose_answer_is_lost(hub: Hub, model: torch.nn.Module, naps: list[float], after: int | None) -> None:
    hub.cut("POST .*/commit/", after=after, times=100)
    with pytest.raises(CheckpointError, match=f"See .*/{REPO} for what is there; pushing again is safe"):
        push_to_hub(model, REPO)
    hub.repair()
    pushed = push_to_hub(model, REPO)
    assert hub.commits(REPO)[0].sha == pushed.commit


def test_the_same_again_makes_no_commit(hub: Hub, model: torch.nn.Module) -> None:
    first = push_to_hub(model, REPO)
    count = len(hub.commits(REPO))
    assert push_to_hub(model, REPO).commit == first.commit and len(hub.commits(REPO)) == count
    assert push_to_hub(model, REPO, create_pr=True).revision == first.commit


def test_a_change_meanwhile_is_not_written_over(
    hub: Hub, model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = push.allowed

    def ask_then_change(*args: object) -> object:
        parent = asked(*args)
        hub.add(REPO, {"theirs.txt": b"meanwhile"})
        return parent

    monkeypatch.setattr(push, "allowed", ask_then_change)
    with pytest.raises(CheckpointError, match="It was changed meanwhile"):
        push_to_hub(model, REPO)
    assert "model.safetensors" not in hub.commits(REPO)[0].files


@pytest.mark.parametrize("file", ["model.safetensors", "README.md"])
def test_what_comes_back_otherwise_is_an_error(hub: Hub, model: torch.nn.Module, file: str) -> None:
    hub.alter(REPO, file, lambda body: body[:-1] + bytes([body[-1] ^ 1]))
    with pytest.raises(CheckpointError, match="^The commit was made, see .*(is damaged|is not what was sent|differs)"):
        push_to_hub(model, REPO)


def test_a_network_that_cannot_be_rebuilt_is_not_sent(hub: Hub) -> None:
    model = ferzoo.create_model("lanmsff")
    model.extra = torch.nn.Linear(2, 2)
    with pytest.raises(CheckpointError, match="cannot be rebuilt from what was written: .*unexpected: extra"):
        push_to_hub(model, REPO)
    with pytest.raises(CheckpointError, match="only networks built by timm"):
        push_to_hub(torch.nn.Linear(2, 2), REPO)
    assert hub.requests == []


def test_the_config_holds_no_place_of_this_machine(hub: Hub) -> None:
    push_to_hub("lanmsff", REPO)
    text = hub.read(REPO, "main", "config.json").decode()
    assert str(ferzoo.__path__[0]) not in text and "file" not in json.loads(text)["pretrained_cfg"]
