"""What a recipe can turn on: balance, mixing, averaging, SAM, flooding, early stop, folds, logs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noise import faces
from noise import small_recipe as recipe

from ferzoo.data.faces import Faces
from ferzoo.errors import CheckpointError, RecipeError
from ferzoo.labels import FERPLUS
from ferzoo.train import loop
from ferzoo.train.batches import class_weights, make_loader, make_mixing
from ferzoo.train.loop import Run, train
from ferzoo.train.objective import frozen_statistics
from ferzoo.train.splits import read_splits

CFG = {"input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic", "crop_pct": 1.0}


@pytest.fixture(scope="module")
def splits() -> dict[str, Faces]:
    return {"train": faces(24, 0), "validation": faces(16, 1)}


def state(folder: Path) -> Any:
    return torch.load(folder / "state.pt", weights_only=True)


EVERYTHING = {
    "ema": 0.9, "sam": 0.05, "mixup": 0.4, "cutmix": 1.0, "balance": "sampler", "flood": 0.2, "sched": "cosine",
    "loss": "ce + 0.01*center", "opt": "sgd", "opt_kwargs": {"momentum": 0.8},
}  # fmt: skip


def test_everything_at_once_resumes_to_the_same_weights(tmp_path: Path, splits: dict[str, Faces]) -> None:
    whole = train(recipe(tmp_path / "whole", **EVERYTHING), faces=splits)
    Run(recipe(tmp_path / "stopped", **EVERYTHING), splits).step_epoch()
    torch.manual_seed(999)
    stopped = train(recipe(tmp_path / "stopped", **EVERYTHING), resume=True, faces=splits)
    ours, theirs = state(whole), state(stopped)
    for part in ("model", "ema"):
        assert all(torch.equal(ours[part][k], v) for k, v in theirs[part].items())
    assert any(not torch.equal(ours["ema"][k], v) for k, v in ours["model"].items())


def test_the_average_is_what_is_measured_and_kept(tmp_path: Path, splits: dict[str, Faces]) -> None:
    from safetensors.torch import load_file

    folder = train(recipe(tmp_path, ema=0.5, epochs=1), faces=splits)
    kept, average = load_file(folder / "model.safetensors"), state(folder)["ema"]
    assert kept.keys() == average.keys()
    assert all(torch.equal(kept[k], v) for k, v in average.items())


def test_class_weights_give_every_class_the_same_total() -> None:
    labels = np.array([0] * 6 + [1] * 3 + [3])
    weights = class_weights(labels, 5)
    totals = np.bincount(labels, weights=np.array(weights)[labels], minlength=5)
    assert totals == pytest.approx([10 / 3, 10 / 3, 0, 10 / 3, 0])
    assert weights[2] == weights[4] == 0


def test_the_sampler_draws_every_class_equally_often() -> None:
    rng = np.random.default_rng(0)
    labels = np.array([0] * 900 + [1] * 90 + [2] * 10)
    rows = Faces(
        rng.integers(0, 256, (1000, 8, 8), dtype=np.uint8), np.eye(8, dtype=np.float32)[labels], labels, FERPLUS
    )
    loader = make_loader(recipe(balance="sampler", soft=False), rows, CFG, 32, seed=1)
    drawn = np.bincount(list(loader.sampler) and [labels[i] for i in loader.sampler], minlength=3)
    assert drawn[:3] == pytest.approx([1000 / 3] * 3, rel=0.2)
    plain = make_loader(recipe(), rows, CFG, 32, seed=1)
    assert sorted(plain.sampler) == list(range(1000))


def test_weights_go_to_cross_entropy_alone(tmp_path: Path, splits: dict[str, Faces]) -> None:
    run = Run(recipe(tmp_path, balance="weights", loss="ce(smoothing=0.1) + center"), splits)
    expected = class_weights(splits["train"].labels, 8)
    assert run.objective.loss.losses[0].class_weights.tolist() == pytest.approx(expected)
    with pytest.raises(RecipeError, match="balance=weights weights cross-entropy, and loss='center' has none"):
        Run(recipe(tmp_path, balance="weights", loss="center"), splits)


@pytest.mark.parametrize("kind", ["mixup", "cutmix"])
def test_mixing_mixes_faces_and_soft_labels_alike(kind: str) -> None:
    torch.manual_seed(0)
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 32, 32).clone()
    mixed, targets = make_mixing(recipe(**{kind: 1.0}), 8)(images, torch.eye(8)[:4])  # type: ignore[misc]
    share = mixed.mean((1, 2, 3))
    assert targets.sum(1) == pytest.approx(torch.ones(4))
    # The mean of a face is its number: labels mixed in the same shares give the same mean.
    assert torch.allclose((targets[:, :4] * torch.arange(4.0)).sum(1), share, atol=1e-5)
    assert make_mixing(recipe(), 8) is None
    with pytest.raises(RecipeError, match="mix labels, which need soft=true"):
        recipe(**{kind: 1.0}, soft=False)


def test_flooding_turns_the_loss_around(tmp_path: Path, splits: dict[str, Faces]) -> None:
    x, y = torch.randn(8, 3, 32, 32), torch.eye(8)
    for level in (0.0, 1.0, 100.0):
        run = Run(recipe(tmp_path / str(level), flood=level), splits)
        loss = run.objective(x, y)
        plain = run.objective.loss.last["ce"]
        assert loss.item() == pytest.approx(abs(plain.item() - level) + level)


def test_sam_steps_from_where_it_stood_by_the_gradient_nearby(tmp_path: Path, splits: dict[str, Faces]) -> None:
    """One SGD step of SAM, by hand; BatchNorm remembers the batch once."""
    x, y = torch.randn(8, 3, 32, 32), torch.eye(8)
    options = {"opt": "momentum", "opt_kwargs": {"momentum": 0.0}, "weight_decay": 0.0, "clip_grad": 0.0}
    options["sched"] = "none"
    run, twin = (Run(recipe(tmp_path / n, sam=s, **options), splits) for n, s in (("a", 0.1), ("b", 0.0)))
    names = [name for name, _ in twin.model.named_parameters()]
    start = [p.detach().clone() for p in twin.model.parameters()]
    for r in (run, twin):
        r.model.train()
    run.objective.step(x, y)
    gradients = torch.autograd.grad(twin.objective(x, y), list(twin.model.parameters()))
    norm = torch.cat([g.flatten() for g in gradients]).norm()
    with torch.no_grad():
        for p, g in zip(twin.model.parameters(), gradients, strict=True):
            p.add_(0.1 * g / norm)
    with frozen_statistics(twin.model):
        second = torch.autograd.grad(twin.objective(x, y), list(twin.model.parameters()))
    for name, p, before, g in zip(names, run.model.parameters(), start, second, strict=True):
        assert torch.allclose(p, before - 1e-3 * g, atol=1e-6), name
    for (name, ours), theirs in zip(run.model.named_buffers(), twin.model.buffers(), strict=True):
        if not name.endswith("num_batches_tracked"):
            assert torch.allclose(ours, theirs, atol=1e-6), name


def test_sam_moves_centres_by_one_gradient(tmp_path: Path, splits: dict[str, Faces]) -> None:
    x, y, moved = torch.randn(8, 3, 32, 32), torch.eye(8), []
    for radius in (0.0, 1e-9):
        run = Run(recipe(tmp_path / str(radius), sam=radius, loss="ce + 0.1*affinity + 0.1*center"), splits)
        run.model.train()
        before = {k: v.clone() for k, v in run.objective.loss.state_dict().items()}
        run.objective.step(x, y)
        moved.append({k: v - before[k] for k, v in run.objective.loss.state_dict().items()})
    for key, plain in moved[0].items():
        assert plain.any() and torch.allclose(moved[1][key], plain, rtol=1e-3, atol=1e-6), key


def test_a_gradient_that_is_not_finite_moves_nothing(tmp_path: Path, splits: dict[str, Faces]) -> None:
    run = Run(recipe(tmp_path), splits)
    next(run.model.parameters()).register_hook(lambda grad: grad + torch.nan)
    before = {k: v.clone() for k, v in run.model.named_parameters()}
    with pytest.raises(CheckpointError, match=r"loss or its gradient became nan in epoch 1, step 1"):
        run.step_epoch()
    assert all(torch.equal(v, before[k]) for k, v in run.model.named_parameters())


def test_workers_of_every_process_augment_their_own_way() -> None:
    rows = faces(16, 0)
    same = Faces(rows.images[[0] * 16], rows.targets, rows.labels, FERPLUS)
    batches = [next(iter(make_loader(recipe(workers=1), same, CFG, 32, 5, rank)))[0] for rank in (0, 1)]
    assert not torch.equal(*batches)
    orders = [list(make_loader(recipe(), rows, CFG, 32, 5, rank).sampler) for rank in (0, 1)]
    assert orders[0] == orders[1]


def test_patience_counts_at_the_last_size_alone(
    tmp_path: Path, splits: dict[str, Faces], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([50.0, 40.0, 40.0, 30.0, 31.0, 31.0])

    def measured(*_: Any, **__: Any) -> dict[str, Any]:
        return {"accuracy": next(scores), "macro_f1": 0.0, "nll": 1.0, "unseen": {"accuracy": 0.0}}

    monkeypatch.setattr(loop, "evaluate", measured)
    train(recipe(tmp_path, epochs=6, patience=2, sizes={0: 32, 3: 40}), faces=splits)
    history = json.loads((tmp_path / "history.json").read_text())
    assert len(history) == 6
    assert json.loads((tmp_path / "metrics.json").read_text())["epoch"] == 5


def test_resuming_repairs_a_history_that_a_kill_cut_short(tmp_path: Path, splits: dict[str, Faces]) -> None:
    folder = train(recipe(tmp_path), faces=splits)
    whole = (folder / "history.json").read_text()
    first = (folder / "environment.json").read_text()
    (folder / "history.json").write_text("[]")
    (folder / "history.csv").unlink()
    train(recipe(tmp_path), resume=True, faces=splits)
    assert (folder / "history.json").read_text() == whole and (folder / "history.csv").is_file()
    assert (folder / "environment.json").read_text() == first and (folder / "environment-after-2.json").is_file()


def test_it_stops_when_nothing_improves(
    tmp_path: Path, splits: dict[str, Faces], monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = iter([50.0, 60.0, 60.0, 59.0, 70.0, 70.0])

    def measured(*_: Any, **__: Any) -> dict[str, Any]:
        return {"accuracy": next(scores), "macro_f1": 0.0, "nll": 1.0, "unseen": {"accuracy": 0.0}}

    monkeypatch.setattr(loop, "evaluate", measured)
    train(recipe(tmp_path, epochs=6, patience=2), faces=splits)
    history = json.loads((tmp_path / "history.json").read_text())
    assert [entry["accuracy"] for entry in history] == [50.0, 60.0, 60.0, 59.0]


def test_folds_part_the_training_rows(splits: dict[str, Faces]) -> None:
    parts = [read_splits(recipe(folds=3, fold=i), splits) for i in range(3)]
    seen = [digest for _, validation in parts for digest in validation.digests()]
    assert sorted(seen) == sorted(splits["train"].digests())
    for train_rows, validation in parts:
        assert len(train_rows) + len(validation) == 24 and validation.unseen(train_rows).all()
    for folds, fold in ((3, 3), (1, 0), (3, -2), (0, 2)):
        with pytest.raises(RecipeError, match=f"or -1 for each in turn; got folds={folds}, fold={fold}"):
            recipe(folds=folds, fold=fold)
    with pytest.raises(RecipeError, match="Of folds=3 one validates: set fold"):
        read_splits(recipe(folds=3), splits)


def test_colours_stay_where_the_recipe_wants_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(16) % 8
    images = rng.integers(0, 256, (16, 40, 40, 3), dtype=np.uint8)
    rows = Faces(images, np.eye(8, dtype=np.float32)[labels], labels, FERPLUS)
    plain = {"flip": 0.0, "rotation": 0.0, "translation": 0.0, "scale": (1.0, 1.0), "erasing": 0.0}
    grey, colour = (
        next(iter(make_loader(recipe(grayscale=g, **plain), rows, CFG, 40, seed=0)))[0] for g in (True, False)
    )
    assert torch.equal(grey[:, 0], grey[:, 1]) and not torch.equal(colour[:, 0], colour[:, 1])
    pixels = ((colour * 0.5 + 0.5) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    assert all(any(np.array_equal(image, other) for other in rows.images) for image in pixels)
    train(recipe(tmp_path, grayscale=False, epochs=1), faces={"train": rows, "validation": rows})
    assert json.loads((tmp_path / "config.json").read_text())["ferzoo"]["grayscale"] is False
