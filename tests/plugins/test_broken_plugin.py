"""The broken twin beside the example: it never breaks another, and each of its faults is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

HEAD = """
import sys, warnings
import ferzoo
from ferzoo.errors import FerzooError, PluginWarning

def count(fn):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fn()
    return [[str(w.message), w.filename] for w in caught if issubclass(w.category, PluginWarning)]

def attempt(fn, *args):
    try:
        fn(*args)
    except FerzooError as error:
        cause = error.__cause__
        return [type(error).__name__, str(error), type(cause).__name__, str(cause)]
    return None
"""

#: What is used, and how: errors are raised on use alone.
USES = {
    "broken_at_import": "create_model",
    "broken_at_import_too": "create_model",
    "broken_exits": "create_model",
    "broken_unregistered": "create_model",
    "resnet18": "create_model",
    "example_contrast_gate": "create_block",
    "broken_attribute": "create_loss",
    "ferzoo_example_net": "create_model",
    "example_focal": "create_loss",
    "lfnsb": "create_model",
}

USING = (
    HEAD
    + f"""
out = {{"at start": count(ferzoo.list_models)}}
out["uses"] = {{name: attempt(getattr(ferzoo, fn), name) for name, fn in {USES}.items()}}
out["again"] = attempt(ferzoo.create_model, "broken_at_import")
out["first listing"], out["second listing"] = count(ferzoo.list_models), count(ferzoo.list_models)
out["imported"] = sorted(m for m in sys.modules if m.startswith("ferzoo_broken."))
import timm
out["timm's"] = type(timm.create_model("resnet18")).__name__
"""
)

LOADING = (
    HEAD
    + """
import timm
out = {}
def load():
    out["rows"] = [r.to_dict() for r in ferzoo.load_plugins() if r.distribution != "ferzoo"]
out["first"], out["second"] = count(load), count(load)
out["listing"] = count(ferzoo.list_models) + count(ferzoo.list_blocks) + count(ferzoo.list_losses)
out["timm"] = [timm.create_model(n).num_classes for n in ("lfnsb", "ferzoo_example_net")]
out["loss"] = type(ferzoo.create_loss("example_focal")).__module__
out["timm's"] = timm.models.model_entrypoint("resnet18").__module__
"""
)


@pytest.fixture(scope="module")
def using(run_python: Any, installed: dict[str, Path]) -> Any:
    return run_python(USING, installed.values())


@pytest.fixture(scope="module")
def loading(run_python: Any, installed: dict[str, Path]) -> Any:
    return run_python(LOADING, installed.values())


@pytest.mark.parametrize("name", ["ferzoo_example_net", "example_focal", "lfnsb"])
def test_the_sound_ones_work_beside_it(using: Any, name: str) -> None:
    assert using["uses"][name] is None


@pytest.mark.parametrize(
    ("name", "cause", "text"),
    [
        ("broken_at_import", "RuntimeError", "ferzoo_broken is broken on purpose"),
        ("broken_at_import_too", "RuntimeError", "ferzoo_broken is broken on purpose"),
        ("broken_exits", "SystemExit", "ferzoo_broken leaves"),
    ],
)
def test_a_failed_import_is_raised_on_use_with_its_cause(using: Any, name: str, cause: str, text: str) -> None:
    kind, message, cause_kind, cause_text = using["uses"][name]
    assert (kind, cause_kind, cause_text) == ("PluginLoadError", cause, text)
    for part in (name, "ferzoo-broken 0.2.0", text, "pip uninstall ferzoo-broken"):
        assert part in message


def test_a_failed_import_is_raised_each_time(using: Any) -> None:
    assert using["again"] == using["uses"]["broken_at_import"]


@pytest.mark.parametrize(
    ("name", "kind", "parts"),
    [
        ("example_contrast_gate", "PluginConflictError", ["ferzoo-broken 0.2.0", "ferzoo-example 0.1.0"]),
        ("resnet18", "PluginConflictError", ["ferzoo-broken 0.2.0", "timm owns"]),
        ("broken_unregistered", "RegistrationError", ["ferzoo-broken 0.2.0", "ferzoo_broken.empty"]),
        ("broken_attribute", "RegistrationError", ["ferzoo-broken 0.2.0", "ferzoo_broken.empty:NoSuchLoss"]),
    ],
)
def test_other_faults_are_raised_on_use_and_named(using: Any, name: str, kind: str, parts: list[str]) -> None:
    assert using["uses"][name][0] == kind
    for part in [name, *parts]:
        assert part in using["uses"][name][1]


def test_neither_side_of_a_collision_nor_a_name_of_timms_is_imported(using: Any) -> None:
    assert using["imported"] == ["ferzoo_broken.empty"]
    assert using["timm's"] == "ResNet"


def test_listing_warns_once_and_only_when_a_fault_is_known(using: Any) -> None:
    assert using["at start"] == []
    [[message, filename]] = using["first listing"]
    assert "broken_at_import" in message and "broken_exits" in message and "ferzoo-broken 0.2.0" in message
    assert using["second listing"] == []


def test_loading_all_warns_once_and_blames_the_caller(loading: Any) -> None:
    [[message, filename]] = loading["first"]
    for name in ("broken_at_import_too", "broken_exits", "broken_unregistered", "resnet18", "broken_attribute"):
        assert repr(name) in message
    assert filename == "<string>"
    assert loading["second"] == loading["listing"] == []


def test_loading_all_leaves_the_sound_ones_working(loading: Any) -> None:
    assert loading["timm"] == [8, 8]
    # The broken module registered a loss of that name before it failed.
    assert loading["loss"] == "ferzoo_example.focal"
    assert loading["timm's"] == "timm.models.resnet"


@pytest.mark.parametrize(
    ("name", "distribution", "error"),
    [
        ("broken_at_import", "ferzoo-broken", "RuntimeError: ferzoo_broken is broken on purpose"),
        ("broken_exits", "ferzoo-broken", "SystemExit: ferzoo_broken leaves"),
        ("broken_unregistered", "ferzoo-broken", "registers no such model"),
        ("resnet18", "ferzoo-broken", "timm owns"),
        ("broken_attribute", "ferzoo-broken", "registers no such loss"),
        ("example_contrast_gate", "ferzoo-broken", "claimed by"),
        ("example_contrast_gate", "ferzoo-example", "claimed by"),
        ("ferzoo_example_net", "ferzoo-example", None),
        ("example_focal", "ferzoo-example", None),
    ],
)
def test_the_list_of_plugins_holds_every_error(loading: Any, name: str, distribution: str, error: str | None) -> None:
    [row] = [r for r in loading["rows"] if (r["name"], r["distribution"]) == (name, distribution)]
    assert (error in row["error"]) if error else row["error"] == ""
