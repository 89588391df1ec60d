"""Metadata to names, and names to modules."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import pytest

import ferzoo
from ferzoo.errors import (
    FerzooError,
    PluginConflictError,
    PluginLoadError,
    PluginWarning,
    RegistrationError,
    UnknownNameError,
)
from ferzoo.registry import entry_points as ep
from ferzoo.registry.factory import create_block, list_blocks, list_plugins, load_plugins

BLOCK = """
from ferzoo import register_block
from torch import nn

@register_block{how}
class {cls}(nn.Identity):
    pass
"""


def block(cls: str, how: str = "") -> str:
    return BLOCK.format(cls=cls, how=how)


@pytest.mark.parametrize(
    ("value", "how"),
    [
        ("ep_one", '("ep_gate")'),
        ("ep_one", ""),
        ("ep_one", "()"),
        ("ep_one:EpGate", ""),
        ("ep_one:EpGate", '("another_name")'),
        ("ep_one : EpGate", ""),
        ("ep_one:EpGate [extra]", ""),
        ("ep_one [extra]", ""),
    ],
)
def test_an_entry_names_a_module_or_an_attribute_of_it(make_distribution: Any, value: str, how: str) -> None:
    make_distribution("ep-one", {"blocks": {"ep_gate": value}}, {"ep_one": block("EpGate", how)})
    assert "ep_gate" in list_blocks("ep_*")
    assert "ep_one" not in sys.modules
    assert type(create_block("ep_gate")).__name__ == "EpGate"


@pytest.mark.parametrize("value", ["ep_pkg", "ep_pkg.api"])
def test_an_entry_may_name_a_module_that_has_it_from_another(make_distribution: Any, value: str) -> None:
    modules = {
        "ep_pkg.__init__": "from ._impl import EpGate\n",
        "ep_pkg._impl": block("EpGate"),
        "ep_pkg.api": "from ._impl import EpGate\n",
    }
    make_distribution("ep-pkg", {"blocks": {"ep_gate": value}}, modules)
    assert type(create_block("ep_gate")).__module__ == "ep_pkg._impl"


def test_a_module_answers_for_its_own_names_alone(make_distribution: Any) -> None:
    # The first module begins like the second one, which is imported and has the name.
    modules = {"ep_gates": "import ep_gates_more\n", "ep_gates_more": block("EpGate")}
    make_distribution("ep-gates", {"blocks": {"ep_gate": "ep_gates"}}, modules)
    with pytest.raises(RegistrationError, match="ep-gates 1.0 lists the block 'ep_gate', but ep_gates registers no"):
        create_block("ep_gate")


@pytest.mark.parametrize("value", ["ep_empty", "ep_empty:EpGate", "ep_empty:x.y"])
def test_a_promise_that_the_module_does_not_keep_is_an_error(make_distribution: Any, value: str) -> None:
    make_distribution("ep-empty", {"blocks": {"ep_gate": value}}, {"ep_empty": "x = 1\n"})
    with pytest.raises(RegistrationError, match=r'register_block\("ep_gate"\)'):
        create_block("ep_gate")


@pytest.mark.parametrize("second", ["ep-a", "ep-b"])
def test_two_that_claim_one_name_are_both_named(make_distribution: Any, second: str) -> None:
    if second == "ep-a":  # one distribution, twice in the same file, is no way round it
        make_distribution("ep-a", {"blocks": {"ep_gate": "ep_x\nep_gate = ep_y"}}, {})
    else:
        make_distribution("ep-a", {"blocks": {"ep_gate": "ep_x"}}, {})
        make_distribution("ep-b", {"blocks": {"ep_gate": "ep_y"}}, {}, version="2.5")
    assert list_blocks("ep_gate") == ["ep_gate"]
    with pytest.raises(PluginConflictError) as caught:
        create_block("ep_gate")
    owner = "ep-a 1.0" if second == "ep-a" else "ep-b 2.5"
    assert "ep-a 1.0 (ep_x)" in str(caught.value) and f"{owner} (ep_y)" in str(caught.value)


def test_a_failed_import_is_tried_once_for_all_its_names(make_distribution: Any, tmp_path: Any) -> None:
    log = tmp_path / "log"
    source = f"open({str(log)!r}, 'a').write('x')\nraise KeyError('gone')\n"
    make_distribution("ep-bad", {"blocks": {"ep_gate": "ep_bad", "ep_other": "ep_bad"}}, {"ep_bad": source})
    causes = []
    for name in ("ep_gate", "ep_other", "ep_gate"):
        with pytest.raises(PluginLoadError, match="pip uninstall ep-bad") as caught:
            create_block(name)
        causes.append(caught.value.__cause__)
    assert log.read_text() == "x"
    assert all(cause is causes[0] for cause in causes) and isinstance(causes[0], KeyError)


def test_a_missing_module_is_a_failed_import(make_distribution: Any) -> None:
    make_distribution("ep-gone", {"blocks": {"ep_gate": "ep_gone.nowhere"}}, {})
    with pytest.raises(PluginLoadError, match="No module named 'ep_gone'"):
        create_block("ep_gate")


def test_an_interrupt_is_no_fault_of_the_plugin(make_distribution: Any) -> None:
    make_distribution("ep-stop", {"blocks": {"ep_gate": "ep_stop"}}, {"ep_stop": "raise KeyboardInterrupt\n"})
    with pytest.raises(KeyboardInterrupt):
        create_block("ep_gate")


def test_no_other_error_of_a_plugin_stops_the_rest(make_distribution: Any) -> None:
    source = "class Panic(BaseException): pass\nraise Panic('no luck')\n"
    make_distribution("ep-panic", {"blocks": {"ep_gate": "ep_panic"}}, {"ep_panic": source})
    with pytest.raises(PluginLoadError, match="Panic: no luck"):
        create_block("ep_gate")
    assert [p.error for p in list_plugins() if p.name == "ep_gate"] == ["Panic: no luck"]


def test_what_a_plugin_prints_is_no_output(make_distribution: Any, capsys: pytest.CaptureFixture[str]) -> None:
    make_distribution("ep-loud", {"blocks": {"ep_gate": "ep_loud"}}, {"ep_loud": "print('HELLO')\n" + block("EpGate")})
    with ep.command():
        create_block("ep_gate")
    assert capsys.readouterr() == ("", "HELLO\n")
    create_block("ep_gate")
    print("mine")
    assert capsys.readouterr().out == "mine\n"


def test_timms_own_network_is_timms_whoever_claims_its_name(make_distribution: Any) -> None:
    make_distribution("ep-twice", {"models": {"test_resnet": "ep_twice"}}, {"ep_twice": ""})
    assert type(ferzoo.create_model("timm:test_resnet", num_classes=3)).__name__ == "ResNet"
    with pytest.raises(FerzooError):
        ferzoo.create_model("test_resnet")
    assert type(ferzoo.create_model("timm:lanmsff")).__name__ == "LANMSFF"  # ferzoo's names are timm's, too


def test_what_a_failed_module_registered_is_free_again(make_distribution: Any) -> None:
    modules = {"ep_bad": block("Other", '("ep_gate")') + "\nraise ValueError\n", "ep_good": block("EpGate")}
    make_distribution("ep-two", {"blocks": {"ep_bad": "ep_bad", "ep_gate": "ep_good"}}, modules)
    with pytest.raises(PluginLoadError):
        create_block("ep_bad")
    assert type(create_block("ep_gate")).__name__ == "EpGate"


def test_all_known_faults_make_one_warning_once(make_distribution: Any) -> None:
    modules = {"ep_bad": "raise ValueError('first fault')\n", "ep_empty": ""}
    entries = {"ep_gate": "ep_bad", "ep_other": "ep_empty"}
    make_distribution("ep-bad", {"blocks": entries, "losses": {"ep_loss": "ep_bad"}}, modules)
    with warnings.catch_warnings():
        warnings.simplefilter("error", PluginWarning)
        list_blocks()
    with pytest.warns(PluginWarning) as caught:
        rows = load_plugins()
    [warning] = [w for w in caught if w.category is PluginWarning]
    assert str(warning.message).count("first fault") == 2
    assert warning.filename == __file__
    for name in ("'ep_gate'", "'ep_other'", "'ep_loss'", "ep-bad 1.0"):
        assert name in str(warning.message)
    mine = {row.name: row.error for row in rows if row.distribution == "ep-bad"}
    assert mine["ep_gate"] == mine["ep_loss"] == "ValueError: first fault"
    assert "registers no such block" in mine["ep_other"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", PluginWarning)
        assert load_plugins() == rows
        list_blocks()


def test_a_list_without_loading_imports_nothing_and_shows_what_is_known(make_distribution: Any) -> None:
    make_distribution("ep-bad", {"blocks": {"ep_gate": "ep_bad"}}, {"ep_bad": "raise ValueError('late')\n"})
    make_distribution("ep-a", {"blocks": {"ep_both": "ep_x"}}, {})
    make_distribution("ep-b", {"blocks": {"ep_both": "ep_y"}}, {})

    def errors() -> dict[tuple[str, str], str]:
        rows = [row.to_dict() for row in list_plugins(load=False)]
        return {(r["name"], r["distribution"]): r["error"] for r in rows if r["distribution"].startswith("ep-")}

    assert errors()["ep_gate", "ep-bad"] == ""
    assert "claimed by" in errors()["ep_both", "ep-a"] == errors()["ep_both", "ep-b"]
    with pytest.raises(PluginLoadError):
        create_block("ep_gate")
    assert errors()["ep_gate", "ep-bad"] == "ValueError: late"


@pytest.mark.parametrize("kind", sorted(ep.GROUPS))
def test_an_unknown_name_offers_the_near_ones_and_the_hint(make_distribution: Any, kind: str) -> None:
    make_distribution("ep-one", {ep.GROUPS[kind].partition(".")[2]: {"zyxwvut": "ep_one"}}, {})
    with pytest.raises(UnknownNameError, match=rf"^Unknown {kind} 'zyxwvu'. Did you mean 'zyxwvut'\? Look\.$"):
        ep.find(kind, "zyxwvu", hint="Look.")
    with pytest.raises(UnknownNameError, match="Did you mean 'qqqqqq'"):
        ep.find(kind, "qqqqq", also_known=["qqqqqq"])
