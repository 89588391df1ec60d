"""Evaluation against networks whose answers are known, on equal and on other classes, from faces and from folders."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from measured_networks import CFG, Brightness, pictures
from PIL import Image

import ferzoo
from ferzoo.cli.evaluate import _print
from ferzoo.data.metrics import classification_metrics
from ferzoo.errors import CheckpointError, DataError, RecipeError, UnknownNameError
from ferzoo.labels import FER2013, FERPLUS, RAFDB
from ferzoo.train.checkpoint import write_checkpoint
from ferzoo.train.evaluate import evaluate, predict_logits
from ferzoo.train.measured import read_measured, unseen_rows
from ferzoo.train.shared_classes import share_classes


def test_figures_are_those_of_the_predictions() -> None:
    labels, predicted = [0, 1, 2, 3, 4, 5, 6, 7, 1, 1], [0, 1, 2, 3, 4, 5, 6, 7, 2, 0]
    faces = pictures(predicted, labels, FERPLUS)
    unseen = np.array([True] * 8 + [False] * 2)
    found = evaluate(Brightness(FERPLUS), faces, unseen=unseen)
    expected = classification_metrics(np.array(labels), np.array(predicted), 8)
    assert {key: found[key] for key in expected} == expected
    assert (found["classes"], found["flip"], found["size"]) == (list(FERPLUS), False, 8)
    assert (found["rows_skipped"], found["unseen"]["rows"], found["unseen"]["accuracy"]) == (0, 8, 100.0)
    assert not {"classes_left_out", "outputs_left_out", "angles", "unseen_missing", "dataset"} & found.keys()


def test_a_network_of_timms_for_other_channels() -> None:
    faces = pictures([0, 1, 2], [0, 1, 2], FERPLUS)
    found = []
    for channels in (1, 3, 4):
        model = timm.create_model("test_resnet", in_chans=channels, num_classes=8)
        model.pretrained_cfg = {**model.pretrained_cfg, "input_size": (3, 32, 32), "label_names": FERPLUS}
        if channels == 4:
            with pytest.raises(DataError, match="the network takes 4"):
                evaluate(model, faces)
        else:
            found.append(evaluate(model, faces)["rows"])
    assert found == [3, 3]


def test_calibration_is_that_of_the_softmax() -> None:
    network = Brightness(FERPLUS, sharpness=0.7)
    found = evaluate(network, pictures([2.0] * 4, [2, 2, 2, 1], FERPLUS))
    weights = np.exp(-0.7 * (2 - np.arange(8.0)) ** 2)
    probability = weights / weights.sum()
    assert found["calibration_error"] == pytest.approx(100 * abs(0.75 - probability[2]), abs=0.01)
    nll = -(3 * np.log(probability[2]) + np.log(probability[1])) / 4
    assert found["nll"] == pytest.approx(nll, abs=1e-3)


def test_rows_that_most_votes_agree_on() -> None:
    faces = pictures([0, 1, 2, 3], [0, 1, 3, 3], FERPLUS)
    assert "agreed" not in evaluate(Brightness(FERPLUS), faces)
    for row, (share, other) in enumerate([(0.6, 5), (1.0, 1), (0.5, 5), (0.5, 6)]):
        faces.targets[row] = 0
        faces.targets[row, faces.labels[row]] = share
        faces.targets[row, other] += 1 - share
    found = evaluate(Brightness(FERPLUS), faces)
    assert (found["rows"], found["accuracy"]) == (4, 75.0)
    assert (found["agreed"]["rows"], found["agreed"]["accuracy"]) == (2, 100.0)
    alone = evaluate(Brightness(FERPLUS), faces.take(np.array([0, 1])))
    assert found["agreed"] == {key: alone[key] for key in found["agreed"]}


def test_their_line_of_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    faces = pictures([0, 1, 2], [0, 1, 3], FERPLUS)
    faces.targets[2] = 0.125
    _print({"model": "m", "dataset": "ferplus", "split": "validation", **evaluate(Brightness(FERPLUS), faces)})
    lines = capsys.readouterr().out.splitlines()
    [row] = [line for line in lines if line.startswith("agreed (one class has over half of the votes)")]
    assert row.split()[-6:-4] == ["2", "100.0"]


def test_flip_leaves_the_figures_of_symmetric_pictures() -> None:
    """Averaged, not added: a sum of log-probabilities would look twice as sure."""
    faces = pictures([0.4, 1.6, 3.0], [0, 1, 3], FERPLUS)
    plain, flipped = (evaluate(Brightness(FERPLUS, 0.3), faces, flip=flip) for flip in (False, True))
    assert flipped.pop("flip") and not plain.pop("flip")
    assert flipped == plain


def test_eight_classes_on_seven() -> None:
    """A network of FER-2013 on FERPlus: contempt is left out, and the order and the names are the network's."""
    order = [FER2013.index(name) for name in ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear")]
    labels = [0, 1, 2, 3, 4, 5, 6, 7, 7]
    angles = np.array([0, 0, 0, 0, 0, 0, 0, 90, 90], np.float32)
    faces = pictures([*order, 0, 1], labels, FERPLUS, angles=angles)
    unseen = np.array([False] * 6 + [True] * 3)
    found = evaluate(Brightness(FER2013), faces, unseen=unseen)
    assert (found["accuracy"], found["rows"], found["rows_skipped"]) == (100.0, 7, 2)
    assert found["classes"] == list(FER2013)
    assert found["classes_left_out"] == {"contempt": 2}
    assert found["unseen"]["rows"] == 1
    assert found["angles"] == [{"angle": 0.0, "rows": 7, "accuracy": 100.0}]
    assert np.array(found["confusion"]).shape == (7, 7)


def test_seven_classes_on_eight() -> None:
    """A network of FERPlus on RAF-DB: where its best output is contempt, the best of the others counts."""
    found = evaluate(Brightness(FERPLUS), pictures([7, 0], [1, 6], RAFDB))
    assert found["outputs_left_out"] == ["contempt"]
    assert found["classes"] == list(FERPLUS[:7])
    assert found["rows_skipped"] == 0
    assert found["accuracy"] == 100.0  # fear, index 6, is next to contempt; 0 is neutral in both


def test_two_names_of_one_expression_are_merged() -> None:
    data = pictures([0, 0, 0, 0], [0, 1, 2, 3], ("joy", "happy", "shrug", "sad"))
    shared = share_classes(data, ("fear", "sadness", "happiness"))
    assert (shared.names, shared.columns.tolist()) == (("sadness", "happiness"), [1, 2])
    assert shared.labels.tolist() == [1, 1, 0]
    assert (shared.left_out, shared.outputs_left_out, shared.skipped) == ({"shrug": 1}, ("fear",), 1)


@pytest.mark.parametrize(
    ("classes", "own"),
    [
        (("joy", "grief"), FERPLUS),
        (("joy", "happy"), FERPLUS),
        (("joy",), FERPLUS),
        (("joy", "sad"), ("happiness",)),
    ],
)
def test_one_shared_class_is_none_to_measure(classes: tuple[str, ...], own: tuple[str, ...]) -> None:
    data = pictures([0] * len(classes), list(range(len(classes))), classes)
    with pytest.raises(DataError, match=f"the data has happiness alone.*The data has {', '.join(classes)}; the netw"):
        evaluate(Brightness(own), data)


def test_colour_is_kept_where_the_weights_were_trained_with_it() -> None:
    red = np.zeros((1, 8, 8, 3), np.uint8)
    red[..., 0] = 200
    faces = pictures([0], [0], FERPLUS)
    faces = type(faces)(red, faces.targets, faces.labels, FERPLUS)
    for extra, cfg, grey in (({}, None, False), ({"grayscale": True}, None, True), ({}, CFG, True)):
        network = Brightness(FERPLUS, channels=3)
        network.ferzoo_cfg = extra
        given = None if cfg is None else network.pretrained_cfg
        evaluate(network, faces, given)
        channels = network.seen[0].mean((0, 2, 3))
        assert bool(torch.allclose(channels[0], channels[1])) is grey


def test_the_mode_is_kept_even_after_an_error() -> None:
    network = Brightness(FERPLUS).train()
    faces = pictures([0, 1], [0, 1], FERPLUS)
    told: list[tuple] = []
    evaluate(network, faces, batch=1, progress=lambda *news: told.append(news))
    assert network.training
    assert told == [("classifying faces", 1, 2), ("classifying faces", 2, 2)]
    network.names = None  # type: ignore[assignment]
    with pytest.raises(TypeError):
        predict_logits(network, faces, network.pretrained_cfg)
    assert network.training


@pytest.mark.parametrize(
    ("names", "labels", "cfg", "error", "message"),
    [
        (FERPLUS, [], None, DataError, "no faces"),
        (("cat", "dog"), [0], None, DataError, "no expression in common"),
        (FERPLUS, [7, 7], {"label_names": FER2013}, DataError, r"All 2 rows are of classes.*contempt"),
        (FERPLUS, [0], {"label_names": ()}, DataError, "does not name its classes"),
        (FERPLUS, [0], {"label_names": FERPLUS[:7]}, CheckpointError, "7 label names"),
    ],
)
def test_what_does_not_fit_is_told(names: tuple, labels: list, cfg: dict | None, error: type, message: str) -> None:
    empty = pictures([0], [0], names).take(slice(0))
    faces = pictures([0] * len(labels), labels, names) if labels else empty
    network = Brightness(FERPLUS)
    with pytest.raises(error, match=message):
        evaluate(network, faces, {**network.pretrained_cfg, **cfg} if cfg else None)


def test_nan_is_no_prediction() -> None:
    with pytest.raises(CheckpointError, match="NaN"):
        evaluate(Brightness(FERPLUS, float("nan")), pictures([0], [0], FERPLUS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image folder whose first validation image is also a training image."""
    root = tmp_path_factory.mktemp("faces")
    for split, levels in (("train", (0, 3)), ("validation", (0, 2, 5))):
        for name, shift in (("happy", 0), ("sadness", 45)):
            place = root / split / name
            place.mkdir(parents=True)
            for level in levels:
                Image.fromarray(np.full((8, 8), 20 * level + shift, np.uint8)).save(place / f"{level}.png")
    return root


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    model = ferzoo.create_model("lanmsff")
    cfg = {k: v for k, v in model.pretrained_cfg.items() if k not in ("file", "hf_hub_id", "url", "tag")}
    path = tmp_path_factory.mktemp("run") / "lanmsff"
    write_checkpoint(path, model, {**cfg, "architecture": "lanmsff", "num_classes": 8}, {"grayscale": True})
    return path


def test_from_a_folder(folder: Path, checkpoint: Path) -> None:
    found = ferzoo.evaluate(checkpoint, folder, dataset="folder")
    assert (found["dataset"], found["split"], found["rows"]) == ("folder", "validation", 6)
    assert found["unseen"]["rows"] == 4  # each class has one image in both splits
    assert found["classes"] == ["happiness", "sadness"]
    assert len(found["outputs_left_out"]) == 6
    again = evaluate(checkpoint, read_measured(folder, "folder"))
    assert again == found
    trained = ferzoo.evaluate(checkpoint, folder, dataset="folder", split="train")
    assert "unseen" not in trained and "training split itself" in trained["unseen_missing"]


def test_unseen_rows_are_those_of_the_faces(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferzoo.data.faces.CHUNK", 1)
    faces, train = (read_measured(folder, "folder", split).faces for split in ("validation", "train"))
    told: list[tuple] = []
    mask = unseen_rows(faces, train, lambda *news: told.append(news))
    assert mask.tolist() == faces.unseen(train).tolist()
    assert [news[1:] for news in told] == [(i, 10) for i in range(1, 11)]


def test_a_training_split_that_cannot_be_read_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "validation").symlink_to(folder / "validation")
    measured = read_measured(tmp_path, "folder")
    assert measured.unseen is None and "training split cannot be read" in measured.why
    found = evaluate(Brightness(FERPLUS), measured)
    assert "unseen" not in found and found["unseen_missing"] == measured.why
    assert read_measured(folder, "folder", compare_with_train=False).why == "the training split was not looked at"


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"dataset": "ferpls"}, UnknownNameError, "Did you mean 'ferplus'"),
        ({"dataset": "kdef", "split": "valdation"}, UnknownNameError, "Did you mean 'validation'"),
        ({"dataset": "folder", "split": "tst"}, DataError, "tst"),
        ({"dataset": "rafdb"}, DataError, "RAF-DB"),
    ],
)
def test_unknown_data_is_told(folder: Path, arguments: dict, error: type, message: str) -> None:
    with pytest.raises((error, UnknownNameError), match=message):
        ferzoo.evaluate(Brightness(FERPLUS), folder, **{"split": "train", **arguments})


def test_train_from_python(tmp_path: Path) -> None:
    """`ferzoo.train` is a package and a function, whichever is imported first."""
    import ferzoo.train.loop as loop

    rng = np.random.default_rng(0)
    faces = pictures(list(rng.integers(0, 8, 8)), [i % 8 for i in range(8)], FERPLUS)
    splits = {"train": faces, "validation": faces}
    settings = {"model": "lanmsff", "out": str(tmp_path / "a"), "batch_size": 4, "sizes": {0: 32}, "device": "cpu"}
    folder = ferzoo.train(settings, faces=splits, epochs=1)
    assert (folder / "model.safetensors").is_file()
    assert ferzoo.train.loop is loop
    recipe = ferzoo.train.Recipe(**{**settings, "epochs": 1})
    with pytest.raises(CheckpointError, match="already holds a run"):
        ferzoo.train(recipe, faces=splits)
    assert ferzoo.train(recipe, resume=True, faces=splits, threads=1) == folder
    with pytest.raises(RecipeError, match="Did you mean epochs"):
        ferzoo.train(recipe, epoch=3)
    yaml = tmp_path / "r.yaml"
    yaml.write_text("model: lanmsff\n")
    with pytest.raises(DataError, match="nowhere"):
        ferzoo.train(yaml, data="nowhere", out=str(tmp_path / "b"))


def test_train_before_anything_is_imported(run_python) -> None:
    out = run_python(
        "import ferzoo\nfirst = callable(ferzoo.train)\nfrom ferzoo.train.recipe import Recipe\n"
        "from ferzoo.train import Recipe as Same\nimport inspect\n"
        "out = [first, callable(ferzoo.train), Same is Recipe, list(inspect.signature(ferzoo.train).parameters)]"
    )
    assert out == [True, True, True, ["recipe", "resume", "faces", "overrides"]]
