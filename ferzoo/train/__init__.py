"""Recipes, the training loop and evaluation.

The package can be called: ``ferzoo.train("recipe.yaml", epochs=3)`` trains. A function of that name could not stand
beside it, because importing any module of `ferzoo.train` binds the package to the name.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..data.faces import Faces
    from .recipe import Recipe

__all__ = ["Recipe", "TrainPackage"]


class TrainPackage(ModuleType):
    """The package `ferzoo.train`, which trains when it is called."""

    def __call__(
        self,
        recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str] | None = None,
        *,
        resume: bool = False,
        faces: dict[str, Faces] | None = None,
        **overrides: Any,
    ) -> Path:
        """Train a network and write a checkpoint folder, as `ferzoo train` does.

        Args:
            recipe: A `Recipe`, its fields as a mapping, or the path of a YAML file; the defaults where None. With
                `folds` it trains the one fold that it names, or all in turn, as
                `ferzoo.train.crossval.cross_validate` does.
            resume: Continue the run in the recipe's folder.
            faces: The splits ``"train"`` and ``"validation"``, read from the recipe's folder where None.
            **overrides: Fields of the recipe to change.

        Returns:
            The folder, the recipe's `out`, which every command and `load_model` take; with `folds` and no `fold` it
            holds such a folder for each, and their mean and spread in `folds.json`.

        Raises:
            RecipeError: If a field is unknown or out of range, or does not fit the others; names the nearest.
            CheckpointError: If the folder holds a run and `resume` is false, or it cannot be resumed; if the loss or
                its gradient is not finite any more, and what is kept then.
            DataError: If the data is missing or incomplete.

        Examples:
            >>> import ferzoo
            >>> folder = ferzoo.train(model="lanmsff", data="FOLDER", out="runs/lanmsff")  # doctest: +SKIP
        """
        from .crossval import cross_validate
        from .loop import train
        from .recipe import Recipe

        if recipe is None or isinstance(recipe, str | os.PathLike):
            recipe = Recipe.load(None if recipe is None else Path(recipe))
        elif isinstance(recipe, Mapping):
            recipe = Recipe.from_dict(recipe)
        if overrides:
            recipe = Recipe.from_dict({**recipe.to_dict(), **overrides})
        if recipe.folds and recipe.fold < 0:
            return cross_validate(recipe, recipe.folds, resume, faces).parent
        return train(recipe, resume=resume, faces=faces)

    @property
    def Recipe(self) -> type[Recipe]:  # noqa: N802
        """The class of recipes, `ferzoo.train.recipe.Recipe`."""
        from .recipe import Recipe

        return Recipe


sys.modules[__name__].__class__ = TrainPackage
