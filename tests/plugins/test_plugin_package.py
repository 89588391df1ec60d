"""The package that the page on plugins shows: what its wheel holds, and that its three names keep the contract."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import pytest

from ferzoo.testing.blocks import BLOCK_CHECKS
from ferzoo.testing.losses import LOSS_CHECKS
from ferzoo.testing.models import MODEL_CHECKS

ROOT = Path(__file__).parents[2]
EXAMPLE = Path(__file__).parent / "example"

CHECKED = """
import ferzoo
from ferzoo.testing import check_block, check_loss, check_model
import ferzoo_example
out = {
    "from": ferzoo_example.__file__,
    "classes": ferzoo.create_model("ferzoo_example_net", num_classes=7).num_classes,
    "model": check_model("ferzoo_example_net", img_size=64),
    "block": check_block("example_contrast_gate"),
    "loss": check_loss("example_focal"),
}
"""


@pytest.fixture(scope="module")
def checked(run_python: Any, installed: dict[str, Path]) -> Any:
    return run_python(CHECKED, [installed["example"]])


def test_the_wheel_holds_the_package_and_its_names(installed: dict[str, Path]) -> None:
    (wheel,) = installed["example"].parent.glob("ferzoo_example-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = [name for name in names if name.endswith("entry_points.txt")]
        text = archive.read(points).decode()
    assert {f"ferzoo_example/{name}.py" for name in ("__init__", "net", "gate", "focal")} <= set(names)
    assert "[ferzoo.models]\nferzoo_example_net = ferzoo_example.net" in text


def test_it_runs_from_where_the_wheel_was_installed(checked: Any, installed: dict[str, Path]) -> None:
    assert Path(checked["from"]).is_relative_to(installed["example"])
    assert checked["classes"] == 7


def test_its_names_keep_the_contract(checked: Any) -> None:
    assert set(checked["model"]) == {check.name for check in MODEL_CHECKS}
    assert set(checked["block"]) == {check.name for check in BLOCK_CHECKS}
    assert set(checked["loss"]) == {check.name for check in LOSS_CHECKS}


def test_the_page_shows_every_file_of_the_package() -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    files = [p for p in EXAMPLE.rglob("*") if p.suffix in (".py", ".toml") and p.name != "__init__.py"]
    assert len(files) == 4
    for path in files:
        assert f"<!-- table: file {path.relative_to(ROOT).as_posix()} -->" in page
