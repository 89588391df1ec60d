"""The FERPlus reader on small parquet files, the metrics and the transforms, against hand-made references."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import transforms as T

from ferzoo.data import fer2013
from ferzoo.data.faces import FaceDataset, Faces
from ferzoo.data.fer2013 import read_ferplus
from ferzoo.data.metrics import classification_metrics, confusion_matrix
from ferzoo.data.transforms import eval_transform, train_transform
from ferzoo.errors import DataError

CFG = {
    "input_size": (3, 40, 40),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "interpolation": "bicubic",
    "crop_pct": 1.0,
}
#: neutral, happiness, surprise, sadness, anger, disgust, fear, contempt, unknown, not a face
VOTES = [
    [4, 0, 0, 3, 0, 0, 0, 0, 3, 0],  # neutral
    [5, 5, 0, 0, 0, 0, 0, 0, 0, 0],  # a tie goes to the first: neutral
    [0, 0, 0, 0, 0, 0, 0, 4, 6, 0],  # unknown: left out
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 10],  # not a face: left out
    None,  # without votes: left out
    [0, 0, 0, 0, 0, 0, 2, 8, 0, 0],  # contempt
]


def encode(image: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def write(folder: Path, split: str, rows: list[tuple[bytes, list[int] | None]]) -> None:
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as parquet

    table = pa.table(
        {
            "image": [{"bytes": data, "path": f"{i}.png"} for i, (data, _) in enumerate(rows)],
            "label": list(range(len(rows))),
            "votes": pa.array([votes for _, votes in rows], pa.list_(pa.int32())),
        }
    )
    parquet.write_table(table, folder / f"{split}.parquet")


@pytest.fixture
def images() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (len(VOTES), 48, 48), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path: Path, images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> Path:
    write(tmp_path, "train", [(encode(i), v) for i, v in zip(images, VOTES, strict=True)])
    monkeypatch.setitem(fer2013.ROWS, "train", 3)
    return tmp_path


def test_rows_votes_and_ties(folder: Path, images: np.ndarray) -> None:
    faces = read_ferplus(folder, "train")
    assert len(faces) == 3
    assert np.array_equal(faces.images, images[[0, 1, 5]])
    assert faces.labels.tolist() == [0, 0, 7]
    assert faces.targets[0] == pytest.approx([4 / 7, 0, 0, 3 / 7, 0, 0, 0, 0])
    assert faces.targets[2] == pytest.approx([0, 0, 0, 0, 0, 0, 0.2, 0.8])
    hard = read_ferplus(folder, "train", soft=False)
    assert hard.targets.tolist() == np.eye(8)[[0, 0, 7]].tolist()


def test_an_incomplete_file_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(fer2013.ROWS, "train", 28386)
    with pytest.raises(DataError, match=r"holds 3 usable rows, FERPlus has 28386"):
        read_ferplus(folder, "train")


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"train\.parquet is missing"):
        read_ferplus(tmp_path, "train")
    with pytest.raises(DataError, match="not 'test'"):
        read_ferplus(tmp_path, "test")
    (tmp_path / "train.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(DataError, match="cannot be read"):
        read_ferplus(tmp_path, "train")


@pytest.mark.parametrize("data", [b"", b"no image", encode(np.zeros((48, 48), np.uint8))[:60]])
def test_a_damaged_image_names_its_row(data: bytes, tmp_path: Path, images: np.ndarray) -> None:
    write(tmp_path, "train", [(encode(images[0]), VOTES[0]), (data, VOTES[1])])
    fer2013_rows = dict(fer2013.ROWS)
    try:
        fer2013.ROWS["train"] = 2
        with pytest.raises(DataError, match="image of row 1"):
            read_ferplus(tmp_path, "train")
    finally:
        fer2013.ROWS.update(fer2013_rows)


def test_unseen_compares_pixels(images: np.ndarray) -> None:
    blank = np.zeros((len(images), 8), np.float32)
    trained = Faces(images[:3], blank[:3], np.zeros(3, np.int64), ())
    other = Faces(images[[1, 4, 2, 5]], blank[:4], np.zeros(4, np.int64), ())
    assert other.unseen(trained).tolist() == [False, True, False, True]
    nearly = images[:1].copy()
    nearly[0, 0, 0] ^= 1
    assert Faces(nearly, blank[:1], np.zeros(1, np.int64), ()).unseen(trained).tolist() == [True]


def test_metrics_by_hand() -> None:
    labels = np.array([0, 0, 0, 0, 1, 1, 2])
    predictions = np.array([0, 0, 1, 2, 1, 0, 2])
    assert confusion_matrix(labels, predictions, 4).tolist() == [[2, 1, 1, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    result = classification_metrics(labels, predictions, 4)
    assert result["accuracy"] == pytest.approx(100 * 4 / 7, abs=0.01)
    assert result["balanced_accuracy"] == pytest.approx(100 * (2 / 4 + 1 / 2 + 1) / 3, abs=0.01)
    f1 = [2 * 2 / (4 + 3), 2 * 1 / (2 + 2), 2 * 1 / (1 + 2)]
    assert result["macro_f1"] == pytest.approx(100 * sum(f1) / 3, abs=0.01)


@pytest.mark.parametrize("channels", [1, 3])
def test_eval_transform_is_grey_by_luma(channels: int) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    cfg = {**CFG, "input_size": (channels, 40, 40), "mean": (0.5,) * channels, "std": (0.5,) * channels}
    out = eval_transform(cfg)(Image.fromarray(rgb))
    luma = (rgb * np.array([0.299, 0.587, 0.114])).sum(2) / 255
    assert out.shape == (channels, 40, 40)
    assert np.allclose(out.numpy(), (luma - 0.5) / 0.5, atol=2 / 255 / 0.5)


def test_colour_survives_where_it_should() -> None:
    rgb = np.zeros((40, 40, 3), np.uint8)
    rgb[..., 0] = 255
    out = eval_transform(CFG, grayscale=False)(Image.fromarray(rgb))
    assert out[:, 0, 0].tolist() == [1.0, -1.0, -1.0]


def test_train_transform_without_chance_only_resizes() -> None:
    image = Image.fromarray(np.tile(np.arange(48, dtype=np.uint8) * 5, (48, 1)))
    transform = train_transform(CFG, 40, rotation=0, translation=0, scale=(1, 1), erasing=0)
    reference = eval_transform(CFG)(image)
    outs = torch.stack([transform(image) for _ in range(8)])
    # Each is the plain image or its mirror image.
    plain = (outs - reference).abs().amax((1, 2, 3))
    mirrored = (outs - reference.flip(2)).abs().amax((1, 2, 3))
    assert (torch.minimum(plain, mirrored) < 0.1).all()


@pytest.mark.parametrize("size", [32, 40, 48, 64, 112])
@pytest.mark.parametrize(("channels", "grayscale"), [(1, True), (3, True), (3, False)])
@pytest.mark.parametrize("shape", [(48, 48), (48, 48, 3), (50, 44, 3)])
def test_train_transform_is_that_of_torchvision(
    size: int, channels: int, grayscale: bool, shape: tuple[int, ...]
) -> None:
    """Twelve pixels of margin for faces of about 48 px, and nothing reduced first, whatever the input's size."""
    mean, std = (0.5, 0.4, 0.3)[:channels], (0.2, 0.3, 0.4)[:channels]
    transform = train_transform({"input_size": (channels, 40, 40), "mean": mean, "std": std}, size, grayscale=grayscale)
    reference = T.Compose(
        [
            T.RandomHorizontalFlip(0.5),
            T.Pad(12, padding_mode="edge"),
            T.RandomAffine(15, (0.05, 0.05), (0.85, 1.15), interpolation=T.InterpolationMode.BILINEAR),
            lambda image: image.crop((12, 12, image.width - 12, image.height - 12)),
            T.Resize((size, size), T.InterpolationMode.BICUBIC),
            T.Grayscale(channels) if grayscale else lambda image: image.convert("RGB"),
            T.ToTensor(),
            T.Normalize(mean, std),
            T.RandomErasing(0.25, scale=(0.02, 0.2)),
        ]
    )
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8))
    for seed in range(8):
        outs = []
        for transformed in (transform, reference):
            torch.manual_seed(seed)
            outs.append(transformed(image))
        assert torch.equal(*outs)


def test_dataset_gives_image_and_distribution(images: np.ndarray) -> None:
    targets = np.eye(8, dtype=np.float32)[: len(images)]
    data = FaceDataset(Faces(images, targets, targets.argmax(1), ()), eval_transform(CFG))
    image, target = data[3]
    assert len(data) == len(images)
    assert image.shape == (3, 40, 40)
    assert target.tolist() == np.eye(8)[3].tolist()
