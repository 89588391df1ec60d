"""The rows that a run trains and measures on."""

from __future__ import annotations

import numpy as np

from ..data.faces import Faces
from ..errors import DataError, RecipeError, UnknownNameError, reworded
from .folds import fold_rows
from .recipe import Recipe

__all__ = ["KEYS", "measured_split", "read_splits"]

#: How errors about data name an argument of `read_faces`, and what a recipe says in its place; of one in a process that
#: loads images, its own text alone.
KEYS = {
    r"(?s)\ACaught DataError in DataLoader worker process.*ferzoo\.errors\.DataError: (.*?)\s*\Z": r"\1",
    "strict=False": "strict=false",
    "skip_damaged=True": "skip_damaged=true",
    r"columns=\(image, label\)": "columns=[image, label]",
}


@reworded(KEYS)
def read_splits(recipe: Recipe, faces: dict[str, Faces] | None = None) -> tuple[Faces, Faces]:
    """Training and validation rows of a recipe, decoded where it says so and they fit.

    Args:
        recipe: Data set, splits, folds and limit.
        faces: The splits ``"train"`` and ``"validation"``, read from the recipe's folder where None.

    Raises:
        DataError: If the data is missing, incomplete or damaged, or the splits have other classes.
        RecipeError: If a batch is larger than the training rows, or the data set has no such split.
        UnknownNameError: If there is no such data set; names the nearest.
    """
    if recipe.folds and recipe.fold < 0:
        raise RecipeError(f"Of folds={recipe.folds} one validates: set fold, or take all in turn by cross_validate.")
    if faces is None:
        keys = ("train",) if recipe.folds else ("train", "validation")
        faces = {key: _read(recipe, key) for key in keys}
    train = faces["train"]
    if recipe.folds:
        if train.groups is None:  # identical images have to be found among all
            train = _decoded(recipe, train)
        fold = fold_rows(train, recipe.folds, recipe.seed)
        validation = train.take((fold == recipe.fold).nonzero()[0])
        train = train.take((fold != recipe.fold).nonzero()[0])
    else:
        validation = faces["validation"]
    if train.class_names != validation.class_names:
        raise DataError(
            f"The training rows have the classes {', '.join(train.class_names)}, the validation rows "
            f"{', '.join(validation.class_names)}. Where one of them lacks a class, give all as "
            "class_names=[NAME, NAME]."
        )
    if 0 < recipe.limit < len(train):
        # Not the first: class folders are read class by class.
        rows = np.random.default_rng(recipe.seed).choice(len(train), recipe.limit, replace=False)
        train = train.take(np.sort(rows))
    if len(train) < recipe.batch_size:
        raise RecipeError(f"batch_size {recipe.batch_size} is more than the {len(train)} training rows.")
    return _decoded(recipe, train), _decoded(recipe, validation)


def measured_split(recipe: Recipe) -> str:
    """What a run's figures are of, in words: a fold is a part of the training split."""
    if recipe.folds:
        return f"{recipe.train_split}, fold {recipe.fold} of {recipe.folds}"
    return recipe.validation_split


def _read(recipe: Recipe, key: str) -> Faces:
    """The split ``"train"`` or ``"validation"``; an error names the recipe's key that helps."""
    from ..data.readers import find_dataset, read_faces, split_to_measure

    known = find_dataset(recipe.dataset)
    try:
        return read_faces(
            recipe.dataset,
            recipe.data,
            recipe.train_split if key == "train" else recipe.validation_split,
            recipe.soft,
            strict=recipe.strict,
            skip_damaged=recipe.skip_damaged,
            class_names=recipe.class_names or None,
            columns=(recipe.columns[0], recipe.columns[1]) if recipe.columns else None,
        )
    except UnknownNameError as error:
        if not error.kind.startswith("split of "):
            raise
        other = split_to_measure(known) if key == "validation" else ""
        instead = f"={other}" if other else " to one of them"
        raise RecipeError(f"{error} Set {key}_split{instead}.") from error


def _decoded(recipe: Recipe, faces: Faces) -> Faces:
    return faces.fitting_memory() if recipe.in_memory else faces
