"""Training by sums of losses: centres move, runs resume, and what does not fit is told as the recipe's fault."""

from __future__ import annotations

import copy
import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch

import ferzoo
from ferzoo.data.faces import Faces
from ferzoo.errors import FerzooError, RecipeError, UnknownNameError
from ferzoo.labels import FERPLUS
from ferzoo.train.loop import Run, train
from ferzoo.train.objective import Objective, TrainingOutputs
from ferzoo.train.processes import Processes
from ferzoo.train.recipe import Recipe

LOSS = "ce + 0.1*cosine_harmony(alpha=0.1) + 0.01*center"


def faces(count: int, seed: int) -> Faces:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 8, count)
    images = rng.integers(0, 256, (count, 48, 48), dtype=np.uint8)
    return Faces(images, np.eye(8, dtype=np.float32)[labels], labels.astype(np.int64), FERPLUS)


@pytest.fixture(scope="module")
def splits() -> dict[str, Faces]:
    return {"train": faces(24, 0), "validation": faces(8, 1)}


def recipe(out: Path | str = "out", **changes: Any) -> Recipe:
    base = Recipe(
        model="mobilefacenet", out=str(out), epochs=2, batch_size=8, sizes={0: 32}, lr=1e-3, loss=LOSS,
        model_kwargs={"img_size": 32}, device="cpu",
    )  # fmt: skip
    return dataclasses.replace(base, **changes)


def objective_of(settings: Recipe, model: Any, classes: int) -> Objective:
    rows = faces(8, 0)
    rows = Faces(rows.images, rows.targets[:, :classes], rows.labels % classes, FERPLUS[:classes])
    return Objective(settings, model, rows, model.pretrained_cfg, Processes("cpu"))


def state(folder: Path) -> Any:
    return torch.load(folder / "state.pt", weights_only=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, splits: dict[str, Faces]) -> Path:
    return train(recipe(tmp_path_factory.mktemp("whole")), faces=splits)


def test_the_centres_of_every_term_move(tmp_path: Path, splits: dict[str, Faces]) -> None:
    run = Run(recipe(tmp_path), splits)
    before = copy.deepcopy(run.objective.loss.state_dict())
    assert {key: tuple(value.shape) for key, value in before.items()} == {
        "losses.1.centers": (8, 512),
        "losses.2.centers": (8, 512),
    }
    images = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    run.objective.step(images, torch.eye(8))
    after = run.objective.loss.state_dict()
    assert all((before[key] != after[key]).any(dim=1).all() for key in before)


def test_the_history_has_the_terms_of_every_epoch(whole: Path) -> None:
    history = json.loads((whole / "history.json").read_text())
    assert [entry["epoch"] for entry in history] == [1, 2]
    for entry in history:
        assert list(entry["terms"]) == ["ce", "cosine_harmony", "center"]
        weighted = zip((1, 0.1, 0.01), entry["terms"].values(), strict=True)
        assert sum(weight * term for weight, term in weighted) == pytest.approx(entry["loss"], abs=3e-5)


def test_a_resumed_run_ends_in_the_same_weights_and_centres(
    whole: Path, tmp_path: Path, splits: dict[str, Faces]
) -> None:
    Run(recipe(tmp_path), splits).step_epoch()
    stopped = state(tmp_path)["objective"]["loss"]
    torch.manual_seed(999)  # whatever happens in between must not matter
    train(recipe(tmp_path), resume=True, faces=splits)
    ours, theirs = state(tmp_path), state(whole)
    for a, b in ((ours["model"], theirs["model"]), (ours["objective"]["loss"], theirs["objective"]["loss"])):
        assert a.keys() == b.keys()
        assert all(torch.equal(a[key], b[key]) for key in a)
    assert not any(torch.equal(value, ours["objective"]["loss"][key]) for key, value in stopped.items())


def test_centres_have_the_paper_s_rate_and_no_weight_decay() -> None:
    model = ferzoo.create_model("mobilefacenet", img_size=32, num_classes=4)
    objective = objective_of(recipe(weight_decay=0.3), model, 4)
    harmony, center = (part.centers for part in list(objective.loss.losses)[1:])
    [group] = [g for g in objective.optimizer.param_groups if any(p is harmony for p in g["params"])]
    assert group["weight_decay"] == 0 and len(group["params"]) == 1
    [own] = objective.center_optimizer.param_groups
    assert own["params"] == [center] and own["lr"] == pytest.approx(0.5 / 0.01)
    assert objective_of(recipe(loss="ce + coco"), model, 4).center_optimizer is None


def test_amp_leaves_the_losses_in_float32() -> None:
    model: Any = ferzoo.create_model("mobilefacenet", img_size=32, num_classes=4)
    objective = objective_of(recipe(amp=True, loss="ce + affinity + 0.1*center"), model, 4)
    loss = objective.step(torch.randn(4, 3, 32, 32), torch.tensor([0, 1, 2, 3]))
    values = [loss, *objective.loss.last.values(), *objective.loss.parameters()]
    assert all(value.dtype == torch.float32 and value.isfinite().all() for value in values)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ("ce + center(rate=1)", r"loss='ce \+ center\(rate=1\)'.*'center' cannot be built.*'rate'"),
        ({"ce": 1, "coco": {"scale": -1}}, r"loss=\{'ce': 1, 'coco'.*scale must be above 0"),
        ("ce + 0.1*", r"loss='ce \+ 0.1\*'.*is no sum"),
        ("partition", "loss='partition'.*'partition' takes heads .* gives only logits, features, embedding"),
        ("ce + sparse_center", "'sparse_center' takes attention"),
    ],
)
def test_a_loss_that_does_not_fit_is_the_recipe_s_fault(
    loss: Any, message: str, tmp_path: Path, splits: dict[str, Faces]
) -> None:
    with pytest.raises(RecipeError, match=message):
        train(recipe(tmp_path, loss=loss), faces=splits)


def test_an_unknown_loss_is_answered_with_the_nearest(splits: dict[str, Faces]) -> None:
    with pytest.raises(UnknownNameError, match="'centre'. Did you mean 'center'"):
        Run(recipe(loss="ce + centre"), splits)


def test_a_margin_needs_hard_labels(tmp_path: Path, splits: dict[str, Faces]) -> None:
    pytest.importorskip("pytorch_metric_learning")
    loss = "ce + 0.1*arcface"
    with pytest.raises(RecipeError, match=r"loss='ce \+ 0.1\*arcface'.*ArcFaceLoss .* train with soft=false"):
        train(recipe(tmp_path, loss=loss), faces=splits)
    hard = Run(recipe(tmp_path, loss=loss, epochs=1, soft=False), splits)
    before = copy.deepcopy(hard.objective.loss.state_dict())
    assert list(hard.step_epoch()["terms"]) == ["ce", "arcface"]
    assert not any(torch.equal(value, before[key]) for key, value in hard.objective.loss.state_dict().items())


# timm's own networks


TIMMS = [
    ("test_resnet", {}),  # a map
    ("test_vit", {"img_size": 32}),  # tokens, the class's before them
    ("test_efficientnet", {}),
    ("swin_tiny_patch4_window7_224", {"img_size": 32, "embed_dim": 12, "depths": (1, 1, 1, 1), "window_size": 1}),
]


@pytest.mark.parametrize(("name", "kwargs"), TIMMS, ids=[name for name, _ in TIMMS])
def test_networks_of_timm_s_train_with_losses_of_features(name: str, kwargs: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=8, **kwargs)
    objective = objective_of(recipe(model=name, loss="ce + 0.1*center + affinity"), model, 8)
    before = copy.deepcopy(objective.loss.state_dict())
    x = torch.randn(8, 3, 32, 32)
    loss = objective.step(x, torch.arange(8))
    assert loss.isfinite()
    assert not any(torch.equal(value, before[key]) for key, value in objective.loss.state_dict().items())
    model.eval()
    assert torch.equal(TrainingOutputs(model, ())(x)["logits"], model(x))


def test_tokens_count_as_their_mean() -> None:
    torch.manual_seed(0)
    model: Any = timm.create_model("test_vit", num_classes=8, img_size=32).eval()
    x = torch.randn(2, 3, 32, 32)
    outputs = TrainingOutputs(model, ("features", "embedding"))(x)
    torch.testing.assert_close(outputs["features"], model.forward_features(x).mean(1))
    torch.testing.assert_close(outputs["embedding"], model.forward_head(model.forward_features(x), pre_logits=True))


def test_a_network_of_timm_s_trains_and_resumes(tmp_path: Path, splits: dict[str, Faces]) -> None:
    settings = recipe(tmp_path, model="test_resnet", model_kwargs={}, loss="ce + 0.01*center")
    Run(settings, splits).step_epoch()
    train(settings, resume=True, faces=splits)
    history = json.loads((tmp_path / "history.json").read_text())
    assert [list(entry["terms"]) for entry in history] == [["ce", "center"]] * 2
    with pytest.raises(FerzooError, match="'partition' takes heads .* gives only logits, features:"):
        train(dataclasses.replace(settings, loss="ce + partition", out=str(tmp_path / "other")), faces=splits)
