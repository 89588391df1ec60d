"""Data sets of timm, and of Hugging Face's library through a stand-in for it."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from image_trees import class_tree, encoded, pixels, save

from ferzoo.data.faces import Faces
from ferzoo.data.readers import read_faces
from ferzoo.errors import DataError, DataWarning, MissingPackageError


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Two splits; validation lacks a class."""
    class_tree(tmp_path / "train", ["angry", "happy", "sad"], each=2)
    class_tree(tmp_path / "val", ["happy", "sad"], start=10)
    return tmp_path


def names_of(faces: Faces) -> list[str]:
    return [faces.class_names[label] for label in faces.labels]


def test_timm_never_takes_the_whole_folder_for_a_split(tree: Path) -> None:
    with pytest.raises(DataError, match="it has no folder test"):
        read_faces("timm:folder", tree, "test")
    assert len(read_faces("timm:folder", tree / "train", "all")) == 6


@pytest.mark.parametrize("name", ["nonsense", "torch/nonsense", "torch/cifar10", "nonsense/x"])
def test_what_timm_does_not_have(name: str, tree: Path) -> None:
    with pytest.raises(DataError, match=f"timm has no data set '{name}'.*timm:folder"):
        read_faces(f"timm:{name}", tree, "train")


class Table:
    """What the library datasets gives, as far as the reader uses it."""

    def __init__(self, columns: dict[str, list[Any]], features: dict[str, Any]) -> None:
        self.columns, self.features = columns, features

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key: str | int) -> Any:
        return self.columns[key] if isinstance(key, str) else {k: v[key] for k, v in self.columns.items()}

    def cast_column(self, name: str, feature: Any) -> Table:
        assert name in self.features and feature.decode is False
        return self


class ClassLabel:
    def __init__(self, names: list[str]) -> None:
        self.names = names


class Image:
    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Stands for the library datasets; holds the table to give and what was asked for."""
    state: dict[str, Any] = {}

    def load_dataset(*args: Any, **kwargs: Any) -> Table:
        state["asked"] = (args, kwargs)
        if "table" not in state:
            raise RuntimeError("it is not there")
        return state["table"]

    module = types.ModuleType("datasets")
    module.load_dataset, module.Image = load_dataset, Image  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "datasets", module)
    images = [{"bytes": encoded(pixels(i)), "path": None} for i in range(3)]
    state["columns"] = {"face": images, "id": [7, 8, 9], "emotion": [1, 0, 1]}
    state["features"] = {"face": Image(), "id": object(), "emotion": ClassLabel(["happy", "sad"])}
    return state


def test_a_data_set_of_hugging_face(library: dict[str, Any], tmp_path: Path) -> None:
    library["table"] = Table(library["columns"], library["features"])
    faces = read_faces("hf:someone/faces", tmp_path, "train")
    assert library["asked"] == (("someone/faces",), {"split": "train"})
    assert faces.class_names == ("happy", "sad") and faces.labels.tolist() == [1, 0, 1]
    assert np.array_equal(faces.images[2], pixels(2))
    turned = read_faces("hf:someone/faces", tmp_path, "train", class_names=["neutral", "sadness", "happiness"])
    assert turned.labels.tolist() == [1, 2, 1] and turned.targets.shape == (3, 3)
    with pytest.raises(DataError, match="has the classes sad, which class_names lack"):
        read_faces("hf:someone/faces", tmp_path, "train", class_names=["happy", "neutral"])
    with pytest.raises(DataError, match="has no column lable; it has face, id, emotion"):
        read_faces("hf:someone/faces", tmp_path, "train", columns=("face", "lable"))


@pytest.mark.parametrize(
    ("labels", "names", "indices"),
    [(["sad", "happy", "sad"], ("happy", "sad"), [1, 0, 1]), ([2, 0, 2], ("0", "1", "2"), [2, 0, 2])],
)
def test_labels_without_a_type(
    labels: list[Any], names: tuple[str, ...], indices: list[int], library: dict[str, Any], tmp_path: Path
) -> None:
    columns = {**library["columns"], "emotion": labels}
    library["table"] = Table(columns, {**library["features"], "emotion": object()})
    faces = read_faces("hf:x", tmp_path, "train")
    assert faces.class_names == names and faces.labels.tolist() == indices


def test_what_cannot_be_told_of_a_table(library: dict[str, Any], tmp_path: Path) -> None:
    library["table"] = Table(library["columns"], {"face": Image(), "id": object(), "code": object()})
    with pytest.raises(DataError, match=r"no column that is surely the label: it has face, id, code.*columns=\(image"):
        read_faces("hf:x", tmp_path, "train")
    library["table"] = Table({**library["columns"], "emotion": [0, 1, 2]}, library["features"])
    with pytest.raises(DataError, match="labels go from 0 to 2, there are 2 classes"):
        read_faces("hf:x", tmp_path, "train")
    library["table"] = Table({**library["columns"], "emotion": [0.5, 1, 2]}, library["features"])
    with pytest.raises(DataError, match=r"a label is neither a number nor a name: 0\.5"):
        read_faces("hf:x", tmp_path, "train")
    del library["table"]
    with pytest.raises(DataError, match="hf:x, split train, cannot be loaded: it is not there"):
        read_faces("hf:x", tmp_path, "train")


def test_local_files_for_hugging_face(library: dict[str, Any], tmp_path: Path) -> None:
    library["table"] = Table(library["columns"], library["features"])
    with pytest.raises(DataError, match=r"there is no file train\*\.parquet"):
        read_faces("hf:parquet", tmp_path, "train")
    for name in ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet", "test.parquet"):
        (tmp_path / name).write_bytes(b"")
    read_faces("hf:parquet", tmp_path, "train")
    files = library["asked"][1]["data_files"]
    assert [Path(path).name for path in files["train"]] == [
        "train-00000-of-00002.parquet",
        "train-00001-of-00002.parquet",
    ]
    read_faces("hf:imagefolder", tmp_path, "train")
    assert library["asked"] == (("imagefolder",), {"split": "train", "data_dir": str(tmp_path)})
    (tmp_path / "mine").mkdir()
    read_faces("hf:mine", tmp_path, "train")
    assert library["asked"][0] == (str(tmp_path / "mine"),)


def test_a_damaged_image_of_hugging_face(library: dict[str, Any], tmp_path: Path) -> None:
    library["columns"]["face"][1] = {"bytes": b"no image", "path": None}
    library["columns"]["face"][2] = {"bytes": None, "path": str(save(tmp_path / "2.png", pixels(2)))}
    library["table"] = Table(library["columns"], library["features"])
    with pytest.warns(DataWarning, match="1 of 3 images cannot be decoded and are left out: image 1 of hf:x"):
        faces = read_faces("hf:x", tmp_path, "train", skip_damaged=True)
    assert faces.labels.tolist() == [1, 1] and np.array_equal(faces.images[1], pixels(2))


def test_a_row_without_an_image(library: dict[str, Any], tmp_path: Path) -> None:
    library["columns"]["face"][1:] = [None, {"bytes": None, "path": None}]
    library["table"] = Table(library["columns"], library["features"])
    with pytest.raises(DataError, match="image 1 of hf:x cannot be decoded: the table has no image there"):
        read_faces("hf:x", tmp_path, "train").images[1]
    with pytest.warns(DataWarning, match="2 of 3 images"):
        assert len(read_faces("hf:x", tmp_path, "train", skip_damaged=True)) == 1


def test_without_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(MissingPackageError, match="Reading hf:x needs the package 'datasets': pip install datasets"):
        read_faces("hf:x", tmp_path, "train")


def test_the_real_library_reads_an_image_folder(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    datasets = pytest.importorskip("datasets")
    datasets.config.HF_DATASETS_CACHE = tmp_path_factory.mktemp("cache")
    faces, plain = read_faces("hf:imagefolder", tree, "train"), read_faces("folder", tree, "train")
    assert sorted(zip(faces.digests(), names_of(faces), strict=True)) == sorted(
        zip(plain.digests(), names_of(plain), strict=True)
    )
