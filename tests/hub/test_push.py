"""Push with the real client against a Hub of the test's own: what arrives, what is refused, and what comes back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from hub_server import Hub
from huggingface_hub import ModelCard
from PIL import Image
from safetensors.torch import load

import ferzoo
from ferzoo.cli.main import main
from ferzoo.errors import CheckpointError
from ferzoo.hub.checks import PARTS
from ferzoo.hub.push import push_to_hub
from ferzoo.registry.load import load_model
from ferzoo.weights.configs import checkpoints

REPO = "someone/lanmsff-mine"
FILES = {"model.safetensors", "config.json", "README.md", "confusion.png", "LICENSE.md"}


def network(**kwargs: Any) -> torch.nn.Module:
    """LANMSFF with random weights and running statistics."""
    model = ferzoo.create_model("lanmsff", **kwargs)
    for name, tensor in model.state_dict().items():
        if name.endswith(("running_mean", "running_var")):
            tensor.uniform_(0.5, 1.5)
    return model


def same(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def test_a_checkpoint_of_the_zoo_arrives_whole(hub: Hub) -> None:
    pushed = ferzoo.push_to_hub("lanmsff", REPO)
    assert pushed.name == "lanmsff.ferplus" and set(pushed.files) == FILES
    newest = hub.commits(REPO)[0]
    assert newest.sha == pushed.commit == pushed.revision and FILES <= set(newest.files)
    assert newest.title == "Add lanmsff.ferplus"
    config = json.loads(hub.read(REPO, "main", "config.json"))
    assert config["architecture"] == "lanmsff" and config["num_classes"] == 8
    known = checkpoints()["lanmsff.ferplus"]
    assert config["ferzoo"]["metrics"] == known.metrics and config["ferzoo"]["grayscale"] is True
    assert config["ferzoo"]["sha256"] == pushed.files["model.safetensors"]
    expected = ferzoo.create_model("lanmsff", pretrained=True)
    for model in (
        ferzoo.create_model(f"hf-hub:{REPO}", pretrained=True),
        ferzoo.create_model(f"hf-hub:{REPO}@{pushed.commit}", pretrained=True),
        timm.create_model(f"hf-hub:{REPO}", pretrained=True),
    ):
        assert same(model, expected)
        assert tuple(model.pretrained_cfg["label_names"]) == expected.pretrained_cfg["label_names"]
        assert tuple(model.pretrained_cfg["input_size"]) == tuple(expected.pretrained_cfg["input_size"])
        assert model.ferzoo_cfg["grayscale"] is True


def test_all_goes_up_in_one_commit(hub: Hub) -> None:
    push_to_hub("lanmsff", REPO)
    assert len(hub.seen(r"^POST .*/commit/")) == 1
    known = checkpoints()["lanmsff.ferplus"]
    assert hashlib.sha256(hub.read(REPO, "main", "model.safetensors")).hexdigest() == known.sha256
    push_to_hub("lanmsff", REPO, commit_message="Once more", dtype="float32")
    assert [c.title for c in hub.commits(REPO)][:2] == ["Once more", "Add lanmsff.ferplus"]
    weights = load(hub.read(REPO, "main", "model.safetensors"))
    assert {t.dtype for t in weights.values() if t.is_floating_point()} == {torch.float32}


def test_the_card_holds_the_measured_figures(hub: Hub) -> None:
    push_to_hub("lanmsff", REPO)
    card = ModelCard(hub.read(REPO, "main", "README.md").decode())
    known = checkpoints()["lanmsff.ferplus"]
    results = {(r.dataset_config, r.metric_type): r.metric_value for r in card.data.eval_results}
    for key, flip in (("validation", ""), ("validation_flip", ", flip")):
        # Weights measured before there were figures of the seen rows have none; the other parts have to be there.
        there = [part for part in PARTS if part != "seen" or part in known.metrics[key]]
        parts = {"all rows": known.metrics[key], **{PARTS[part]: known.metrics[key][part] for part in there}}
        for rows, found in parts.items():
            assert results[rows + flip, "accuracy"] == found["accuracy"]
            assert results[rows + flip, "f1"] == found["macro_f1"]
    assert card.data.license == "other" and card.data.license_link == "LICENSE.md"
    assert (
        card.data.datasets == ["ferplus"]
        and "FERPlus" in card.text
        and "facial-expression-recognition" in card.data.tags
    )
    for words in (REPO, known.metrics["validation"]["command"], "## Limits and ethics", "Intended use", "LICENSE.md"):
        assert words in card.text
    assert str(Path.cwd()) not in card.text and "data:" not in card.text.split("```yaml")[1].split("```")[0]


@pytest.mark.parametrize(
    ("build", "printed"),
    [
        (lambda: "lanmsff", ["'happiness'", " happiness {"]),
        (lambda: network(num_classes=5), [" class "]),
        (lambda: timm.create_model("resnet18", num_classes=4), [" class "]),
    ],
    ids=["a checkpoint", "without names", "of timm"],
)
def test_the_snippets_of_the_card_run(
    hub: Hub, capsys: pytest.CaptureFixture[str], build: Callable[[], Any], printed: list[str]
) -> None:
    pytest.importorskip("cv2", reason="comes with the extra faces")
    push_to_hub(build(), REPO)
    parts = hub.read(REPO, "main", "README.md").decode().split("```python\n")[1:]
    assert len(parts) == 3
    photo = Path(__file__).parents[2] / "docs" / "images" / "astronaut.jpg"
    for snippet in parts:
        code = snippet.partition("```")[0]
        assert "hf-hub:" in code
        exec(code.replace('"photo.jpg"', repr(str(photo))), {})
    shown = capsys.readouterr().out
    assert all(words in shown for words in printed)


def test_a_network_of_ones_own(hub: Hub) -> None:
    model = network(num_classes=3, in_chans=3)
    found = {"accuracy": 71.5, "rows": 200, "classes": ["a", "b", "c"], "confusion": [[5, 1, 0], [0, 3, 1], [1, 1, 9]]}
    pushed = push_to_hub(model, REPO, metrics={"test": found}, license="MIT", dataset="my faces", private=True)
    assert set(pushed.files) == FILES - {"LICENSE.md"}
    card = ModelCard(hub.read(REPO, "main", "README.md").decode())
    assert card.data.license == "mit" and "my faces" in card.text and "71.5" in card.text
    again = ferzoo.create_model(f"hf-hub:{REPO}", pretrained=True)
    assert same(again, model) and again.num_classes == 3 and again.in_chans == 3
    assert hub.store.repos[REPO].private


def test_what_nobody_measured_or_allowed_is_said(hub: Hub) -> None:
    pushed = push_to_hub(network(), REPO)
    assert "confusion.png" not in pushed.files
    card = ModelCard(hub.read(REPO, "main", "README.md").decode())
    assert "No evaluation was given" in card.text and "Nobody stated a licence" in card.text
    assert card.data.license == "unknown" and card.data.eval_results is None
    assert "license" not in json.loads(hub.read(REPO, "main", "config.json"))["pretrained_cfg"]


@pytest.mark.parametrize("name", ["lfn", "mobilefacenet"])
def test_networks_that_know_their_size(hub: Hub, name: str) -> None:
    model = ferzoo.create_model(name, img_size=64, num_classes=5)
    push_to_hub(model, REPO)
    again = timm.create_model(f"hf-hub:{REPO}", pretrained=True)
    assert same(again, model) and again.img_size == model.img_size


def test_branches_and_pull_requests(hub: Hub) -> None:
    main_commit = push_to_hub(network(), REPO).commit
    branch, proposed = network(), network()
    pushed = push_to_hub(branch, REPO, revision="trial")
    assert hub.commits(REPO, "trial")[0].sha == pushed.commit
    asked = push_to_hub(proposed, REPO, create_pr=True)
    assert asked.revision.startswith("refs/pr/")
    assert hub.commits(REPO)[0].sha == main_commit
    assert same(ferzoo.create_model(f"hf-hub:{REPO}@trial", pretrained=True), branch)
    assert f'create_model("hf-hub:{REPO}@trial"' in hub.read(REPO, "trial", "README.md").decode()
    assert same(ferzoo.create_model(f"hf-hub:{REPO}@{asked.revision}", pretrained=True), proposed)


@pytest.mark.parametrize(
    "files",
    [{"pytorch_model.bin": b"pickle"}, {"config.json": b'{"architecture": "resnet18"}', "model.safetensors": b"x"}],
    ids=["pickles", "another network"],
)
def test_something_else_is_not_written_over(hub: Hub, files: dict[str, bytes]) -> None:
    before = hub.add(REPO, files)
    asked = []
    with pytest.raises(CheckpointError, match=f"{REPO} holds .*Nothing was sent"):
        push_to_hub(network(), REPO, overwrite=lambda what: bool(asked.append(what)))
    assert hub.commits(REPO)[0].sha == before and set(files) <= set(asked[0].replace(",", "").split())
    push_to_hub(network(), REPO, overwrite=True)
    assert hub.commits(REPO)[0].parent == before


def test_a_dry_run_sends_nothing(hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "out"
    assert main(["push", "lanmsff", REPO, "--dry-run", "--out", str(folder)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("---\n") and "# lanmsff.ferplus" in shown.out and "Nothing was sent" in shown.err
    assert {path.name for path in folder.iterdir()} == FILES and hub.requests == []
    assert Image.open(folder / "confusion.png").width > 400
    assert same(load_model(folder), ferzoo.create_model("lanmsff", pretrained=True))


def test_the_command_says_how_to_load_it(hub: Hub, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["push", "lanmsff", REPO, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["commit"] == hub.commits(REPO)[0].sha
    assert main(["pull", f"hf-hub:{REPO}"]) == 0
    assert f"hf-hub:{REPO}@{result['commit']}" in capsys.readouterr().out


@pytest.mark.parametrize("more", [(), ("--pr",)])
def test_a_push_that_changes_nothing_says_so(
    hub: Hub, more: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    for unchanged in (False, True):
        assert main(["push", "lanmsff", REPO, *more[: len(more) * unchanged]]) == 0
        shown = capsys.readouterr()
        assert f"hf-hub:{REPO}@{hub.commits(REPO)[0].sha}" in shown.out
        assert ("nothing was committed" in shown.err) is unchanged
    assert ("no pull request was opened" in shown.err) is bool(more)
    assert push_to_hub("lanmsff", REPO, create_pr=bool(more)).unchanged
    assert not push_to_hub("lanmsff", REPO, dtype="float32", create_pr=bool(more)).unchanged


def test_the_command_asks_before_it_writes_over(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = hub.add(REPO, {"notes.txt": b"mine"})
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    questions = []
    monkeypatch.setattr("builtins.input", lambda question: questions.append(question) or "n")
    assert main(["push", "lanmsff", REPO]) == 2
    assert "notes.txt" in questions[0] and hub.commits(REPO)[0].sha == before
    assert "Nothing was sent" in capsys.readouterr().err
    assert main(["push", "lanmsff", REPO, "--yes"]) == 0
    assert "notes.txt" in hub.commits(REPO)[0].files


def test_all_checkpoints_of_the_zoo(hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    pinned = []
    monkeypatch.setattr("ferzoo.weights.configs.pin", lambda *what: pinned.append(what))
    assert main(["push", "--all", "--org", "someone", "--pin", "--json"]) == 0
    done = json.loads(capsys.readouterr().out)
    names = [c.name for c in checkpoints().values() if c.shipped()]
    assert [d["name"] for d in done] == names
    assert pinned == [(n, f"someone/{n}", hub.commits(f"someone/{n}")[0].sha) for n in names]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lanmsff"], "ferzoo push MODEL ORG/REPO"),
        (["--all"], "ferzoo push --all --org NAME"),
        (["lanmsff", REPO, "--pin"], "--pin goes with --all"),
        (["lanmsff", "some one/repo"], "no name of a Hub repository"),
        (["lanmsf", REPO], "Did you mean 'lanmsff'"),
        (["lfnsb_concat", REPO], "No weights for 'lfnsb_concat'"),
        (["nowhere/run", REPO], "There is no folder nowhere/run"),
        (["lanmsff", REPO, "--metrics", "nowhere.json"], "nowhere.json"),
    ],
)
def test_what_cannot_be_pushed(
    hub: Hub, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["push", *arguments]) == 2
    assert message in capsys.readouterr().err
    assert hub.requests == []


def test_weights_that_do_not_fit_float16_are_refused(hub: Hub) -> None:
    model = network()
    with torch.no_grad():
        next(model.parameters())[0] = 1e6
    with pytest.raises(CheckpointError, match="not finite in float16"):
        push_to_hub(model, REPO, dtype="float16")
    assert hub.requests == []
