"""Imports run one way: a room imports from the floors below it, never beside or above."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ferzoo

ROOT = Path(ferzoo.__file__).parent

#: The floors from the ground up, and the rooms of each.
FLOORS = (
    {"errors", "labels"},
    {"weights"},
    {"registry"},
    {"blocks"},
    {"models", "losses", "data"},
    {"hub", "deploy"},
    {"predict", "train", "testing"},
    {"cli"},
    {"__main__"},
)
LEVEL = {room: level for level, rooms in enumerate(FLOORS) for room in rooms}
#: On the ground, the names of the labels report through the errors.
BESIDE = {("labels", "errors")}

FILES = sorted(path for path in ROOT.rglob("*.py") if path.parent != ROOT or path.stem != "__init__")


def room_of(path: Path) -> str:
    parts = path.relative_to(ROOT).parts
    return parts[0].removesuffix(".py")


def imported_rooms(source: str, package: list[str]) -> Iterator[str]:
    """Rooms that a module imports anywhere, also inside functions.

    Args:
        source: The module's text.
        package: Dotted name of its package, split.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name.split(".") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            base = base + (node.module.split(".") if node.module else [])
            names = [[*base, alias.name] for alias in node.names]
        else:
            continue
        for name in names:
            if name[0] == "ferzoo" and len(name) > 1 and name[1] != "__version__":
                yield name[1]


def forbidden(source: str, package: list[str], room: str) -> list[str]:
    """Rooms that a module imports and may not; a public name of `ferzoo` itself counts, as it may hold any."""
    found = set(imported_rooms(source, package)) - {room}
    return sorted(r for r in found if LEVEL.get(r, 99) >= LEVEL[room] and (room, r) not in BESIDE)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_from_the_floors_below_alone(path: Path) -> None:
    package = ["ferzoo", *path.relative_to(ROOT).parent.parts]
    assert forbidden(path.read_text(encoding="utf-8"), package, room_of(path)) == []


@pytest.mark.parametrize(
    ("source", "room", "found"),
    [
        ("from ..models.lfn import LFN", "blocks", ["models"]),
        ("from .. import train", "predict", ["train"]),
        ("def f():\n    import ferzoo.cli.main", "train", ["cli"]),
        ("from ferzoo.losses.ce import CE", "models", ["losses"]),
        ("from ferzoo import create_model", "data", ["create_model"]),
        ("from ..data.faces import Faces\nfrom ..errors import DataError\nfrom .loop import go", "train", []),
        ("import ferzooish.cli\nfrom .. import __version__", "errors", []),
    ],
)
def test_the_arrows_are_seen(source: str, room: str, found: list[str]) -> None:
    assert forbidden(source, ["ferzoo", room], room) == found


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in FILES} <= set(LEVEL)


def test_importing_ferzoo_imports_neither_torch_nor_timm(run_python: Any) -> None:
    out = run_python(
        "import sys\nbefore = set(sys.modules)\nimport ferzoo\n"
        "out = sorted({m.partition('.')[0] for m in set(sys.modules) - before}), dir(ferzoo)\n"
    )
    assert not {"torch", "timm", "numpy", "yaml", "huggingface_hub"} & set(out[0])
    assert set(ferzoo.__all__) <= set(out[1])


@pytest.mark.parametrize("name", ferzoo.__all__)
def test_every_public_name_resolves(name: str) -> None:
    value = getattr(ferzoo, name)
    assert isinstance(value, str) if name == "__version__" else value is not None


def test_no_other_name_does() -> None:
    with pytest.raises(AttributeError, match="'ferzoo' has no attribute 'no_such_name'"):
        _ = ferzoo.no_such_name
