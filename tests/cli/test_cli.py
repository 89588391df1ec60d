"""Each command prints a table or JSON, and says in one line what was wrong."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path

import pytest
import torch

import ferzoo
from ferzoo.cli import list_names
from ferzoo.cli.main import COMMANDS, main
from ferzoo.hub.facts import Facts
from ferzoo.hub.folder import write_folder


def test_no_command_explains_all(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    shown = capsys.readouterr().out
    assert all(name in shown for name in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_of_each_command(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"ferzoo {command}" in capsys.readouterr().out


def test_unknown_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["predikt"])
    assert stop.value.code == 2
    assert "predict" in capsys.readouterr().err


def test_python_m_is_the_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr("sys.argv", ["__main__.py", "list", "--losses", "--json"])
    with pytest.raises(SystemExit) as stop:
        runpy.run_module("ferzoo", run_name="__main__", alter_sys=True)
    assert stop.value.code == 0 and "cosine_harmony" in capsys.readouterr().out


def test_options_may_stand_between_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "model=lanmsff", "--show", "epochs=3"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["model"], shown["epochs"]) == ("lanmsff", 3)


@pytest.mark.parametrize(
    ("arguments", "names"),
    [([], ferzoo.list_models()), (["--blocks"], ferzoo.list_blocks()), (["lfn*"], ferzoo.list_models("lfn*"))],
)
def test_list(arguments: list[str], names: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", *arguments, "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == names
    assert main(["list", *arguments]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table[1:]] == names


def test_list_without_a_match(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "resnet*"]) == 0
    assert capsys.readouterr().out == "No models match 'resnet*'.\n"


def test_info_puts_the_paper_beside_the_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", "lfnsb", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["measured"]["parameters"] == 2_676_147
    assert result["paper"]["flops"] == 397.35e6
    assert main(["info", "lfnsb"]) == 0
    shown = capsys.readouterr().out
    assert "2,676,147" in shown
    assert "397,350,000" in shown
    assert "-0.81 %" in shown


@pytest.mark.parametrize(("lacking", "told"), [("torch", True), ("timm.models", True), ("my_plugin", False)])
def test_what_a_machine_without_torch_lacks_is_said(
    lacking: str, told: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        raise ModuleNotFoundError(f"No module named {lacking!r}", name=lacking)

    monkeypatch.setattr(list_names, "run", run)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    if not told:
        with pytest.raises(ModuleNotFoundError):
            main(["list"])
        return
    assert main(["list"]) == 2
    assert f"this needs {lacking}, which a full install has" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(list_names, "run", run)
    with pytest.raises(ModuleNotFoundError):  # it is there, and lacks a part: no reason to install it
        main(["list"])


def test_info_means_the_registered_name_and_knows_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(ferzoo.create_model("lanmsff", num_classes=3), Facts("lanmsff"), tmp_path / "lanmsff", "me/x")
    for name, classes, weights in (("lanmsff", 8, "lanmsff.fer2013"), ("./lanmsff", 3, "./lanmsff")):
        assert main(["info", name, "--json"]) == 0
        result = json.loads(capsys.readouterr().out)
        assert result["num_classes"] == classes and weights in result["weights"]


def test_plugins_lists_every_name(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["plugins", "--json"])
    rows = json.loads(capsys.readouterr().out)
    mine = {row["name"]: row["error"] for row in rows if row["distribution"] == "ferzoo"}
    assert set(ferzoo.list_models("l*")) <= set(mine)
    assert not any(mine.values())
    assert code == int(any(row["error"] for row in rows))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["info", "lfnbs"], "Did you mean 'lfnsb'"),
        (["eval", "lfnsbb", "--data", "nowhere"], "Did you mean 'lfnsb"),
        (["train", "epoch=3"], "Did you mean epochs"),
        (["train", "nowhere.yaml"], "cannot be read"),
        (["train", "data=nowhere", "out=also-nowhere"], "nowhere does not exist"),
        (["train", "sizes={0: ["], "no valid YAML"),
        (["convert", "nowhere.pth", "out.safetensors", "--model", "lfnsb"], "There is no file nowhere.pth"),
    ],
)
def test_errors_are_one_line(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.startswith(f"ferzoo {arguments[0]}: ")
    assert "Traceback" not in err


@pytest.mark.parametrize("folder", ["", "fold1"])
@pytest.mark.parametrize(
    ("wrong", "before", "told"),
    [
        ("seed=-5", {"seed": -5}, True),
        ("model=a.b", {"model": "a.b"}, True),
        ("seed=-5", {"seed": 5}, False),
        ("sede=3", {"seed": 3}, False),
        ("seed=[", {"seed": -5}, False),
        ("nowhere.yaml", {"seed": -5}, False),
        ("seed=-5", [], False),
        ("seed=-5", None, False),
    ],
)
def test_resume_says_that_another_version_began_the_run_where_one_did(
    wrong: str, before: object, told: bool, folder: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if before is not None:
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / "recipe.json").write_text(json.dumps(before))
    assert main(["train", "--resume", wrong, f"out={tmp_path}"]) == 2
    said = capsys.readouterr().err
    assert (f"Another version of ferzoo began the run in {tmp_path}, with a recipe that this one" in said) == told
    assert ("start it anew" in said) == told
    assert main(["train", wrong, f"out={tmp_path}"]) == 2
    assert "Another version" not in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "lfnsb", "--data", "x", "--threads"],
        ["compare", "lfnsb", "--threads"],
        ["bench", "lfnsb", "--threads"],
        ["explain", "x.png", "--threads"],
        ["predict", "x.png", "--threads"],
        ["predict", "x.png", "--workers"],
    ],
)
def test_more_threads_than_a_machine_bears_are_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stop:
        main([*arguments, "100000"])
    assert stop.value.code == 2
    assert f"{arguments[-1]}: '100000' is not a number of threads from 1 to 1,024" in capsys.readouterr().err


def test_convert_says_how_to_load(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = ferzoo.create_model("lanmsff", num_classes=5)
    torch.save({"state_dict": model.state_dict()}, tmp_path / "a.pth")
    target = tmp_path / "a.safetensors"
    assert main(["convert", str(tmp_path / "a.pth"), str(target), "--model", "lanmsff"]) == 0
    call = capsys.readouterr().out.splitlines()[-1].removeprefix("Load it with ")
    loaded = eval(call, {"ferzoo": ferzoo})
    assert torch.equal(loaded.head.weight, model.head.weight)


def test_show_prints_the_whole_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--show", "model=lanmsff", "sizes={0: 32, 4: 48}"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["model"] == "lanmsff"
    assert shown["sizes"] == {"0": 32, "4": 48}


@pytest.mark.skipif(os.name == "nt", reason="a folder that is used cannot be deleted here")
def test_a_current_folder_that_was_deleted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert main(["predict", "face.png", "-o", str(tmp_path / "rows.csv")]) == 2
    assert capsys.readouterr().err.startswith("ferzoo predict: No such file or directory: the current folder was del")


@pytest.mark.parametrize(("error", "there"), [(FileNotFoundError, True), (PermissionError, False)])
def test_another_error_says_nothing_of_the_current_folder(
    error: type[OSError], there: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(args: object) -> int:
        raise error(2, "It went wrong", "a.txt")

    monkeypatch.setattr(list_names, "run", run)
    if not there:
        monkeypatch.setattr("ferzoo.cli.main._here", lambda: "")
    assert main(["list"]) == 2
    assert capsys.readouterr().err == "ferzoo list: a.txt: It went wrong\n"
