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
import yaml

import ferzoo
from ferzoo import errors
from ferzoo.registry.factory import find_registered

REFERENCE = Path(__file__).parents[1] / "docs" / "reference"

#: Modules by package, and single names and methods, that are ferzoo's own; `*` is all of them. The data sets are shown
#: on a page of their own.
INTERNAL = {
    "cli": "*",
    "data": "affectnet fer2013 fer2013_tables ferplus.COUNTS ferplus.FERPLUS_DATASET ferplus.ROWS image_folder kdef "
    "layouts libraries processors rafdb separation",
    "deploy": "bench.turns bench_files bench_gpu bench_networks bench_process bench_runtimes bench_start bench_worker "
    "printed bench_summary.machine bench_summary.percentiles bench_summary.relate bench_summary.remarks export.FACE "
    "export.LIMIT fast_ablation quiet",
    "hub": "card.WRITTEN_BY checks client same there",
    "losses": "arguments cosine_harmony.FORMS",
    "models": "inputs modes pools released",
    "predict": "attention explain.GRADCAM explain.refuse_exported gradcam images json_text layers margin network "
    "onnx_network open_network output predictor.Pending predictor.Predictor.begin predictor.Predictor.classify "
    "predictor.Predictor.crop predictor.Predictor.face predictor.Predictor.finish predictor.Predictor.prepare "
    "preprocessing scoring_job scoring_journal scoring_parts scoring_pipeline scoring_rate "
    "scoring_rows scoring_sources scoring_tables scoring_types scoring_webdataset video_output",
    "registry": "bounds channels config factory.find_registered local lookup register.registered "
    "register.registered_name sources",
    "testing": "blocks built_by contract graphs intermediates losses models report robustness subject training",
    "train": "Recipe TrainPackage ablation batches bfloat16 convergence evaluate.on_device folds fused.bits "
    "fused.dense fused.depthwise fused.functions fused.layers fused.loops fused.maps fused.mixconv loss_cost memory "
    "network processes readme recipe.WHERE recipe_checks records relabel release sam schedule seeds splits teacher "
    "yaml_values",
    "weights": "blobs files safe",
}
#: A name that a page shows, and the options below it.
SECTION = re.compile(r"^::: (\S+)$(?:\n    options:\n((?:      .+\n)+))?", re.M)
#: A shape as the pages write it: (N, C), (5, 2), (N,), or a scalar.
SHAPE = re.compile(r"\((?:[A-Z0-9]|\.\.\.)[\w ]*,[^)]*\)|\bscalar\b|\bany shape\b")


@cache
def losses() -> frozenset[str]:
    """The losses, which have a page of their own: their methods are those of the base."""
    page = (REFERENCE.parent / "losses.md").read_text(encoding="utf-8")
    makes = [find_registered("loss", name).make for name in re.findall(r"^<!-- table: loss (\w+) -->$", page, re.M)]
    return frozenset(f"{make.__module__}.{make.__qualname__}" for make in makes)


@cache
def pages() -> dict[str, list[str] | None]:
    """What the pages show: a module or a name, and which of its members; None for all."""
    text = "\n".join(page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md"))
    found: dict[str, list[str] | None] = dict.fromkeys(losses())
    for name, options in SECTION.findall(text):
        stated = yaml.safe_load(options) or {}
        assert set(stated) <= {"members", "heading_level", "show_root_full_path"}, f"{name}: what does it leave out?"
        found[name] = stated.get("members")
    return found


def is_shown(owner: str, name: str) -> bool:
    """Whether the pages show a name of a module, or a method of a class."""
    if f"{owner}.{name}" in pages():
        return True
    members = pages().get(owner, [])
    return members is None or name in members


def names_of(module: str) -> list[str]:
    """Names that the pages show of a module, there or under `ferzoo`."""
    return [name for name in public(module) if is_shown(module, name) or name in lazy(module)]


def methods_of(module: str, name: str) -> list[str]:
    """Methods that the pages show of a class that they show."""
    whole = f"ferzoo.{name}" if name in lazy(module) else f"{module}.{name}"
    if whole in pages():
        return [method for method in methods(module, name) if is_shown(whole, method)]
    return methods(module, name)


def is_internal(name: str) -> bool:
    """Whether a module, or a name in it, is in the list."""
    _, package, *rest = name.split(".")
    names = INTERNAL.get(package, "")
    return names == "*" or ".".join(rest) in names.split()


def modules() -> list[str]:
    found = pkgutil.walk_packages(ferzoo.__path__, "ferzoo.")
    return [m.name for m in found if not is_internal(m.name)]


def source(module: str) -> list[ast.stmt]:
    """A module as it is written; nothing where there is none."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:  # what stands before its last dot is no package
        return []
    return ast.parse(Path(found.origin).read_text(encoding="utf-8")).body if found and found.origin else []


def public(module: str) -> list[str]:
    """Names of a module's `__all__` that it defines itself, as the source states them."""
    for node in source(module):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__":
            return list(ast.literal_eval(node.value))
    return []


def methods(module: str, name: str) -> list[str]:
    """Methods of a class without an underscore before their names; none of what is no class."""
    body = [m for node in source(module) if isinstance(node, ast.ClassDef) and node.name == name for m in node.body]
    return [m.name for m in body if isinstance(m, ast.FunctionDef) and not m.name.startswith("_")]


def lazy(module: str) -> set[str]:
    """Names of a module that the reference shows under `ferzoo`."""
    return {name for name, where in ferzoo._LAZY.items() if f"ferzoo{where}" == module}


@pytest.mark.parametrize("module", modules())
def test_every_public_name_is_in_the_reference(module: str) -> None:
    missing = set(public(module)) - set(names_of(module))
    for name in names_of(module):
        missing |= {f"{name}.{method}" for method in {*methods(module, name)} - {*methods_of(module, name)}}
    missing = {name for name in missing if not is_internal(f"{module}.{name}")}
    assert not missing, f"put `::: {module}` into a page of docs/reference, or into INTERNAL: {missing}"


def exists(name: str) -> bool:
    """Whether a dotted name is a module, a public name of one, or a method of a class."""
    module, _, last = name.rpartition(".")
    return bool(source(name)) or last in public(module) or last in methods(*module.rsplit(".", 1))


def test_the_lists_hold_nothing_that_is_gone() -> None:
    listed = [
        f"ferzoo.{package}.{name}" for package, names in INTERNAL.items() if names != "*" for name in names.split()
    ]
    gone = [name for name in listed if not exists(name)]
    assert not gone, f"take them out of INTERNAL: {gone}"


def test_what_is_gone_is_seen() -> None:
    there = ("deploy.bench", "deploy.bench.turns", "predict.predictor.Predictor.face")
    assert all(exists(f"ferzoo.{name}") for name in there)
    names = ("deploy.gone", "deploy.bench_summary.gone", "deploy.gone.gone", "predict.predictor.Predictor.gone")
    assert not any(exists(f"ferzoo.{name}") for name in names)


def test_what_a_page_leaves_out_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(pages(), "ferzoo.Predictor", ["stream"])
    monkeypatch.setitem(pages(), "ferzoo.predict.explain", ["Explanation"])
    with pytest.raises(AssertionError, match="Predictor.video"):
        test_every_public_name_is_in_the_reference("ferzoo.predict.predictor")
    with pytest.raises(AssertionError, match="explain_methods"):
        test_every_public_name_is_in_the_reference("ferzoo.predict.explain")


def documented() -> Iterator[Any]:
    """Every function, class and method of the reference: its name, its tree and its class."""
    for module in modules():
        shown = names_of(module)
        for node in source(module):
            if getattr(node, "name", None) not in shown or _is_overload(node):
                continue
            if isinstance(node, ast.FunctionDef):
                yield pytest.param(node, None, id=f"{module}.{node.name}")
            elif isinstance(node, ast.ClassDef):
                yield pytest.param(node, None, id=f"{module}.{node.name}")
                told = () if f"{module}.{node.name}" in losses() else methods_of(module, node.name)
                for method in node.body:
                    if isinstance(method, ast.FunctionDef) and method.name in told:
                        yield pytest.param(method, node, id=f"{module}.{node.name}.{method.name}")


def _is_overload(node: ast.AST) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "overload" for d in getattr(node, "decorator_list", ()))


@pytest.mark.parametrize(("node", "owner"), [*documented()])
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


@pytest.mark.parametrize("name", sorted({*ferzoo._LAZY} - {"FerzooError"}))  # which takes a message alone
def test_what_most_programs_call_is_told_in_full(name: str) -> None:
    target = getattr(ferzoo, name)
    doc = (target.__doc__ or "") + (target.__init__.__doc__ if isinstance(target, type) else "")
    code = target.__init__.__code__ if isinstance(target, type) else target.__code__
    for argument in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
        assert argument == "self" or re.search(rf"^ +\**{argument}: ", doc, re.M), f"{name}: {argument} is not told"
    assert "Raises:" in doc or name.startswith(("list_", "load_", "fuse", "profile"))
