"""Distributions made of a few lines of text, and a registry that forgets them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType

import pytest

from ferzoo.registry import entry_points, register

MakeDistribution = Callable[..., None]
MakeModule = Callable[[str, str], ModuleType]


@pytest.fixture
def clean_registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Forget the errors of plugins, and what a test registers."""
    monkeypatch.setattr(entry_points, "_errors", {})
    monkeypatch.setattr(entry_points, "_broken", {})
    monkeypatch.setattr(entry_points, "_warned", set())
    yield
    # Built-in modules that a test was the first to import stay registered: they are not imported again.
    for key in [key for key, item in register._registered.items() if not item.module.startswith("ferzoo.")]:
        del register._registered[key]


@pytest.fixture
def make_distribution(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, clean_registry: None
) -> Iterator[MakeDistribution]:
    """Write a distribution's metadata and modules where the interpreter finds them."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)

    def make(
        name: str, groups: Mapping[str, Mapping[str, str]], modules: Mapping[str, str], version: str = "1.0"
    ) -> None:
        info = tmp_path / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for group, entries in groups.items():
            lines += [f"[ferzoo.{group}]", *(f"{key} = {value}" for key, value in entries.items())]
        (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
        for module, source in modules.items():
            path = tmp_path / f"{module.replace('.', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        monkeypatch.syspath_prepend(tmp_path)  # once more, so that the finders look again
        entry_points._read.cache_clear()

    yield make
    for module in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[module], "__file__", "")):
            del sys.modules[module]
    entry_points._read.cache_clear()


@pytest.fixture
def make_module(monkeypatch: pytest.MonkeyPatch, clean_registry: None) -> MakeModule:
    """Run source as an imported module of the given name."""

    def make(name: str, source: str) -> ModuleType:
        module = sys.modules.get(name) or ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(source, name, "exec"), module.__dict__)
        return module

    return make
