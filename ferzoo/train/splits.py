"""The rows that a run trains and measures on."""

from __future__ import annotations

from ..data.faces import Faces
from ..errors import DataError, RecipeError
from .folds import fold_rows
from .recipe import Recipe

__all__ = ["read_splits"]


def read_splits(recipe: Recipe, faces: dict[str, Faces] | None = None) -> tuple[Faces, Faces]:
    """Training and validation rows of a recipe.

    Args:
        recipe: Data set, splits, folds and limit.
        faces: The splits ``"train"`` and ``"validation"``, read from the recipe's folder where None.

    Raises:
        DataError: If the data is missing or incomplete, or the splits have other classes.
        RecipeError: If a batch is larger than the training rows.
    """
    if faces is None:
        from ..data.readers import read_faces

        names = {"train": recipe.train_split}
        if not recipe.folds:
            names["validation"] = recipe.validation_split
        faces = {key: read_faces(recipe.dataset, recipe.data, split, recipe.soft) for key, split in names.items()}
    train = faces["train"]
    if recipe.folds:
        fold = fold_rows(train, recipe.folds, recipe.seed)
        validation = train.take((fold == recipe.fold).nonzero()[0])
        train = train.take((fold != recipe.fold).nonzero()[0])
    else:
        validation = faces["validation"]
    if train.class_names != validation.class_names:
        raise DataError(
            f"The training rows have the classes {', '.join(train.class_names)}, the validation rows "
            f"{', '.join(validation.class_names)}."
        )
    if recipe.limit:
        train = train.take(slice(recipe.limit))
    if len(train) < recipe.batch_size:
        raise RecipeError(f"batch_size {recipe.batch_size} is more than the {len(train)} training rows.")
    return train, validation
