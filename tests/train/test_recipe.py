"""Recipes: YAML, overrides, and clear errors for wrong ones."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from ferzoo.errors import RecipeError
from ferzoo.train.recipe import Recipe


def test_yaml_and_overrides(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(yaml.safe_dump({"model": "lanmsff", "sizes": {0: 32, 5: 48}, "scale": [0.9, 1.1]}))
    recipe = Recipe.load(path, ["lr=1e-3", "epochs=7", "model_kwargs={block_drop_rate: 0.1}", "soft=false"])
    assert (recipe.model, recipe.lr, recipe.epochs, recipe.soft) == ("lanmsff", 1e-3, 7, False)
    assert recipe.model_kwargs == {"block_drop_rate": 0.1}
    assert [recipe.size_at(e) for e in (0, 4, 5, 6)] == [32, 32, 48, 48]
    assert recipe.final_size == 48
    assert Recipe.load(path, ["epochs=6"]).final_size == 48
    assert Recipe.from_dict(recipe.to_dict()) == recipe


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epoch=3", "Did you mean epochs"),
        ("epochs", "key=value"),
        ("epochs=0", "epochs must be above 0"),
        ("epochs=many", "epochs must be int"),
        ("lr=-1", "lr must be above 0"),
        ("lr=nan", "lr must be above 0"),
        ("batch_size=1", "batch_size must be 2"),
        ("erasing=1.5", r"erasing must lie in \[0, 1\]"),
        ("sizes={3: 64}", "from epoch 0"),
        ("compile=3", "compile must be bool"),
        ("scale=[1]", "scale must be tuple"),
        ("scale=[a, b]", "smallest and the largest factor"),
        ("scale=[1.2, 0.8]", "smallest and the largest factor"),
        ("sizes={a: 3}", "sizes maps first epochs"),
        ("sizes={0: 8}", "32 px or more"),
        ("sizes={0: 32, 14: 48}", "sizes names epoch 14"),
        ("sizes={0: [", "no valid YAML"),
        ("threads=-1", "threads must be 0 or more"),
    ],
)
def test_wrong_overrides(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.load(None, [override])


@pytest.mark.parametrize("content", ["- a list", "a: [unclosed", "\x00"])
def test_wrong_files(content: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(RecipeError, match=r"r\.yaml"):
        Recipe.load(tmp_path / "r.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.load(tmp_path / "absent.yaml")
