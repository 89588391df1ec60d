"""Every public name stands in the reference, and its docstring gives arguments, shapes and errors.

Public are the names in `__all__` of every module, but for those of `INTERNAL`, which other modules of ferzoo share.
A new module has to be added to a page of docs/reference, or to `INTERNAL`.
"""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import ferzoo
from ferzoo import errors
from ferzoo.registry.factory import find_registered

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"

#: Modules by package, and single names, that are ferzoo's own; `*` is all of them. The data sets are shown on a page of
#: their own.
INTERNAL = {
    "cli": "*",
    "data": "affectnet fer2013 fer2013_tables ferplus.COUNTS ferplus.FERPLUS_DATASET ferplus.ROWS image_folder kdef "
    "layouts libraries rafdb separation",
    "deploy": "bench.turns bench_files bench_gpu bench_networks bench_process bench_runtimes bench_worker export.LIMIT "
    "bench_summary.default_threads bench_summary.machine bench_summary.percentiles bench_summary.relate",
    "hub": "checks client there",
    "losses": "cosine_harmony.FORMS",
    "models": "inputs released",
    "predict": "images margin network onnx_network open_network output scoring_archives scoring_job scoring_journal "
    "scoring_parts scoring_pipeline scoring_rate scoring_rows scoring_sources video_output",
    "registry": "bounds config factory.find_registered lookup register.registered",
    "testing": "blocks built_by contract graphs intermediates losses models report robustness subject training",
    "train": "Recipe TrainPackage ablation batches folds loss_cost network processes recipe.WHERE recipe_checks "
    "records release sam schedule splits teacher",
    "weights": "blobs files safe",
}
#: A shape as the pages write it: (N, C), (5, 2), (N,), or a scalar.
SHAPE = re.compile(r"\((?:[A-Z0-9]|\.\.\.)[\w ]*,[^)]*\)|\bscalar\b|\bany shape\b")


@cache
def losses() -> frozenset[str]:
    """The losses, which have a page of their own: their methods are those of the base."""
    page = (REFERENCE.parent / "losses.md").read_text(encoding="utf-8")
    makes = [find_registered("loss", name).make for name in re.findall(r"^<!-- table: loss (\w+) -->$", page, re.M)]
    return frozenset(f"{make.__module__}.{make.__qualname__}" for make in makes)


@cache
def named() -> frozenset[str]:
    """What the pages show, a whole module or one name of it."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    return losses().union(re.findall(r"^::: (\S+)$", text, re.M))


def is_internal(name: str) -> bool:
    """Whether a module, or a name in it, is in the list."""
    _, package, *rest = name.split(".")
    names = INTERNAL.get(package, "")
    return names == "*" or ".".join(rest) in names.split()


def modules() -> list[str]:
    found = pkgutil.walk_packages(ferzoo.__path__, "ferzoo.")
    return [m.name for m in found if not is_internal(m.name)]


def public(module: str) -> list[str]:
    """Names of a module's `__all__` that it defines itself, as the source states them."""
    found = importlib.util.find_spec(module)
    assert found and found.origin
    for node in ast.parse(Path(found.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def lazy(module: str) -> set[str]:
    """Names of a module that the reference shows under `ferzoo`."""
    return {name for name, where in ferzoo._LAZY.items() if f"ferzoo{where}" == module}


@pytest.mark.parametrize("module", modules())
def test_every_public_name_is_in_the_reference(module: str) -> None:
    shown = named()
    if module in shown:
        return
    missing = {name for name in public(module) if f"{module}.{name}" not in shown} - lazy(module)
    missing = {name for name in missing if not is_internal(f"{module}.{name}")}
    assert not missing, f"put `::: {module}` into a page of docs/reference, or the module into INTERNAL: {missing}"


def test_the_lists_hold_nothing_that_is_gone() -> None:
    for package, names in INTERNAL.items():
        for name in () if names == "*" else names.split():
            module, _, last = f"ferzoo.{package}.{name}".rpartition(".")
            there = last in public(module) or importlib.util.find_spec(f"{module}.{last}")
            assert there, f"ferzoo.{package}.{name} is gone"


def documented() -> Iterator[Any]:
    """Every function, class and method of the reference: its name, its tree and its class."""
    for module in modules():
        found = importlib.util.find_spec(module)
        assert found and found.origin
        shown = {name for name in public(module) if {module, f"{module}.{name}"} & named()} | lazy(module)
        for node in ast.parse(Path(found.origin).read_text(encoding="utf-8")).body:
            if getattr(node, "name", None) not in shown or _is_overload(node):
                continue
            if isinstance(node, ast.FunctionDef):
                yield pytest.param(node, None, id=f"{module}.{node.name}")
            elif isinstance(node, ast.ClassDef):
                yield pytest.param(node, None, id=f"{module}.{node.name}")
                for method in () if f"{module}.{node.name}" in losses() else node.body:
                    if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
                        yield pytest.param(method, node, id=f"{module}.{node.name}.{method.name}")


def _is_overload(node: ast.AST) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in getattr(node, "decorator_list", ()))


@pytest.mark.parametrize(("node", "owner"), documented())
def test_docstring_gives_arguments_shapes_and_errors(node: Any, owner: ast.ClassDef | None) -> None:
    doc = ast.get_docstring(node) or ""
    assert doc, "it has no docstring"
    if isinstance(node, ast.ClassDef):
        return
    whole = f"{doc}\n{(owner and ast.get_docstring(owner)) or ''}"
    names = [
        a for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs) if a.arg not in ("self", "cls")
    ]
    if owner is None and len(names) > 1:
        assert "Args:" in doc, "it has no section Args"
    for argument in names:
        if "Args:" in doc:
            assert re.search(rf"\b{argument.arg}\b", doc), f"the argument {argument.arg} is not told"
        kind = ast.unparse(argument.annotation) if argument.annotation else ""
        if re.fullmatch(r"(torch\.)?Tensor|np\.ndarray", kind):
            assert SHAPE.search(whole), f"the shape of {argument.arg} is not told"
    raised = {
        n.exc.func.id
        for n in ast.walk(node)
        if isinstance(n, ast.Raise) and isinstance(n.exc, ast.Call) and isinstance(n.exc.func, ast.Name)
    }
    for error in raised & set(errors.__all__):
        assert error in whole.partition("Raises:")[2], f"{error} is raised and not told"


@pytest.mark.parametrize("name", sorted(ferzoo._LAZY))
def test_what_most_programs_call_is_told_in_full(name: str) -> None:
    target = getattr(ferzoo, name)
    doc = (target.__doc__ or "") + (target.__init__.__doc__ if isinstance(target, type) else "")
    code = target.__init__.__code__ if isinstance(target, type) else target.__code__
    for argument in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        assert argument == "self" or re.search(rf"^ +\**{argument}: ", doc, re.M), f"{name}: {argument} is not told"
    assert "Raises:" in doc or name.startswith(("list_", "load_", "fuse", "profile"))
