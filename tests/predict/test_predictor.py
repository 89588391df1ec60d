"""`Predictor` against networks and detectors whose answers are known."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ferzoo
from ferzoo.errors import CheckpointError, FerzooError, ImageError, MissingExtraError, UnknownNameError
from ferzoo.predict.predictor import Predictor
from ferzoo.registry.load import load_model

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def plain(colour: tuple[int, int, int], height: int = 20, width: int = 30) -> np.ndarray:
    return np.full((height, width, 3), colour, dtype=np.uint8)


def test_scores_of_a_whole_image(colours) -> None:
    (face,) = Predictor(colours, detect=False)(plain(GREEN))
    assert (face.box, face.label) == ((0, 0, 30, 20), "green")
    assert list(face.scores) == ["red", "green", "blue"]
    assert face.score == pytest.approx(math.exp(10) / (math.exp(10) + 2), abs=1e-7)
    assert sum(face.scores.values()) == pytest.approx(1, abs=1e-12)
    assert face.embedding is None and face.landmarks is None


@pytest.mark.parametrize("name", ["lfnsb", "lanmsff"])
def test_a_network_by_name_computes_fused_and_a_given_one_as_it_is(name: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    given, named = Predictor(load_model(name), detect=False), Predictor(name, detect=False)
    (a,), (b,) = given(image), named(image)
    assert list(a.scores.values()) == pytest.approx(list(b.scores.values()), abs=1e-4)
    assert given.network.fast is given.network.model
    norms = [m for m in named.network.fast.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert named.network.fast is not named.network.model and not norms


@pytest.mark.parametrize("kind", ["path", "string", "pil", "array"])
def test_one_image_gives_one_list(colours, tmp_path, kind) -> None:
    path = tmp_path / "blue.png"
    Image.fromarray(plain(BLUE)).save(path)
    given = {"path": path, "string": str(path), "pil": Image.open(path), "array": plain(BLUE)}[kind]
    assert [face.label for face in Predictor(colours, detect=False)(given)] == ["blue"]


def test_many_images_give_a_list_each_in_order(colours, tmp_path) -> None:
    predictor = Predictor(colours, detect=False, batch_size=2)
    three = {"b": RED, "a": GREEN, "c": BLUE}
    for name, colour in three.items():
        Image.fromarray(plain(colour)).save(tmp_path / f"{name}.png")
    (tmp_path / ".hidden").write_text("not an image")
    (tmp_path / "folder").mkdir()
    arrays = [plain(colour) for colour in three.values()]

    def labels(images: object) -> list[list[str]]:
        return [[face.label for face in faces] for faces in predictor(images)]

    assert labels(arrays) == labels(np.stack(arrays)) == labels(iter(arrays)) == [["red"], ["green"], ["blue"]]
    assert labels(tmp_path) == labels(str(tmp_path / "*.png")) == [["green"], ["red"], ["blue"]]
    assert labels([]) == []


def test_faces_share_batches_across_images(colours) -> None:
    predictor = Predictor(colours, detector=lambda rgb: [[0, 0, 5, 5]] * 3, batch_size=4)
    assert [len(p.faces) for p in predictor.stream([plain(RED)] * 3)] == [3, 3, 3]
    assert colours.batches == [4, 2, 3]


def test_stream_holds_no_more_than_a_batch(colours) -> None:
    taken = []

    def images():
        for i in range(20):
            taken.append(i)
            yield plain(RED)

    stream = Predictor(colours, detect=False, batch_size=4).stream(images())
    next(stream)
    assert len(taken) == 4


def test_bad_files_among_many(colours, tmp_path) -> None:
    Image.fromarray(plain(RED)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"")
    Image.fromarray(plain(BLUE)).save(tmp_path / "c.png")
    predictor = Predictor(colours, detect=False)
    with pytest.warns(UserWarning, match=r"b\.png.*empty"):
        assert [len(faces) for faces in predictor(tmp_path)] == [1, 0, 1]
    errors = [p.error for p in predictor.stream(tmp_path)]
    assert [e is None for e in errors] == [True, False, True]
    with pytest.raises(ImageError, match=r"b\.png"):
        predictor(tmp_path / "b.png")
    with pytest.raises(ImageError, match="float64"):
        predictor([plain(RED), np.zeros((4, 4, 3))])


def test_boxes_choose_the_pixels(colours) -> None:
    image = np.concatenate([plain(RED, 20, 20), plain(BLUE, 20, 20)], axis=1)
    boxes = np.array([[20, 0, 40, 20], [0, 0, 20, 20]], dtype=np.float32)
    faces = Predictor(colours, detector=lambda rgb: boxes, margin=0)(image)
    assert [face.label for face in faces] == ["blue", "red"]
    assert faces[0].score == pytest.approx(math.exp(10) / (math.exp(10) + 2), abs=1e-7)


def test_margin_lets_the_surroundings_in(colours) -> None:
    image = plain(RED, 40, 40)
    image[10:30, 10:30] = BLUE
    scores = [
        Predictor(colours, detector=lambda rgb: [(10, 10, 30, 30)], margin=margin)(image)[0].scores["blue"]
        for margin in (0, 0.5)
    ]
    # A margin of half the side doubles it: a quarter of the crop is blue, up to the resampling of the edges.
    assert scores[0] == pytest.approx(math.exp(10) / (math.exp(10) + 2), abs=1e-6)
    assert math.log(scores[1] / (1 - scores[1])) == pytest.approx(2.5 - 7.5, abs=0.3)


def test_grey_training_takes_the_colours_away(colours) -> None:
    colours.ferzoo_cfg = {"grayscale": True}
    (face,) = Predictor(colours, detect=False)(plain(RED))
    assert list(face.scores.values()) == pytest.approx([1 / 3] * 3)


def test_embedding_and_json(colours) -> None:
    (face,) = Predictor(colours, detect=False, embedding=True)(plain(GREEN))
    assert face.embedding == pytest.approx([0, 1, 0])
    content = json.loads(json.dumps(face.to_dict()))
    assert content["embedding"] == pytest.approx([0, 1, 0])
    assert content["box"] == [0, 0, 30, 20] and content["scores"] == face.scores and content["score"] == face.score


def test_no_face_is_an_empty_list(colours) -> None:
    assert Predictor(colours, detector=lambda rgb: np.empty((0, 4)))(plain(RED)) == []
    assert Predictor(colours)(plain(RED, 200, 200)) == []
    assert Predictor(colours)(plain(RED, 1, 1)) == []


def test_landmarks_align_the_crop(colours) -> None:
    from ferzoo.predict.crop import TEMPLATE

    image = plain(RED, 300, 300)
    image[100:212, 50:162] = BLUE
    points = TEMPLATE + [50, 100]
    box = [[0, 0, 300, 300]]
    (aligned,) = Predictor(colours, detector=lambda rgb: (box, points[None]))(image)
    (boxed,) = Predictor(colours, detector=lambda rgb: (box, None))(image)
    assert aligned.label == "blue" and boxed.label == "red"
    assert np.allclose(aligned.landmarks, points) and aligned.to_dict()["landmarks"][0] == pytest.approx(points[0])
    assert boxed.landmarks is None


def test_the_astronauts_face(colours, astronaut) -> None:
    (face,) = Predictor(colours)(astronaut)
    x1, y1, x2, y2 = face.box
    # Her eyes and mouth, read off the picture by hand, lie in the box, and the box is not much larger than her head.
    for x, y in ((206, 108), (244, 107), (226, 146)):
        assert x1 < x < x2 and y1 < y < y2
    assert 80 <= x2 - x1 <= 130 and 80 <= y2 - y1 <= 130


@pytest.mark.parametrize("factor", [3, 8])
def test_large_photographs_are_searched_smaller(colours, astronaut, factor) -> None:
    image = Image.open(astronaut)
    (small,) = Predictor(colours)(image)
    (large,) = Predictor(colours)(image.resize((512 * factor, 512 * factor)))
    assert np.array(large.box) / factor == pytest.approx(np.array(small.box), abs=8)


def test_min_face(colours, astronaut) -> None:
    assert Predictor(colours, min_face=200)(astronaut) == []


def test_a_network_in_training_mode_is_not_trained_by_it(checkpoint) -> None:
    model = load_model(checkpoint).train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    predictor = Predictor(model, detect=False)
    model.train()
    predictor(plain(RED))
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert not any(p.grad is not None for p in model.parameters())


def test_threads_are_given_back(colours) -> None:
    before = torch.get_num_threads()
    seen = []
    predictor = Predictor(colours, detector=lambda rgb: seen.append(torch.get_num_threads()) or [], threads=before + 1)
    stream = predictor.stream([plain(RED)] * 2)
    next(stream)
    assert torch.get_num_threads() == before
    assert set(seen) == {before + 1}


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ({"margin": -0.5}, "margin"),
        ({"margin": math.nan}, "margin"),
        ({"margin": "a"}, "margin"),
        ({"batch_size": 0}, "batch_size"),
        ({"batch_size": None}, "batch_size"),
        ({"threads": 0}, "threads"),
        ({"threads": True}, "threads"),
        ({"threads": 100_000}, "threads must be at most 1,024, got 100,000"),
        ({"min_face": 0}, "min_face"),
        ({"min_face": "a"}, "min_face"),
        ({"dtype": "int8"}, "dtype"),
        ({"dtype": "float8_e4m3fn"}, "dtype"),
        ({"dtype": "nonsense"}, "dtype"),
        ({"detector": "haar"}, "detector"),
        ({"detector": len, "detect": False}, "detector"),
    ],
)
def test_wrong_arguments(colours, arguments, word) -> None:
    with pytest.raises(ValueError, match=word):
        Predictor(colours, **arguments)


@pytest.mark.parametrize("device", ["nonsense", "cuda:99", "meta"])
def test_unusable_device(colours, device) -> None:
    with pytest.raises(FerzooError, match=device):
        Predictor(colours, detect=False, device=device)


def test_dtype(colours) -> None:
    (face,) = Predictor(colours, detect=False, dtype="bfloat16")(plain(GREEN))
    assert next(colours.parameters()).dtype == torch.bfloat16
    assert face.label == "green" and sum(face.scores.values()) == pytest.approx(1, abs=1e-12)


def test_networks_that_cannot_be_used(colours) -> None:
    with pytest.raises(ValueError, match="pretrained_cfg"):
        Predictor(torch.nn.Linear(2, 2), detect=False)
    for change, error in (
        ({"label_names": ("a", "b")}, CheckpointError),
        ({"label_names": ("a", "b", "b")}, CheckpointError),
    ):
        colours.pretrained_cfg |= change
        with pytest.raises(error, match="label names"):
            Predictor(colours, detect=False)
    colours.num_classes = 0
    with pytest.raises(ValueError, match="no classifier"):
        Predictor(colours, detect=False)


def test_labels_without_names(colours) -> None:
    del colours.pretrained_cfg["label_names"]
    assert Predictor(colours, detect=False).labels == ("class 0", "class 1", "class 2")


def test_broken_weights_are_no_scores(colours) -> None:
    colours.scale.data.fill_(math.nan)
    with pytest.raises(CheckpointError, match="NaN"):
        Predictor(colours, detect=False)(plain(RED))


def test_missing_opencv_names_the_extra(colours, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    with pytest.raises(MissingExtraError, match=r"ferzoo\[faces\].*--no-detect"):
        Predictor(colours)
    assert len(Predictor(colours, detect=False)(plain(RED))) == 1
    assert len(Predictor(colours, detector=lambda rgb: [[0, 0, 9, 9]])(plain(RED))) == 1


def test_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="lfnsb"):
        Predictor("lfnbs", detect=False)


def test_checkpoint_folder(checkpoint, astronaut) -> None:
    predictor = Predictor(checkpoint)
    (face,) = predictor(astronaut)
    assert list(face.scores) == ["calm", "cross", "glad"]
    # The folder says grey: a picture and its grey twin are one to the network.
    colour = Image.open(astronaut).crop((170, 60, 280, 170))
    whole = Predictor(str(checkpoint), detect=False)
    (first,), (second,) = whole([colour, colour.convert("L")])
    assert first.scores == pytest.approx(second.scores, abs=1e-5)
    in_colour = load_model(checkpoint)
    in_colour.ferzoo_cfg = {}
    (third,) = Predictor(in_colour, detect=False)(colour)
    assert third.scores != pytest.approx(first.scores, abs=1e-3)


@pytest.mark.skipif(not ferzoo.list_models(pretrained=True), reason="no weights ship yet")
def test_shipped_weights_see_a_smile(astronaut: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (face,) = Predictor("lfnsb")(astronaut)
    assert face.label == "happiness"
