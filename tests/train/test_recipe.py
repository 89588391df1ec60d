"""Recipes: YAML, overrides, and clear errors for wrong ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

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
        ("epochs=many", r"epochs must be a whole number; got 'many'"),
        ("lr=-1", "lr must be above 0"),
        ("lr=nan", "lr must be finite, got nan"),
        ("lr=.inf", "lr must be finite, got inf"),
        ("weight_decay=inf", "weight_decay must be finite"),
        ("temperature=-inf", "temperature must be finite"),
        ("scale=[0.9, .inf]", "scale must be finite"),
        ("lr=true", "lr must be a number; got True"),
        ("model=3", "model must be text; got 3"),
        ("batch_size=1", "batch_size must be 2"),
        ("erasing=1.5", r"erasing must lie in \[0, 1\]"),
        ("sizes={3: 64}", "from epoch 0"),
        ("compile=3", "compile must be true or false; got 3"),
        ("scale=1", r"scale must be the smallest and the largest factor, \[0\.9, 1\.1\]; got 1"),
        ("scale=[1]", r"\[0\.9, 1\.1\]; got \[1\]"),
        ("scale=[a, b]", r"\[0\.9, 1\.1\]; got \['a', 'b'\]"),
        ("scale=[1.2, 0.8]", "smallest and the largest factor"),
        ("sizes=64", r"sizes must be a mapping from first epochs to sides in pixels, \{0: 64\}; got 64"),
        ("sizes={a: 3}", r"\{0: 64\}; got \{'a': 3\}"),
        ("sizes={0: .inf}", r"\{0: 64\}; got \{0: inf\}"),
        ("opt_kwargs=0.9", r"opt_kwargs must be a mapping, \{momentum: 0\.9\}; got 0\.9"),
        ("erasing_area=0.2", r"erasing_area must be .*\[0\.02, 0\.2\]; got 0\.2"),
        ("erasing_area=[0, 0.2]", "above 0 and at most 1"),
        ("erasing_area=[0.3, 0.2]", "above 0 and at most 1"),
        ("class_names=anger", r"class_names must be a list of names, \[anger, happiness\]; got 'anger'"),
        ("class_names=[1, 2]", r"class_names must be a list of names"),
        ("class_names=[anger, anger]", "class_names must differ"),
        ("columns=[image]", r"columns must be the image and the label column, \[image, label\]"),
        ("unseen=0", "unseen must be true or false; got 0"),
        ("sizes={0: 48.7}", r"sizes must be a mapping .*; got \{0: 48\.7\}"),
        ("sizes={0: true}", r"sizes must be a mapping .*; got \{0: True\}"),
        ("sizes={0.5: 48}", r"sizes must be a mapping .*; got \{0\.5: 48\}"),
        ("sizes={0: 48, 0: 64}", "the key 0 is there twice"),
        ("sizes={0: 48, '0': 64}", "sizes names an epoch twice"),
        ("sizes={0: 8}", "32 px or more"),
        ("sizes={0: 32, 14: 48}", "sizes names epoch 14"),
        ("sizes={0: [", "no valid YAML"),
        ("threads=-1", "threads must be 0 or more"),
        ("threads=100000", "threads must be at most 1,024, got 100,000"),
        ("workers=100000", "workers must be at most 1,024"),
        ("seed=-5", "seed must be 0 or more, got -5"),
        ("seed=1_000", "seed must be a whole number; got '1_000'"),
        ("lr=1_000", "lr must be a number; got '1_000'"),
        ("sizes={0: '4_8'}", r"sizes must be a mapping .*; got \{0: '4_8'\}"),
        ("sizes={0: 48, '1_0': 64}", r"sizes must be a mapping .*; got \{0: 48, '1_0': 64\}"),
        ("seed=!!int x", "no valid YAML: 'x' cannot be read as !!int"),
        ("lr=!!float ''", "no valid YAML: '' cannot be read as !!float"),
        ("seed=!!bool x", "no valid YAML: 'x' cannot be read as !!bool"),
        ("seed=!!timestamp x", "no valid YAML: 'x' cannot be read as !!timestamp"),
        ("model_kwargs={!!bool x: 1}", "no valid YAML: 'x' cannot be read as !!bool"),
        ("lr=!!float " + ":".join(["1"] * 300), "no valid YAML: '1:1:1:1:1:1:.*' cannot be read as !!float"),
        ("seed=" + "1" * 5000, r"no valid YAML: '1+\.\.\.1{,20}' cannot be read as !!int"),
        ("model=no", "got False. YAML takes yes, no, on and off for true and false: put the word that you wrote in"),
        ("model=010", "got 10. Put what you wrote in quotes"),
        ("model=lanmsff.ferplus", "write model=lanmsff init=lanmsff.ferplus"),
        ("model=resnet18.a1_in1k", "write model=resnet18 init=resnet18.a1_in1k"),
        ("model=timm:resnet18.a1_in1k", "write model=timm:resnet18 init=timm:resnet18.a1_in1k"),
        ("model=timm:hf-hub:me/a", "write model=ARCHITECTURE init=timm:hf-hub:me/a"),
        ("model=hf-hub:me/a.b", "write model=ARCHITECTURE init=hf-hub:me/a.b"),
        ("model=./runs/a", "write model=ARCHITECTURE init=./runs/a"),
    ],
)
def test_wrong_overrides(override: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.load(None, [override])


def test_how_the_data_is_read() -> None:
    given = ["strict=false", "skip_damaged=true", "in_memory=false", "unseen=false", "erasing_area=[0.02, 0.25]"]
    recipe = Recipe.load(None, [*given, "class_names=[anger, happiness]", "columns=[face, expression]"])
    assert (recipe.strict, recipe.skip_damaged, recipe.in_memory, recipe.unseen) == (False, True, False, False)
    assert recipe.erasing_area == (0.02, 0.25) and recipe.class_names == ("anger", "happiness")
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    assert recipe.to_dict()["columns"] == ["face", "expression"]
    assert (Recipe().strict, Recipe().skip_damaged, Recipe().unseen) == (True, False, True)


@pytest.mark.parametrize(
    ("override", "value"),
    [
        ("seed=010", 10),
        ("seed=0o10", 8),
        ("seed=0x1F", 31),
        ("lr=2.5e-3", 2.5e-3),
        ("lr=1E-3", 1e-3),
        ("lr=.5", 0.5),
        ("weight_decay=0", 0.0),
        ("out=2026-01-31", "2026-01-31"),
        ("out=1:30", "1:30"),
        ("lr='3e-3'", 3e-3),
        ("sizes={0: 48, 3: 0x40}", {0: 48, 3: 64}),
        ("model_kwargs={a: yes, b: .5, c: 1e2, d: '010'}", {"a": True, "b": 0.5, "c": 100.0, "d": "010"}),
    ],
)
def test_numbers_are_those_of_yaml_1_2(override: str, value: Any) -> None:
    assert getattr(Recipe.load(None, [override]), override.partition("=")[0]) == value


@pytest.mark.parametrize("content", ["epochs: 1\nlr: 0.1\nepochs: 2\n", "model_kwargs:\n  epochs: 1\n  epochs: 1\n"])
def test_a_key_that_is_there_twice_is_named(content: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(RecipeError, match=r"r\.yaml is no valid YAML: the key epochs is there twice"):
        Recipe.load(tmp_path / "r.yaml")


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ("{0: 48, 0x0: 64}", "the key 0x0 is there twice, as 0 before"),
        ("{0: 48, 00: 64}", "the key 00 is there twice, as 0 before"),
        ("{1: a, 1.0: b}", r"the key 1\.0 is there twice, as 1 before"),
        ("{true: a, yes: b}", "the key yes is there twice, as true before"),
        ("{~: a, null: b}", "the key null is there twice, as ~ before"),
        ("{a: 1, 'a': 2}", "the key a is there twice"),
        ("{=: 1, '=': 2}", "the key = is there twice"),
        ("{<<: {a: 1}, <<: {b: 2}}", "the key << is there twice"),
    ],
)
def test_a_key_that_is_there_twice_in_another_spelling(keys: str, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        Recipe.load(None, [f"model_kwargs={keys}"])


def test_keys_that_differ_stay() -> None:
    given = {"1": 1, 1: 2, "<<": 3, "~": 4, None: 5, "=": "="}
    assert Recipe.load(None, ["model_kwargs={'1': 1, 1: 2, '<<': 3, '~': 4, ~: 5, =: =}"]).model_kwargs == given


def test_timm_s_own_network_by_its_source() -> None:
    assert Recipe.load(None, ["model=timm:resnet18"]).model == "timm:resnet18"


def test_a_merged_key_may_be_overridden(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("model_kwargs: &a {x: 1, y: 2}\nopt_kwargs: {<<: *a, x: 3}\n")
    assert Recipe.load(tmp_path / "r.yaml").opt_kwargs == {"x": 3, "y": 2}


@pytest.mark.parametrize("content", ["- a list", "a: [unclosed", "\x00"])
def test_wrong_files(content: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(content)
    with pytest.raises(RecipeError, match=r"r\.yaml"):
        Recipe.load(tmp_path / "r.yaml")
    with pytest.raises(RecipeError, match="cannot be read"):
        Recipe.load(tmp_path / "absent.yaml")
