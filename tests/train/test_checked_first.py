"""What cannot work is said before the first epoch, not after hours; and what is there is not overwritten."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from noise import faces, small_recipe
from PIL import Image
from safetensors.torch import load_file

import ferzoo
from ferzoo.cli.main import main
from ferzoo.data.faces import Faces
from ferzoo.errors import CheckpointError, DataError, RecipeError
from ferzoo.labels import FERPLUS
from ferzoo.registry.load import load_model
from ferzoo.train.crossval import cross_validate
from ferzoo.train.loop import Run, train
from ferzoo.train.network import build_network, cfg_to_come
from ferzoo.train.recipe import Recipe
from ferzoo.train.teacher import Teacher

recipe = partial(small_recipe, epochs=1)


@pytest.fixture(scope="module")
def splits() -> dict[str, Faces]:
    return {"train": faces(16, 0), "validation": faces(8, 1)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_kwargs": {"pretrained": True}}, "may not hold pretrained: name trained weights by init="),
        ({"model_kwargs": {"features_only": True}}, r"may not hold features_only\."),
        ({"model_kwargs": {"num_classes": 5}}, "asks for 5 classes, the data has 8"),
        ({"model": "lanmsff", "model_kwargs": {"drop_rate": 7}}, "lanmsff does not take model_kwargs"),
        (
            {"model": "vit_tiny_patch16_224"},
            r"sizes=\{0: 32\}: vit_tiny_patch16_224 does not take 32x32 px.*img_size: PX",
        ),
        (
            {"model": "lfn", "model_kwargs": {"img_size": 32}, "epochs": 2, "sizes": {0: 32, 1: 48}},
            "lfn does not take 48x48 px: The network was built for 32x32",
        ),
        (
            {"model_kwargs": {"global_pool": ""}, "model": "lanmsff"},
            r"gives outputs of the shape \(2, 156, .*not logits \(2, 8",
        ),
        ({"opt_kwargs": {"betas": [0.9]}}, "opt=adamw does not take opt_kwargs"),
        ({"opt": "fusedadam"}, "opt=fusedadam cannot be used here"),
        ({"opt": "adahessian"}, "second derivatives"),
        ({"sched": "step", "sched_kwargs": {"decay_epochs": 0}}, "sched=step does not take"),
        ({"sched": "poly", "sched_kwargs": {"decay_rate": "abc"}}, "sched=poly does not take"),
        ({"sched": "plateau", "epochs": 4, "sched_kwargs": {"patience": 0, "min_lr": "abc"}}, "sched=plateau does not"),
    ],
)
def test_settings(changes: dict[str, Any], message: str, splits: dict[str, Faces]) -> None:
    with pytest.raises(RecipeError, match=message):
        Run(recipe(**changes), splits)


def test_one_class_is_none_to_learn(splits: dict[str, Faces]) -> None:
    one = {name: Faces(each.images, each.targets[:, :1], each.labels * 0, FERPLUS[:1]) for name, each in splits.items()}
    with pytest.raises(DataError, match="has one class alone"):
        Run(recipe(), one)


def test_a_trial_of_the_sizes_changes_nothing(splits: dict[str, Faces]) -> None:
    run = Run(recipe(sizes={0: 32}), splits)
    assert run.model.training
    seen = [v for k, v in run.model.named_buffers() if k.endswith(("running_mean", "num_batches_tracked"))]
    assert len(seen) > 4 and not any(v.any() for v in seen)


@pytest.mark.parametrize("model", ["test_resnet", "lanmsff"])
def test_one_channel(model: str, tmp_path: Path, splits: dict[str, Faces]) -> None:
    out = train(recipe(tmp_path, model=model, model_kwargs={"in_chans": 1}), faces=splits)
    cfg = json.loads((out / "config.json").read_text())["pretrained_cfg"]
    assert cfg["input_size"] == [1, 32, 32] and len(cfg["mean"]) == len(cfg["std"]) == 1
    metrics = json.loads((out / "metrics.json").read_text())
    assert ferzoo.evaluate(out, splits["validation"])["accuracy"] == metrics["accuracy"]


@pytest.mark.parametrize("init", ["", "lanmsff.ferplus"])
def test_a_run_s_cfg_says_nothing_of_other_weights(init: str, tmp_path: Path, splits: dict[str, Faces]) -> None:
    out = train(recipe(tmp_path, model="lanmsff", sizes={0: 40}, init=init), faces=splits)
    written = json.loads((out / "config.json").read_text())["pretrained_cfg"]
    loaded = (load_model(out), timm.create_model(f"local-dir:{out}", pretrained=True))
    for cfg in (written, *(model.pretrained_cfg for model in loaded)):
        said = {key: cfg.get(key) for key in ("license", "description", "notes", "tag", "url", "hf_hub_id")}
        assert not any(said.values())
        assert "arXiv:2403.14318" in cfg["paper_ids"]  # of the network
        assert list(cfg["pool_size"]) == [2, 2]
    assert "Nobody stated a licence for these weights" in (out / "README.md").read_text()


@pytest.mark.parametrize(("size", "pool_size"), [(160, (5, 5)), (32, None)])
def test_what_timm_says_of_its_weights_and_their_size_is_left_out(size: int, pool_size: tuple[int, int] | None) -> None:
    model: Any = timm.create_model("test_resnet")
    model.pretrained_cfg |= {
        "license": "mit",
        "notes": ("theirs",),
        "test_input_size": (3, 288, 288),
        "label_offset": 1,
    }
    cfg = cfg_to_come(recipe(sizes={0: size}), model, ("a", "b"))
    assert cfg["pool_size"] == pool_size and not {"license", "notes", "test_input_size", "label_offset"} & set(cfg)


def test_weights_without_a_state_are_not_overwritten(tmp_path: Path, splits: dict[str, Faces]) -> None:
    out = train(recipe(tmp_path), faces=splits)
    before = (out / "model.safetensors").read_bytes()
    (out / "state.pt").unlink()
    for change in ({}, {"seed": 7}):  # a finished run is not begun again either
        with pytest.raises(CheckpointError, match="already holds trained weights or a run's history.*another out="):
            train(recipe(tmp_path, **change), faces=splits)
    (out / "history.json").unlink()
    with pytest.raises(CheckpointError, match="already holds trained weights"):
        train(recipe(tmp_path, seed=7), faces=splits)
    (out / "recipe.json").write_text("[1]")
    with pytest.raises(CheckpointError, match="already holds trained weights"):
        train(recipe(tmp_path), faces=splits)
    assert (out / "model.safetensors").read_bytes() == before


def test_a_run_killed_between_its_first_weights_and_their_state_begins_again(
    tmp_path: Path, splits: dict[str, Faces], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Run, "_save", lambda run: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(recipe(tmp_path), faces=splits)
    before = (tmp_path / "model.safetensors").read_bytes()
    assert (train(recipe(tmp_path), faces=splits) / "model.safetensors").read_bytes() == before


def test_folds_are_named_as_what_they_are(tmp_path: Path, splits: dict[str, Faces]) -> None:
    cross_validate(recipe(tmp_path), 2, faces={"train": splits["train"]})
    assert json.loads((tmp_path / "fold1" / "metrics.json").read_text())["split"] == "train, fold 1 of 2"
    for fold in (0, 1):
        (tmp_path / f"fold{fold}" / "state.pt").unlink()
    with pytest.raises(CheckpointError, match="already holds folds"):
        cross_validate(recipe(tmp_path), 2, faces={"train": splits["train"]})


def test_outputs_that_are_no_numbers_name_the_rate(tmp_path: Path, splits: dict[str, Faces]) -> None:
    run = Run(recipe(tmp_path), splits)
    with torch.no_grad():
        run.model.get_classifier().weight.fill_(torch.nan)
    run._epoch = dict  # type: ignore[method-assign]  # an epoch without a step
    with pytest.raises(CheckpointError, match=r"outputs became NaN or infinity in epoch 1\. No epoch was finished"):
        run.step_epoch()


def test_numbers_with_an_exponent_are_numbers_everywhere(tmp_path: Path) -> None:
    file = tmp_path / "recipe.yaml"
    file.write_text("opt_kwargs: {eps: 1e-8}\nscale: [8e-1, 1.1]\nloss: {ce: {smoothing: 1E-1}}\nlr: 2.e-3\n")
    found = Recipe.load(file, ["sched_kwargs={min_lr: -1e+5, warmup_lr: .5e-3}", "model_kwargs={name: e1, id: 1e}"])
    assert found.opt_kwargs == {"eps": 1e-8} and found.scale == (0.8, 1.1) and found.lr == 2e-3
    assert found.loss == {"ce": {"smoothing": 0.1}} and found.sched_kwargs == {"min_lr": -1e5, "warmup_lr": 5e-4}
    assert found.model_kwargs == {"name": "e1", "id": "1e"}
    file.write_text(json.dumps(found.to_dict()))  # as a run writes it
    assert Recipe.load(file) == found


def test_the_home_folder_of_a_recipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/someone")
    assert Recipe(out="~/runs").out == "/home/someone/runs"


def test_an_exported_file_teaches(tmp_path: Path, splits: dict[str, Faces], lanmsff_onnx: Path) -> None:
    names = {"onnx": str(lanmsff_onnx), "torch": "lanmsff"}
    cfg = ferzoo.create_model("lanmsff").pretrained_cfg
    images = torch.randn(3, 1, 48, 48, generator=torch.Generator().manual_seed(0))
    said = {kind: Teacher(name, cfg, FERPLUS)(images) for kind, name in names.items()}
    assert torch.allclose(said["onnx"], said["torch"], atol=1e-4)
    change = {"teacher": names["onnx"], "distill_once": True}
    assert train(recipe(tmp_path / "run", **change), faces=splits)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three classes, one of which the validation split lacks."""
    folder = tmp_path_factory.mktemp("tree")
    images = faces(20, 3).images
    for i, name in enumerate(("angry", "happy", "sad") * 4):
        split = "train" if i < 9 or name == "happy" else "validation"
        (folder / split / name).mkdir(parents=True, exist_ok=True)
        Image.fromarray(images[i]).save(folder / split / name / f"{i}.png")
    return folder


def test_a_run_is_measured_as_its_data_was_read(tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"dataset": "timm:folder", "data": str(tree), "batch_size": 4}
    with pytest.raises(DataError, match=r"validation rows angry, sad\. .*class_names=\[NAME, NAME\]"):
        train(recipe(tmp_path / "refused", **settings))
    names = ("angry", "happy", "sad")
    out = train(recipe(tmp_path / "run", **settings, class_names=names))
    measured = json.loads((out / "metrics.json").read_text())
    found = ferzoo.evaluate(out, tree, dataset="timm:folder")
    assert found["classes"] == list(names) and "outputs_left_out" not in found
    assert (found["accuracy"], found["confusion"]) == (measured["accuracy"], measured["confusion"])
    found = ferzoo.evaluate(out, tree, dataset="timm:folder", class_names=("sad", "angry"))
    assert sorted(found["classes"]) == ["angry", "sad"] and found["outputs_left_out"] == ["happy"]
    capsys.readouterr()
    command = ["eval", str(out), "--data", str(tree), "--dataset", "timm:folder", "--json", "--class-names"]
    assert main([*command, "angry, happy, sad"]) == 0
    assert json.loads(capsys.readouterr().out)["confusion"] == measured["confusion"]
    assert main([*command, "angry,happy"]) == 2
    assert "has the classes sad, which --class-names lack" in capsys.readouterr().err


def test_other_data_than_the_run_s_is_read_by_its_own_names(tree: Path, tmp_path: Path) -> None:
    out = train(
        recipe(tmp_path / "run", dataset="folder", data=str(tree), batch_size=4, class_names=("sad", "happy", "angry"))
    )
    assert ferzoo.evaluate(out, tree)["classes"] == ["sad", "happy", "angry"]
    for split in ("train", "validation"):
        for name in ("anger", "contempt", "happiness"):
            (tmp_path / split / name).mkdir(parents=True)
            (tmp_path / split / name / "0.png").write_bytes((tree / "train" / "happy" / "1.png").read_bytes())
    found = ferzoo.evaluate(out, tmp_path)
    assert found["classes_left_out"] == {"contempt": 1} and found["rows"] == 2 and found["unseen"]["rows"] == 0


def test_a_network_of_timm_s_starts_from_one_with_other_classes(tmp_path: Path, splits: dict[str, Faces]) -> None:
    out = train(recipe(tmp_path), faces=splits)
    three = build_network(recipe(init=str(out)), 3).state_dict()
    trained = load_file(out / "model.safetensors")
    assert three["fc.weight"].shape[0] == 3
    assert all(torch.equal(v, trained[k]) for k, v in three.items() if not k.startswith("fc."))


@pytest.mark.parametrize("looked_at", [0, 4096], ids=["in a process that loads", "before"])
def test_a_damaged_image(
    looked_at: int, tree: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ferzoo.train.checkpoint.LOOKED_AT", looked_at)
    for split in ("train", "validation"):
        for name in ("angry", "sad"):
            (tmp_path / split / name).mkdir(parents=True)
            for file in (tree / split / name).iterdir():
                (tmp_path / split / name / file.name).write_bytes(file.read_bytes()[: 60 if split == "train" else None])
    more = ["dataset=folder", f"data={tmp_path}", f"out={tmp_path / 'run'}", "in_memory=false", "unseen=false"]
    settings = ["model=test_resnet", "epochs=1", "batch_size=4", "sizes={0: 32}", "device=cpu", "workers=1"]
    assert main(["train", *more, *settings]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert "cannot be decoded" in lines[-1] and lines[-1].endswith("skip_damaged=true.")
    assert not any("Traceback" in line for line in lines)
