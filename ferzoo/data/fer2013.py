"""FER-2013 (Goodfellow et al. 2013): Kaggle's csv, the image folders that circulate, and parquet."""

from __future__ import annotations

from pathlib import Path

from ..errors import DataError
from ..labels import FER2013
from .dataset import Dataset, Found, Query, warn
from .fer2013_tables import (
    USAGE,
    csv_images,
    decode_pixels,
    decode_stored,
    find_csv,
    parquet_path,
    parquet_rows,
    stacked,
)
from .ferplus import ROWS, read_ferplus
from .layouts import class_files, places_below, split_folder, subfolders, whole
from .lazy_images import ImageFiles

# read_ferplus and ROWS began here.
__all__ = ["COUNTS", "FER2013_DATASET", "ROWS", "read_ferplus"]

COUNTS = {"train": 28709, "validation": 3589, "test": 3589}
#: The parquet of the FERPlus rows leaves out the training images that show no face.
WITH_FACE = {"train": 28558}


def _from_parquet(query: Query, path: Path) -> Found:
    images, labels = [], []
    for i, row in enumerate(parquet_rows(path, ("image", "label"))):
        where = f"{path}: the image of row {i}"
        labels.append(whole(str(row["label"]), f"{path}, row {i}", "label", 0, len(FER2013) - 1))
        images.append(decode_stored(query, row["image"], where))
    also = (WITH_FACE[query.split],) if query.split in WITH_FACE else ()
    return _decoded(images, labels, path, also)


def _decoded(images: list, labels: list[int], where: Path, also: tuple[int, ...] = ()) -> Found:
    """From images in memory, None where they are damaged, and their labels."""
    kept = [i for i, image in enumerate(images) if image is not None]
    return Found(stacked([images[i] for i in kept]), [labels[i] for i in kept], where, also=also)


def _from_csv(query: Query, path: Path) -> Found:
    images, labels = [], []
    for line, emotion, pixels, usage in csv_images(path):
        if usage == USAGE[query.split]:
            where = f"{path}, line {line}"
            labels.append(whole(emotion, where, "emotion", 0, len(FER2013) - 1))
            images.append(decode_pixels(query, pixels, where))
    return _decoded(images, labels, path)


def _from_folders(query: Query, root: Path) -> Found:
    """Class folders of a train and a test split; file names may tell the two halves of test apart."""
    own = split_folder(root, query.split)
    if query.split == "train" or (split_folder(root, "validation") and own):
        assert own is not None  # the layout was recognised by it
        paths, labels = class_files(query, own, FER2013, first=0)
        return Found(ImageFiles(paths), labels, own)
    test = split_folder(root, "test")
    if test is None:
        query.not_found(f"{root} has the sub-folders {', '.join(p.name for p in subfolders(root))}, but no test")
    paths, labels = class_files(query, test, FER2013, first=0)
    usages = [Path(path).name.partition("_")[0] for path in paths]
    if set(usages) <= {"PublicTest", "PrivateTest"}:
        rows = [i for i, usage in enumerate(usages) if usage == USAGE[query.split]]
        return Found(ImageFiles([paths[i] for i in rows]), [labels[i] for i in rows], test)
    both = COUNTS["validation"] + COUNTS["test"]
    message = (
        f"FER-2013's image folders have train and test alone: {test} holds {len(paths)} images, of the {both} that "
        "PublicTest (the split validation) and PrivateTest (the split test) make together, and its file names do not "
        "begin with PublicTest_ or PrivateTest_, which would tell them apart."
    )
    if query.strict or query.split != "test":
        raise DataError(
            f"{message} Take fer2013.csv or parquet; or strict=False with the split test, for all of {test.name}."
        )
    warn(f"{message} All of them are taken for the split test.")
    return Found(ImageFiles(paths), labels, test, also=(both,))


def read(query: Query) -> Found:
    """Read a split of FER-2013 from any of its layouts."""
    path = parquet_path(query.folder, query.split)
    if path is not None:
        return _from_parquet(query, path)
    path = find_csv(query.folder)
    if path is not None:
        return _from_csv(query, path)
    for root in places_below(query.folder):
        if split_folder(root, "train"):
            return _from_folders(query, root)
    query.not_found(f"there is neither {query.split}.parquet nor fer2013.csv, icml_face_data.csv or a folder train")


FER2013_DATASET = Dataset(
    name="fer2013",
    title="FER-2013",
    summary="Faces from a web search, 48x48 grey, 7 classes.",
    labels=FER2013,
    counts=COUNTS,
    layouts={
        "Kaggle's fer2013.csv or icml_face_data.csv": "FOLDER/\n  fer2013.csv              emotion,pixels,Usage",
        "image folders train/CLASS and test/CLASS": (
            "FOLDER/\n  train/\n    angry/\n      Training_3908.jpg ...\n    disgust/ ...\n  test/\n    angry/\n"
            "      PublicTest_1054527.jpg ...\n      PrivateTest_731447.jpg ..."
        ),
        "parquet files with the columns image and label": "FOLDER/\n  train.parquet\n  validation.parquet",
    },
    obtain=(
        'Kaggle\'s competition "Challenges in Representation Learning: Facial Expression Recognition Challenge", and '
        "copies of it there as image folders."
    ),
    citation=(
        "I. J. Goodfellow et al.: Challenges in Representation Learning: A Report on Three Machine Learning Contests. "
        "ICONIP 2013"
    ),
    terms="Research. The images were found on the web and keep their owners; the data set names no licence of its own.",
    read=read,
    notes=(
        "The splits train, validation and test are what FER-2013 calls Training, PublicTest and PrivateTest. The image "
        "folders have train and test alone, and test is PublicTest and PrivateTest together, 7,178 images: the reader "
        "tells them apart by the file names where these begin with `PublicTest_` and `PrivateTest_`, and says so where "
        "they do not. The parquet of the FERPlus rows holds 28,558 training images, without the 151 that show no face. "
        "FER-2013 repeats itself: hundreds of validation and test images also occur, pixel for pixel, in train."
    ),
)
