"""Teachers: what they see, what they give, and a student that learns from them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from noise import faces

import ferzoo
from ferzoo.errors import RecipeError, UnknownNameError
from ferzoo.labels import FERPLUS
from ferzoo.train.checkpoint import load_state, write_checkpoint
from ferzoo.train.loop import Run, train
from ferzoo.train.objective import Objective
from ferzoo.train.processes import Processes
from ferzoo.train.recipe import Recipe
from ferzoo.train.teacher import Teacher, distillation_loss, mixed_targets

CFG = {"mean": (0.5,) * 3, "std": (0.5,) * 3}


def test_distillation_is_hintons() -> None:
    student, teacher = torch.randn(5, 8, dtype=torch.float64), torch.randn(5, 8, dtype=torch.float64)
    expected = 0.0
    for s, t in zip((student / 3).exp(), (teacher / 3).exp(), strict=True):
        expected -= sum(float(t[c] / t.sum()) * float((s[c] / s.sum()).log()) for c in range(8)) * 9 / 5
    assert distillation_loss(student, teacher, 3.0).item() == pytest.approx(expected, rel=1e-5)


def write_teacher(folder: Path, names: tuple[str, ...] = FERPLUS, seed: int = 3) -> Any:
    torch.manual_seed(seed)
    model: Any = ferzoo.create_model("lanmsff", num_classes=len(names)).eval()
    cfg = {**model.pretrained_cfg, "num_classes": len(names), "label_names": names, "input_size": (1, 48, 48)}
    folder.mkdir()
    write_checkpoint(folder, model, cfg, {})
    return model


def test_a_teacher_sees_faces_in_its_own_preprocessing(tmp_path: Path) -> None:
    model = write_teacher(tmp_path / "teacher")
    student = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    teacher = Teacher(str(tmp_path / "teacher"), student, FERPLUS)
    grey = torch.rand(2, 1, 48, 48)
    mean, std = (torch.tensor(student[k]).view(1, 3, 1, 1) for k in ("mean", "std"))
    seen = teacher((grey.expand(-1, 3, -1, -1) - mean) / std)
    with torch.no_grad():
        assert torch.allclose(seen, model((grey - 0.5) / 0.5).log_softmax(1), atol=1e-4)
    assert teacher(torch.randn(2, 3, 32, 40)).shape == (2, 8)
    assert not any(p.requires_grad for network in teacher.networks for p in network.parameters())


def test_several_teachers_give_their_mean_probabilities(tmp_path: Path) -> None:
    models = [write_teacher(tmp_path / str(seed), seed=seed) for seed in range(3)]
    teacher = Teacher(" + ".join(str(tmp_path / str(seed)) for seed in range(3)), CFG, FERPLUS)
    normalised = torch.rand(4, 1, 48, 48) * 2 - 1
    with torch.no_grad():
        expected = torch.stack([model(normalised).softmax(1) for model in models]).mean(0)
    assert torch.allclose(teacher(normalised.expand(-1, 3, -1, -1)).exp(), expected, atol=1e-5)
    with pytest.raises(UnknownNameError, match="nobody"):
        Teacher(f"{tmp_path / '0'} + nobody", CFG, FERPLUS)


def test_a_student_learns_from_its_teacher(tmp_path: Path) -> None:
    splits = {"train": faces(24, 0), "validation": faces(16, 1)}
    base = Recipe(model="test_resnet", epochs=2, batch_size=8, sizes={0: 32}, lr=1e-3, device="cpu")
    write_teacher(tmp_path / "teacher")
    options = {"teacher": str(tmp_path / "teacher"), "distill": 0.75, "temperature": 2.0}
    run = Run(dataclasses.replace(base, out=str(tmp_path / "run"), **options), splits)
    x = torch.randn(8, 3, 32, 32)
    loss = run.objective(x, torch.eye(8), run.objective.ask(x)).item()
    last = run.objective.loss.last
    assert loss == pytest.approx(0.25 * last["ce"].item() + 0.75 * last["teacher"].item(), rel=1e-5)
    assert list(run.step_epoch()["terms"]) == ["ce", "teacher"]
    write_teacher(tmp_path / "other", FERPLUS[::-1])
    with pytest.raises(RecipeError, match="they must be the same in the same order"):
        Run(dataclasses.replace(base, out=str(tmp_path / "no"), teacher=str(tmp_path / "other")), splits)


def test_a_step_with_sam_asks_its_teacher_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_teacher(tmp_path / "teacher")
    options = {"teacher": str(tmp_path / "teacher"), "sam": 0.05, "out": str(tmp_path / "run")}
    splits = {"train": faces(16, 0), "validation": faces(16, 1)}
    run = Run(Recipe(model="test_resnet", epochs=1, batch_size=8, sizes={0: 32}, device="cpu", **options), splits)
    asked, taught, ask, loss_of = [], [], run.objective.ask, Objective.__call__

    def asking(images: torch.Tensor) -> torch.Tensor:
        asked.append(ask(images))
        return asked[-1]

    def calling(self: Objective, images: torch.Tensor, targets: torch.Tensor, answers: Any = None) -> torch.Tensor:
        taught.append(answers)
        return loss_of(self, images, targets, answers)

    monkeypatch.setattr(run.objective, "ask", asking)
    monkeypatch.setattr(Objective, "__call__", calling)
    run.objective.step(torch.randn(8, 3, 32, 32), torch.eye(8))
    assert len(asked) == 1 and asked[0].shape == (8, 8)
    assert len(taught) == 2 and all(answers is asked[0] for answers in taught)


@pytest.mark.parametrize("flip", [0.0, 0.5])
def test_a_teacher_asked_once_is_mixed_into_the_targets(tmp_path: Path, flip: float) -> None:
    models = [write_teacher(tmp_path / str(seed), seed=seed) for seed in range(2)]
    names = f"{tmp_path / '0'} + {tmp_path / '1'}"
    recipe = Recipe(model="test_resnet", teacher=names, distill=0.25, temperature=2.0, flip=flip)
    rows = faces(6, 0)
    mixed = mixed_targets(rows, recipe, Processes("cpu"))
    x = torch.from_numpy(rows.images)[:, None].float() / 127.5 - 1
    with torch.no_grad():
        views = [x, x.flip(3)] if flip else [x]
        each = [sum(model(v).log_softmax(1) for v in views) / len(views) for model in models]
    taught = torch.stack([e.softmax(1) for e in each]).mean(0) ** 0.5
    expected = 0.75 * rows.targets + 0.25 * (taught / taught.sum(1, keepdim=True)).numpy()
    np.testing.assert_allclose(mixed, expected, atol=1e-4)
    assert mixed.dtype == np.float32


def test_a_run_whose_teacher_is_asked_once_resumes_with_its_answers(tmp_path: Path) -> None:
    write_teacher(tmp_path / "teacher")
    splits = {"train": faces(24, 0), "validation": faces(16, 1)}
    options = {"teacher": str(tmp_path / "teacher"), "distill": 0.75, "distill_once": True}
    base = Recipe(model="test_resnet", epochs=2, batch_size=8, sizes={0: 32}, lr=1e-3, device="cpu", **options)
    whole = train(dataclasses.replace(base, out=str(tmp_path / "whole")), faces=splits)
    run = Run(dataclasses.replace(base, out=str(tmp_path / "stopped")), splits)
    assert list(run.step_epoch()["terms"]) == ["ce"]
    assert not np.allclose(run.faces.targets, splits["train"].targets, atol=0.05)
    stopped = train(run.recipe, resume=True, faces=splits)
    first, second = (load_state(folder / "state.pt")["model"] for folder in (whole, stopped))
    assert all(torch.equal(first[key], second[key]) for key in first)


@pytest.mark.parametrize("options", [{"teacher": ""}, {"teacher": "lfnsb", "soft": False}])
def test_a_teacher_asked_once_needs_soft_targets(options: dict[str, Any]) -> None:
    with pytest.raises(RecipeError, match="needs a teacher and soft=true"):
        Recipe(distill_once=True, **options)
