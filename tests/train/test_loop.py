"""The loop learns, keeps its best epoch, and continues to the same weights after it was stopped."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import ferzoo
from ferzoo.data.faces import Faces
from ferzoo.errors import CheckpointError, FerzooError, RecipeError
from ferzoo.labels import FERPLUS
from ferzoo.train.checkpoint import check_resumable, digests
from ferzoo.train.evaluate import evaluate, predict_logits
from ferzoo.train.loop import Run, train
from ferzoo.train.network import build_network
from ferzoo.train.recipe import Recipe


def faces(count: int, seed: int) -> Faces:
    """Two kinds of pictures that a network can tell apart: bright above, and bright below."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    images = rng.integers(0, 120, (count, 48, 48), dtype=np.uint8)
    for image, label in zip(images, labels, strict=True):
        image[24 * label : 24 * label + 24] += 120
    return Faces(images, np.eye(8, dtype=np.float32)[labels], labels.astype(np.int64), FERPLUS)


@pytest.fixture(scope="module")
def splits() -> dict[str, Faces]:
    return {"train": faces(96, 0), "validation": faces(32, 1)}


def recipe(out: Path, **changes: object) -> Recipe:
    base = Recipe(
        model="mobilefacenet", out=str(out), epochs=3, batch_size=8, sizes={0: 32}, lr=1e-3, rotation=5.0,
        erasing=0.1, model_kwargs={"img_size": 32, "drop_rate": 0.1},
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, splits: dict[str, Faces]) -> Path:
    return train(recipe(tmp_path_factory.mktemp("whole")), faces=splits)


def rates_of_last_steps(epochs: int, steps: int) -> list[float]:
    """The rate that the last step of every epoch was done with."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1e-3)
    cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, epochs * steps, pct_start=0.2, cycle_momentum=False)
    rates = []
    for _ in range(epochs * steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        cycle.step()
    return rates[steps - 1 :: steps]


def test_the_best_is_of_the_last_size(splits: dict[str, Faces], tmp_path: Path) -> None:
    run = Run(recipe(tmp_path, model="test_resnet", model_kwargs={}, sizes={0: 32, 2: 48}), splits)
    entries = [{"accuracy": a, "size": s} for a, s in ((50.0, 32), (90.0, 32), (70.0, 48), (60.0, 48))]
    for count, best in enumerate((50.0, 90.0, 70.0, 70.0), start=1):
        run.history = entries[:count]
        assert run.best == best


def test_other_workers_are_told_of(tmp_path: Path) -> None:
    before, after = recipe(tmp_path), recipe(tmp_path, workers=2)
    state = {"recipe": before.to_dict(), "epoch": 1}
    assert check_resumable(tmp_path, state, before, 1, {}) == ""
    assert "workers was 0 and is 2" in check_resumable(tmp_path, state, after, 1, {})
    assert check_resumable(tmp_path, state | {"epoch": 3}, after, 1, {}) == ""


@pytest.mark.parametrize("known", [("rows",), ("rows", "images")], ids=["labels alone, as runs of before", "images"])
def test_rows_are_known_again(known: tuple[str, ...], tmp_path: Path, splits: dict[str, Faces]) -> None:
    whole = digests(splits["train"])
    state = {"recipe": recipe(tmp_path).to_dict(), "epoch": 1, **{name: whole[name] for name in known}}
    assert check_resumable(tmp_path, state, recipe(tmp_path), 1, whole) == ""
    less = digests(splits["train"].take(slice(0, 95)))
    with pytest.raises(CheckpointError, match="other training rows"):
        check_resumable(tmp_path, state, recipe(tmp_path), 1, less)


def test_it_learns_and_writes_a_checkpoint(whole: Path, splits: dict[str, Faces]) -> None:
    history = json.loads((whole / "history.json").read_text())
    assert [e["epoch"] for e in history] == [1, 2, 3]
    assert history[-1]["loss"] < history[0]["loss"]
    assert [e["lr"] for e in history] == pytest.approx(rates_of_last_steps(3, 96 // 8))
    metrics = json.loads((whole / "metrics.json").read_text())
    assert metrics["accuracy"] == max(e["accuracy"] for e in history) > 90
    assert metrics["unseen"]["rows"] == 32
    config = json.loads((whole / "config.json").read_text())
    assert config["pretrained_cfg"]["label_names"] == list(FERPLUS)
    assert config["pretrained_cfg"]["input_size"] == [3, 32, 32]
    model = ferzoo.create_model("mobilefacenet", img_size=32, checkpoint_path=str(whole / "model.safetensors"))
    assert evaluate(model, splits["validation"], config["pretrained_cfg"])["accuracy"] == metrics["accuracy"]


def test_resumed_run_ends_in_the_same_weights(whole: Path, tmp_path: Path, splits: dict[str, Faces]) -> None:
    stopped = Run(recipe(tmp_path), splits)
    stopped.step_epoch()
    torch.manual_seed(999)  # whatever happens in between must not matter
    train(recipe(tmp_path), resume=True, faces=splits)
    a, b = (torch.load(f / "state.pt", weights_only=True)["model"] for f in (whole, tmp_path))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    best, again = (load_file(f / "model.safetensors") for f in (whole, tmp_path))
    assert all(torch.equal(best[k], again[k]) for k in best)


def test_unseen_rows_are_kept_for_the_rows_that_they_are_of(tmp_path: Path, splits: dict[str, Faces]) -> None:
    Run(recipe(tmp_path), splits).step_epoch()
    kept, without = Run(recipe(tmp_path), splits), Run(recipe(tmp_path, unseen=False), splits)
    more = splits["validation"].take(np.r_[0, : len(splits["validation"])])
    others = Run(recipe(tmp_path), {**splits, "validation": more})
    for run in (kept, without, others):
        run.resume()
    assert kept.unseen is not None and without.unseen is None and others.unseen is None
    others.step_epoch()
    assert others.unseen is not None and len(others.unseen) == len(more)


def test_a_run_is_never_overwritten(whole: Path, splits: dict[str, Faces]) -> None:
    with pytest.raises(CheckpointError, match="--resume"):
        train(recipe(whole), faces=splits)


def test_resume_needs_the_same_recipe_and_an_intact_state(whole: Path, tmp_path: Path, splits: dict) -> None:
    with pytest.raises(CheckpointError, match="no run to resume"):
        train(recipe(tmp_path), resume=True, faces=splits)
    with pytest.raises(CheckpointError, match="different: lr"):
        train(recipe(whole, lr=2e-3), resume=True, faces=splits)
    content = (whole / "state.pt").read_bytes()
    (tmp_path / "state.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match=r"state\.pt is damaged"):
        train(recipe(tmp_path), resume=True, faces=splits)


def test_a_loss_that_is_no_number_stops_and_says_so(tmp_path: Path, splits: dict[str, Faces]) -> None:
    run = Run(recipe(tmp_path), splits)
    run.step_epoch()
    kept = (tmp_path / "state.pt").read_bytes()
    with torch.no_grad():
        next(run.model.parameters()).fill_(float("nan"))
    with pytest.raises(CheckpointError, match=r"loss or its gradient became nan in epoch 2, step 1.*lower lr"):
        run.step_epoch()
    assert (tmp_path / "state.pt").read_bytes() == kept


def test_a_failed_write_leaves_the_last_state(
    tmp_path: Path, splits: dict[str, Faces], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Run(recipe(tmp_path), splits)
    run.step_epoch()
    kept = (tmp_path / "state.pt").read_bytes()

    def full(_: object, file: IO[bytes]) -> None:
        file.write(b"half")
        raise OSError(28, "No space left on device", file.name)

    monkeypatch.setattr("ferzoo.train.checkpoint.torch.save", full)
    with pytest.raises(OSError, match="No space"):
        run.step_epoch()
    assert (tmp_path / "state.pt").read_bytes() == kept
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_run_starts_from_another_run(whole: Path, tmp_path: Path, splits: dict[str, Faces]) -> None:
    run = Run(recipe(tmp_path, init=str(whole)), splits)
    trained = load_file(whole / "model.safetensors")
    assert all(torch.equal(v, trained[k]) for k, v in run.model.state_dict().items())
    with pytest.raises(RecipeError, match="does not fit lanmsff"):
        Run(recipe(tmp_path, model="lanmsff", model_kwargs={}, init=str(whole)), splits)


@pytest.mark.parametrize(("model", "kwargs"), [("lfn", {}), ("lfnsb_concat", {"img_size": 64})])
def test_a_network_starts_from_one_with_another_head(model: str, kwargs: dict[str, int]) -> None:
    torch.manual_seed(1)
    fresh = ferzoo.create_model(model, **kwargs).state_dict()
    torch.manual_seed(1)
    with pytest.warns(UserWarning, match="takes all of init=lfnsb.ferplus but its head"):
        mine = build_network(Recipe(model=model, init="lfnsb.ferplus", model_kwargs=kwargs), 8).state_dict()
    trained = ferzoo.create_model("lfnsb.ferplus", pretrained=True).state_dict()
    for name, tensor in mine.items():
        assert torch.equal(tensor, (fresh if name.startswith(("pool.", "head.")) else trained)[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"opt": "adamx"}, "Did you mean"),
        ({"device": "abacus"}, "abacus"),
        ({"model_kwargs": {"img_sise": 32}}, "img_sise"),
    ],
)
def test_wrong_settings_are_named(change: dict, message: str, tmp_path: Path, splits: dict[str, Faces]) -> None:
    with pytest.raises(FerzooError, match=message):
        Run(recipe(tmp_path, **change), splits)


def test_a_grey_network_of_a_colour_architecture_trains(tmp_path: Path, splits: dict[str, Faces]) -> None:
    run = Run(recipe(tmp_path, epochs=1, model_kwargs={"img_size": 32, "in_chans": 1}), splits)
    assert run.step_epoch()["epoch"] == 1
    assert run.cfg["input_size"] == (1, 32, 32)


def test_too_few_rows(tmp_path: Path, splits: dict[str, Faces]) -> None:
    with pytest.raises(RecipeError, match="batch_size 8 is more than the 5"):
        train(recipe(tmp_path, limit=5), faces=splits)


def test_flip_averages_log_probabilities(splits: dict[str, Faces]) -> None:
    torch.manual_seed(0)
    model = ferzoo.create_model("lanmsff").train()
    some = splits["validation"].take(slice(6))
    mirrored = dataclasses.replace(some, images=some.images[:, :, ::-1].copy())
    cfg = model.pretrained_cfg
    both = predict_logits(model, some, cfg, 32, flip=True)
    plain, mirror = (torch.tensor(predict_logits(model, f, cfg, 32)).log_softmax(1) for f in (some, mirrored))
    assert np.allclose(both, (plain + mirror).numpy() / 2, atol=1e-4)
    assert model.training
