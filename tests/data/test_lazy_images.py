"""Images decoded on demand: what they give, how they are indexed, and what a damaged one says."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch
from image_trees import encoded, pixels, save
from PIL import Image
from torch.utils.data import DataLoader

from ferzoo.data.faces import FaceDataset, Faces
from ferzoo.data.lazy_images import DecodedImages, ImageFiles, decode
from ferzoo.errors import DataError

COUNT = 5


def faces_of(images: np.ndarray | ImageFiles) -> Faces:
    count = len(images)
    labels = np.arange(count) % 2
    angles = np.array([np.nan, *range(count - 1)], dtype=np.float32)
    return Faces(images, np.eye(2, dtype=np.float32)[labels], labels, ("a", "b"), angles, np.arange(count) // 2)


@pytest.fixture
def arrays() -> np.ndarray:
    return np.stack([pixels(seed, 20, 16, colour=True) for seed in range(COUNT)])


@pytest.fixture
def files(tmp_path: Path, arrays: np.ndarray) -> ImageFiles:
    return ImageFiles([save(tmp_path / f"{i}.png", image) for i, image in enumerate(arrays)])


@pytest.mark.parametrize(
    "rows",
    [slice(1, 4), slice(None, None, -1), np.array([3, 0, 3]), np.array([True, False, True, False, True]), [2], []],
    ids=str,
)
def test_a_part_is_that_of_an_array(rows: slice | np.ndarray, files: ImageFiles, arrays: np.ndarray) -> None:
    rows = np.array(rows, dtype=int) if isinstance(rows, list) else rows
    part = files[rows]
    expected = arrays[rows]
    assert isinstance(part, ImageFiles) and len(part) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(part, expected, strict=True))


def test_one_image_and_a_part_of_a_part(files: ImageFiles, arrays: np.ndarray) -> None:
    assert np.array_equal(files[-1], arrays[-1])
    assert np.array_equal(files[np.int64(2)], arrays[2])
    part = files[1:][np.array([2, 0])]
    assert np.array_equal(part[0], arrays[3]) and np.array_equal(part[1], arrays[1])
    assert part.name(0).endswith("3.png")
    with pytest.raises(IndexError):
        files[COUNT]


@pytest.mark.parametrize(
    ("mode", "shape"),
    [("L", (4, 6)), ("1", (4, 6)), ("LA", (4, 6)), ("RGB", (4, 6, 3)), ("RGBA", (4, 6, 3)), ("P", (4, 6, 3))],
)
def test_grey_stays_grey_and_colour_colour(mode: str, shape: tuple[int, ...]) -> None:
    source = Image.fromarray(pixels(0, 4, 6, colour=True)).convert(mode)
    file = io.BytesIO()
    source.save(file, "PNG")
    image = decode(file.getvalue(), "it")
    assert image.shape == shape and image.dtype == np.uint8
    assert np.array_equal(image, np.asarray(source.convert("L" if len(shape) == 2 else "RGB")))


def test_sixteen_bits_become_eight_by_their_upper_byte() -> None:
    deep = np.array([[0, 255, 256], [32768, 65280, 65535]], dtype=np.uint16)
    assert decode(encoded(deep), "it").tolist() == [[0, 0, 1], [128, 255, 255]]


def test_the_orientation_in_exif_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees
    image = pixels(1, 8, 16)
    assert np.array_equal(decode(encoded(image, exif=exif), "it"), image)


@pytest.mark.parametrize("data", [b"", b"no image", encoded(pixels(0))[:200], encoded(pixels(0), "JPEG")[:300]])
def test_a_damaged_file_is_named(data: bytes, tmp_path: Path, files: ImageFiles) -> None:
    (tmp_path / "1.png").write_bytes(data)
    data_set = FaceDataset(faces_of(files), lambda image: torch.tensor(image.size))
    assert data_set[0][0].tolist() == [16, 20]
    with pytest.raises(DataError, match=r"1\.png cannot be decoded: .*skip_damaged=True"):
        data_set[1]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_damaged_file_ends_training_with_its_name(workers: int, tmp_path: Path, files: ImageFiles) -> None:
    (tmp_path / "3.png").write_bytes(b"no image")
    loader = DataLoader(FaceDataset(faces_of(files), lambda image: torch.zeros(1)), num_workers=workers)
    with pytest.raises(DataError, match=r"3\.png cannot be decoded"):
        list(loader)


def test_a_file_that_is_gone_is_named(tmp_path: Path, files: ImageFiles) -> None:
    (tmp_path / "2.png").unlink()
    with pytest.raises(DataError, match=r"2\.png is missing"):
        files[2]


def test_images_of_another_library() -> None:
    def get(row: int) -> object:
        if row == 2:
            raise OSError("a broken shard")
        return [Image.fromarray(pixels(0)), encoded(pixels(1))][row]

    images = DecodedImages(3, get, "hf:x")
    assert np.array_equal(images[0], pixels(0)) and np.array_equal(images[1], pixels(1))
    with pytest.raises(DataError, match="image 2 of hf:x cannot be decoded: a broken shard"):
        images[2]


def test_in_memory_is_the_same(files: ImageFiles, arrays: np.ndarray) -> None:
    lazy = faces_of(files)
    memory = lazy.in_memory()
    assert np.array_equal(memory.images, arrays)
    assert memory.digests() == lazy.digests() == faces_of(arrays).digests()
    assert np.array_equal(memory.groups, lazy.groups) and memory.class_names == lazy.class_names
    assert memory.in_memory() is memory
    a, b = (FaceDataset(f, lambda image: torch.tensor(np.asarray(image).copy()))[3][0] for f in (lazy, memory))
    assert torch.equal(a, b)


def test_images_of_two_sizes_cannot_lie_in_one_array(tmp_path: Path, files: ImageFiles) -> None:
    save(tmp_path / "4.png", pixels(9, 10, 30))
    with pytest.raises(DataError, match=r"4 are 20x16.*1 have 1 other sizes, first \S+4\.png with 10x30.*Resize"):
        faces_of(files).in_memory()


def test_grey_and_colour_of_one_size_become_colour(tmp_path: Path, files: ImageFiles) -> None:
    grey = pixels(9, 20, 16)
    save(tmp_path / "0.png", grey)
    lazy = faces_of(files)
    memory = lazy.in_memory()
    assert memory.images.shape == (COUNT, 20, 16, 3)
    assert all(np.array_equal(memory.images[0][..., c], grey) for c in range(3))
    assert memory.digests() == lazy.digests()


def test_what_fits_is_decoded_once_and_what_does_not_stays(
    tmp_path: Path, files: ImageFiles, arrays: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ferzoo.data.faces.FEW", 2)
    lazy = faces_of(files)
    memory = lazy.fitting_memory(arrays.nbytes)
    assert np.array_equal(memory.images, arrays) and np.array_equal(memory.groups, lazy.groups)
    assert memory.fitting_memory(0) is memory
    assert lazy.fitting_memory(arrays.nbytes - 1) is lazy
    none = lazy.take(slice(0))
    assert none.fitting_memory() is none
    for i in range(3):
        save(tmp_path / f"{i}.png", pixels(i, 20, 16))
    mixed = lazy.fitting_memory(arrays.nbytes)
    assert mixed.digests() == lazy.digests() and np.array_equal(mixed.images, lazy.in_memory().images)
    assert lazy.fitting_memory(arrays.nbytes - 1) is lazy  # by the first, which is grey, it would fit
    save(tmp_path / "3.png", pixels(9, 10, 30))
    assert lazy.fitting_memory() is lazy
    (tmp_path / "4.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"4\.png cannot be decoded"):
        faces_of(files[np.array([0, 4])]).fitting_memory()


def test_take_keeps_everything_together(files: ImageFiles) -> None:
    rows = np.array([4, 0, 2])
    part = faces_of(files).take(rows)
    assert part.labels.tolist() == [0, 0, 0] and part.groups is not None and part.groups.tolist() == [2, 0, 1]
    assert part.angles is not None and np.array_equal(part.angles, [3, np.nan, 1], equal_nan=True)
    assert np.array_equal(part.images[0], files[4])
    plain = Faces(files, part.targets[[0] * COUNT], np.zeros(COUNT, int), ())
    assert plain.take(slice(2)).angles is None and plain.take(slice(2)).groups is None


def test_unseen_goes_by_pixels_and_shape(tmp_path: Path, arrays: np.ndarray, files: ImageFiles) -> None:
    lazy, memory = faces_of(files), faces_of(arrays)
    assert not lazy.unseen(memory).any() and not memory.unseen(lazy).any()
    assert lazy.unseen(memory.take(slice(2))).tolist() == [False, False, True, True, True]
    same_bytes = faces_of(arrays.reshape(COUNT, 16, 20, 3))
    assert same_bytes.unseen(memory).all()


def test_one_of_everything_for_each_face(arrays: np.ndarray) -> None:
    targets, labels = np.zeros((COUNT, 2), np.float32), np.zeros(COUNT, np.int64)
    for change in ({"labels": labels[1:]}, {"targets": targets[1:]}, {"angles": labels[1:]}, {"groups": labels[1:]}):
        [name] = change
        values = {"targets": targets, "labels": labels, **change}
        with pytest.raises(DataError, match=f"5 images, but 4 {name}"):
            Faces(arrays, class_names=("a", "b"), **values)
