"""The documentation holds: its Python runs, its tables are those of the code, and no public name is left out.

A ```python block always has to compile. The line `<!-- test: run -->` above it says that it runs as it stands. Further
words say what it needs: `weights` (trained weights; this alone says that it runs too), `faces` (OpenCV), `checkpoint`
(a checkpoint folder runs/lanmsff).
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import re
import shutil
from importlib.metadata import metadata
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from doc_tools.common import own
from doc_tools.mathml import mathml

import ferzoo
from ferzoo import errors
from ferzoo.cli.main import COMMANDS
from ferzoo.registry.factory import find_registered
from ferzoo.weights.resolve import default_tag

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]
BLOCK = re.compile(r"(?:^<!-- test: (?P<needs>[a-z ]+) -->\n)?^```python\n(?P<code>.*?)^```$", re.M | re.S)


def blocks() -> list[Any]:
    """Every Python block: its page and line, its code, and the words above it."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start("code")) + 1
            name = f"{page.relative_to(ROOT).as_posix()}:{line}"
            found.append(pytest.param(match["code"], set((match["needs"] or "").split()), id=name))
    return found


@pytest.fixture(scope="module")
def everything(hooks: Any) -> str:
    """All pages with the tables that need no profile filled in."""
    cheap = (
        "blocks",
        "formats",
        "recipe",
        "labels",
        "commands",
        "losses",
        "model-checks",
        "block-checks",
        "loss-checks",
    )
    text = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
    return text + "\n".join(hooks.table(name) for name in cheap)


@pytest.fixture
def checkpoint(tmp_path: Path) -> None:
    """A checkpoint folder of a fresh network, where the pages have theirs."""
    from ferzoo.labels import FERPLUS
    from ferzoo.train.checkpoint import write_checkpoint

    model = ferzoo.create_model("lanmsff")
    cfg = {k: v for k, v in model.pretrained_cfg.items() if k not in ("file", "hf_hub_id", "url", "tag")}
    cfg |= {"architecture": "lanmsff", "num_classes": len(FERPLUS), "label_names": FERPLUS}
    write_checkpoint(tmp_path / "runs" / "lanmsff", model, cfg, {"grayscale": True})


@pytest.mark.parametrize(("code", "needs"), blocks())
def test_python_of_the_pages(
    code: str, needs: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    assert needs <= {"run", "weights", "faces", "checkpoint", "export", "exported"}
    compiled = compile(code, "page", "exec")
    if not needs:
        return
    if "weights" in needs and default_tag("lfnsb") is None:
        pytest.skip("this version ships no weights")
    if "faces" in needs:
        pytest.importorskip("cv2")
    if "checkpoint" in needs:
        request.getfixturevalue("checkpoint")
    (tmp_path / "docs" / "images").mkdir(parents=True)
    shutil.copy(DOCS / "images" / "astronaut.jpg", tmp_path / "docs" / "images")
    monkeypatch.chdir(tmp_path)
    if needs & {"export", "exported"}:
        pytest.importorskip("onnxruntime", reason="comes with the extra export")
        pytest.importorskip("onnxscript", reason="comes with the extra export")
    if "exported" in needs:
        shutil.copy(request.getfixturevalue("lanmsff_onnx"), "lanmsff.onnx")
    # A block may set it: monkeypatch puts it back.
    monkeypatch.setenv("FERZOO_WEIGHTS", os.environ.get("FERZOO_WEIGHTS", ""))
    exec(compiled, {"__name__": "page"})


def test_set_up_opens_the_readme() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    first, second, *_ = re.findall(r"```bash\n(.*?)```", text, re.S)
    assert 'pip install ".[faces]" &&' in first and "ferzoo predict docs/images/astronaut.jpg" in first
    assert second.strip() == 'pip install ".[test]" && python -m pytest -n 2'
    assert re.match(r"# ferzoo\n\n[^\n]+\n\n```bash\n", text)


def test_tables_of_the_readme_are_those_of_the_code(hooks: Any) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert hooks.fill(text) == text, "run: python docs/hooks.py README.md"


def test_every_extra_is_told(hooks: Any) -> None:
    table = hooks.table("extras")
    told = dict(re.findall(r"^\| `(\w+)` \| .+ \| (.+) \|$", table, re.M))
    assert set(told) == set(metadata("ferzoo").get_all("Provides-Extra") or ())
    assert told["train"] == "accelerate, pyarrow, tensorboard" and told["openvino"] == "`export`, openvino"
    assert "`explain`, hatchling, pytest, pytest-xdist" in told["test"] and "`docs`, `demo`, `test`" in told["all"]


def test_every_marker_has_its_table(hooks: Any) -> None:
    names = {name for page in PAGES for name in hooks.MARKER.findall(page.read_text(encoding="utf-8"))}
    assert {name.partition(" ")[0] for name in names} == set(hooks.TABLES)
    assert {f"model {name}" for name in own("model")} <= names
    losses = {f"loss {name}" for name in own("loss")}
    # One class under two names has one section with its docstring.
    assert losses - names == {"loss cross_entropy"}
    for name in names:
        if name.startswith("file "):
            assert hooks.table(name).startswith("```")


def test_results_of_a_checkpoint_are_shown(hooks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from ferzoo.labels import FERPLUS
    from ferzoo.weights.configs import Checkpoint

    confusion = [[0] * 8 for _ in range(8)]
    confusion[0] = [3, 1, 0, 0, 0, 0, 0, 0]
    figures = {"rows": 4, "accuracy": 75.0, "balanced_accuracy": 75.5, "macro_f1": 85.71}
    metrics = {
        "validation": {
            **figures,
            "confusion": confusion,
            "flip": True,
            "unseen": {**figures, "accuracy": 71.25},
            "agreed": {**figures, "accuracy": 79.5},
        }
    }
    item = Checkpoint("lfnsb", "test", "ab" * 32, "ferplus", {"crop_pct": 1.0}, "research", "A test.", metrics=metrics)
    monkeypatch.setattr("doc_tools.weights.checkpoints", lambda: {item.name: item})
    results = hooks.table("results")
    assert "| `lfnsb.test` | validation | all | 4 | 75.0 | 75.5 | 85.71 |" in results
    assert "| unseen | 4 | 71.25 |" in results and "| agreed | 4 | 79.5 |" in results
    assert "`ferzoo eval lfnsb.test --data FOLDER --split validation --flip`" in results
    matrix = hooks.table("confusion")
    assert "| **neutral** | 3 | 1 | 0 | 0 | 0 | 0 | 0 | 0 | 75.0 |" in matrix
    assert all(name in matrix for name in FERPLUS)
    assert "`abab" in hooks.table("files") and "A test." in hooks.table("files")
    [row] = [line for line in hooks.table("readme-models").splitlines() if "`lfnsb.test`" in line]
    assert "75.0" in row and "71.25" in row
    stated = {"validation": {**metrics["validation"], "command": "ferzoo eval X"}}
    commanded = dataclasses.replace(item, metrics=stated)
    monkeypatch.setattr("doc_tools.weights.checkpoints", lambda: {item.name: commanded})
    assert "`ferzoo eval X`" in hooks.table("results")


@pytest.mark.parametrize("name", ferzoo.__all__)
def test_every_public_name_is_in_the_reference(name: str) -> None:
    text = (DOCS / "reference" / "ferzoo.md").read_text(encoding="utf-8")
    assert re.search(rf"\bferzoo\.{re.escape(name)}\b", text)


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_has_a_docstring(name: str) -> None:
    assert getattr(errors, name).__doc__
    assert "::: ferzoo.errors" in (DOCS / "reference" / "errors.md").read_text(encoding="utf-8")


def test_every_network_block_and_loss_has_a_section() -> None:
    for kind, page in (("model", "models.md"), ("block", "blocks.md"), ("loss", "losses.md")):
        text = (DOCS / page).read_text(encoding="utf-8")
        for name in own(kind):
            assert re.search(rf"^## {re.escape(name)}$", text, re.M), f"{page} has no section {name}"


def test_every_command_recipe_field_and_check_is_told(everything: str) -> None:
    from ferzoo.testing.blocks import BLOCK_CHECKS
    from ferzoo.testing.losses import LOSS_CHECKS
    from ferzoo.testing.models import MODEL_CHECKS
    from ferzoo.train.recipe import Recipe

    for command in COMMANDS:
        assert f"ferzoo {command}" in everything
    for field in dataclasses.fields(Recipe):
        assert re.search(rf"^\| `{field.name}` \| [^|]+ \| \S", everything, re.M), f"no meaning of {field.name}"
    for check in (*MODEL_CHECKS, *BLOCK_CHECKS, *LOSS_CHECKS):
        assert f"`{check.name}`" in everything


@pytest.mark.parametrize("name", own("loss"))
def test_equations_of_a_loss_become_mathml(name: str) -> None:
    pytest.importorskip("latex2mathml", reason="comes with the extra docs")
    doc = inspect.getdoc(find_registered("loss", name).make) or ""
    equations = [block or line for block, line in re.findall(r"\$\$(.*?)\$\$|\\\((.*?)\\\)", doc, re.S)]
    assert equations
    for latex in equations:
        root = ElementTree.fromstring(mathml(latex))
        assert not set("\\{}^_$") & set("".join(root.itertext()))


def test_an_equation_that_cannot_be_set_is_an_error(hooks: Any) -> None:
    pytest.importorskip("latex2mathml", reason="comes with the extra docs")
    page = '<p><span class="arithmatex">\\(a &lt; \\frac12\\)</span></p>'
    assert "<mo>&lt;</mo>" in hooks.on_page_content(page) and "\\" not in hooks.on_page_content(page)
    with pytest.raises(ValueError, match="nosuchcommand"):
        hooks.on_page_content(page.replace("frac", "nosuchcommand"))


def test_measured_losses_are_shown(hooks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "losses.json"
    monkeypatch.setattr("doc_tools.ablation.RESULTS", path)
    assert hooks.table("loss-ablation") == "No run has been recorded yet."
    row = {"arm": "plain", "loss": "ce", "seeds": [0, 1], "accuracy": 71.0, "accuracy_unseen": 70.0, "differences": {}}
    row |= {"intra": 0.25, "inter": 0.5, "ratio": 0.5}
    paired = {**row, "arm": "center", "loss": "ce + center", "paired": {"mean": 0.5, "low": -0.25, "high": 1.25}}
    paired["differences"] = {"0": 0.0, "1": 1.0}
    single = {**row, "arm": "affinity", "loss": "ce + affinity", "seeds": [0], "differences": {"0": -1.0}}
    path.write_text(json.dumps({"command": "python X", "summary": [row, paired, single]}), encoding="utf-8")
    table = hooks.table("loss-ablation")
    assert "| `ce` | 2 | 71.00 |  | 70.00 | 0.250 | 0.500 | 0.500 |" in table
    assert "| `ce + center` | 2 | 71.00 | +0.50 [-0.25, +1.25] |" in table
    assert "| `ce + affinity` | 1 | 71.00 | -1.00 |" in table and "`python X`" in table
    # The plot goes from -1.5 to 1.5 points over 430 units, from 170 on.
    [picture] = re.findall(r"<svg.*</svg>", table)
    ElementTree.fromstring(picture)
    assert "plain" not in picture and picture.count("<circle") == 2
    assert 'cx="456.7"' in picture and 'cx="241.7"' in picture and "M349.2 17.0H564.2" in picture


def test_every_module_that_the_reference_names_exists() -> None:
    for page in (DOCS / "reference").glob("*.md"):
        for name in re.findall(r"^::: (\S+)$", page.read_text(encoding="utf-8"), re.M):
            assert find(name) is not None


def find(name: str) -> Any:
    """The object behind a dotted name."""
    parts = name.split(".")
    for i in range(len(parts), 0, -1):
        try:
            value: Any = importlib.import_module(".".join(parts[:i]))
        except ModuleNotFoundError:
            continue
        for part in parts[i:]:
            value = getattr(value, part)
        return value
    raise ModuleNotFoundError(name)
