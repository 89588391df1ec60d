"""Pushing to where something is already: what counts as a new version, what is asked, and what stays private."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hub_server import Hub

import ferzoo
from ferzoo.cli.main import main
from ferzoo.errors import CheckpointError
from ferzoo.hub.push import push_to_hub
from ferzoo.weights import configs
from ferzoo.weights.configs import checkpoints

REPO = "someone/lanmsff-mine"
NAME = "lanmsff.ferplus"


def network(**kwargs: Any) -> torch.nn.Module:
    return ferzoo.create_model("lanmsff", **kwargs)


@pytest.fixture
def described(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of hub_configs that tests may write to."""
    folder = tmp_path / "hub_configs"
    folder.mkdir()
    for path in configs.config_folder().glob("*.yaml"):
        (folder / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(configs, "config_folder", lambda: folder)
    checkpoints.cache_clear()
    yield folder
    checkpoints.cache_clear()


def test_a_pinned_checkpoint_loads_from_the_hub_alone(
    hub: Hub, described: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = ferzoo.create_model(NAME, pretrained=True).state_dict()
    assert main(["push", "--all", "--org", "someone", "--pin"]) == 0
    pinned = checkpoints()[NAME]
    assert (pinned.repo, pinned.revision) == (f"someone/{NAME}", hub.commits(f"someone/{NAME}")[0].sha)
    # Without the file that ships, the next source is the Hub, and its file is the one that the YAML describes.
    monkeypatch.setattr(configs, "wheel_folder", lambda: tmp_path)
    assert checkpoints()[NAME].shipped() is None
    hub.requests.clear()
    found = ferzoo.create_model(NAME, pretrained=True).state_dict()
    assert hub.seen("^GET .*model.safetensors")
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_what_was_pushed_before_an_error_is_pinned(
    hub: Hub, described: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *_ = (c.name for c in checkpoints().values() if c.shipped())
    hub.fail(f"POST .*/{second}/commit/", 403, times=9)
    assert main(["push", "--all", "--org", "someone", "--pin"]) == 2
    said = capsys.readouterr().err
    assert f"pushed: {first} to someone/{first}" in said and "may not write" in said
    assert checkpoints()[first].revision == hub.commits(f"someone/{first}")[0].sha
    assert checkpoints()[second].repo is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--metrics", "x.json"], "--metrics would say the same of every checkpoint"),
        (["--license", "mit", "--dataset", "x"], "--dataset, --license would say the same"),
        (["--pin", "--dtype", "float32"], "--pin goes with --all alone"),
        (["--pin", "--dry-run"], "--pin goes with --all alone"),
    ],
)
def test_what_does_not_go_with_all(hub: Hub, arguments: list[str], message: str, capsys: Any) -> None:
    assert main(["push", "--all", "--org", "someone", *arguments]) == 2
    assert message in capsys.readouterr().err and hub.requests == []


def test_an_installed_package_is_not_written_to(hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(configs, "config_folder", lambda: configs._PACKAGE / "hub_configs")
    assert main(["push", "--all", "--org", "someone", "--pin"]) == 2
    assert "run it in a checkout" in capsys.readouterr().err and hub.requests == []


def test_private_does_not_publish(hub: Hub) -> None:
    before = hub.add(REPO, {})
    with pytest.raises(CheckpointError, match="is there already, and public: nothing was sent"):
        push_to_hub(network(), REPO, private=True)
    assert hub.commits(REPO)[0].sha == before


@pytest.mark.parametrize(
    ("first", "second", "held"),
    [
        (dict(model=NAME), dict(model=dict(num_classes=3)), "lanmsff.ferplus, 8 classes, trained on ferplus"),
        (dict(model={}, dataset="mine"), dict(model={}, dataset="theirs"), "lanmsff, 8 classes, trained on mine"),
        (dict(model=dict(num_classes=3)), dict(model=dict(num_classes=4)), "lanmsff, 3 classes: "),
    ],
)
def test_other_weights_of_the_same_network_are_something_else(hub: Hub, first: Any, second: Any, held: str) -> None:
    def push(model: Any, **kwargs: Any) -> Any:
        return push_to_hub(model if isinstance(model, str) else network(**model), REPO, **kwargs)

    push(**first)
    before = hub.commits(REPO)[0].sha
    with pytest.raises(CheckpointError, match=f"{REPO} holds {held}.*Nothing was sent.*--yes"):
        push(**second)
    assert hub.commits(REPO)[0].sha == before
    pushed = push(**second, overwrite=True)
    there = set(hub.commits(REPO)[0].files) - {".gitattributes"}
    assert there == set(pushed.files), "what was true of the first alone is gone"


def test_a_new_version_needs_no_leave_and_keeps_what_others_added(hub: Hub) -> None:
    found = {"accuracy": 50.0, "rows": 8, "classes": ["a", "b"], "confusion": [[2, 2], [2, 2]]}
    push_to_hub(network(num_classes=2), REPO, metrics={"test": found})
    hub.add(REPO, {"LICENSE.md": b"my own terms", "notes.txt": b"mine"})
    push_to_hub(network(num_classes=2), REPO)
    files = set(hub.commits(REPO)[0].files)
    assert {"LICENSE.md", "notes.txt"} <= files and "confusion.png" not in files


def test_a_private_repository_is_known_by_the_given_token(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    token = os.environ["HF_TOKEN"]
    monkeypatch.delenv("HF_TOKEN")
    push_to_hub(network(num_classes=3), REPO, private=True, token=token)
    push_to_hub(network(num_classes=3), REPO, private=True, token=token)
    assert not list((hub.home / "hub").glob("models--*")), "nothing of it stays in the cache"


NOT_NAMES = ["justname", "hf-hub:me/x", "me/x@v1", "me/a--b", "me/x.git", "me/" + "x" * 97, "a/b/c"]


@pytest.mark.parametrize("name", NOT_NAMES)
def test_a_name_that_is_none_is_refused_before_anything_is_written(hub: Hub, name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is no repository to push to: write ORG/REPO"):
        push_to_hub(NAME, name, dry_run=tmp_path / "out")
    assert not (tmp_path / "out").exists() and hub.requests == []


def test_an_unknown_branch_of_a_pull_request_is_named(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", NAME, REPO, "--pr", "--revision", "nowhere"]) == 2
    assert "There is no such repository or branch" in capsys.readouterr().err


def test_nobody_at_the_terminal_is_a_no(hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    before = hub.add(REPO, {"notes.txt": b"mine"})

    def ends(_: str) -> str:
        raise EOFError

    monkeypatch.setattr("builtins.input", ends)
    monkeypatch.setattr("sys.stdin", type("Terminal", (), {"isatty": lambda self: True})())
    assert main(["push", NAME, REPO]) == 2 and "--yes" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", None)
    assert main(["push", NAME, REPO]) == 2
    assert hub.commits(REPO)[0].sha == before


def test_the_arguments_of_a_network_from_the_hub_go_with_it(hub: Hub) -> None:
    push_to_hub(ferzoo.create_model("lfn", img_size=64, num_classes=5), "someone/first")
    push_to_hub("hf-hub:someone/first", "someone/second")
    config = json.loads(hub.read("someone/second", "main", "config.json"))
    assert config["num_classes"] == 5 and ferzoo.create_model("hf-hub:someone/second", pretrained=True)


def test_a_full_disk_sends_nothing(hub: Hub, largest_file: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The command may write no file of more than 100 kB."""
    with largest_file(100_000):
        assert main(["push", NAME, REPO]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said and "File too large" in said
    assert not hub.seen("POST .*/commit/")
