"""`ferzoo pull`: weights from a folder to the cache, where `pretrained=True` finds them afterwards."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import ferzoo
from ferzoo.cli.main import main
from ferzoo.errors import CheckpointError, UnknownNameError, WeightsCorruptError, WeightsNotFoundError
from ferzoo.hub.pull import pull
from ferzoo.weights import folders

MINE = "lanmsff.mine"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache in a Hub home of the test's own; no FERZOO_WEIGHTS."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FERZOO_WEIGHTS", raising=False)
    return tmp_path / "home" / "ferzoo"


def place(folder: Path, name: str) -> Path:
    """Weights of a new network and their facts in a folder, as FERZOO_WEIGHTS has them."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.safetensors"
    save_file(ferzoo.create_model(name.partition(".")[0]).state_dict(), path)
    facts = {"sha256": folders.sha256_of(path), "cfg": {"num_classes": 8}}
    path.with_suffix(".json").write_text(json.dumps(facts))
    return path


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder with weights of two networks."""
    return [place(tmp_path / "source", name) for name in (MINE, "mobilefacenet.mine")][0].parent


def test_what_was_pulled_loads_without_the_folder(source: Path, cache: Path) -> None:
    expected = load_file(source / f"{MINE}.safetensors")
    (row,) = pull([MINE], source)
    assert Path(row["file"]) == cache / f"{MINE}.safetensors"
    shutil.rmtree(source)
    assert MINE in ferzoo.list_models(pretrained=True)
    loaded = ferzoo.create_model(MINE, pretrained=True).state_dict()
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[key], expected[key]) for key in expected)


def test_without_a_name_all_of_the_folder(source: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["pull", "--from", str(source), "--json"]) == 0
    assert [row["name"] for row in json.loads(capsys.readouterr().out)] == [MINE, "mobilefacenet.mine"]
    assert folders.listed(cache) == [MINE, "mobilefacenet.mine"]
    assert main(["pull", "lanmsff", "--from", str(source)]) == 0
    assert MINE in capsys.readouterr().out


def test_one_damaged_file_of_a_folder_leaves_the_others(source: Path, cache: Path) -> None:
    broken = place(source, "lanmsff.broken")
    broken.write_bytes(broken.read_bytes()[:-1])
    with pytest.raises(WeightsCorruptError, match=f"lanmsff.broken.* These were fetched: {MINE}, mobilefacenet.mine"):
        pull(source=source)
    assert folders.listed(cache) == [MINE, "mobilefacenet.mine"]


def test_what_a_killed_process_left_goes(source: Path, cache: Path) -> None:
    for left in (f".{MINE}.abcd_123", ".lanmsff.other.abcd_123"):
        (cache / left).mkdir(parents=True)
    pull([MINE], source)
    assert [path.name for path in cache.iterdir() if path.is_dir()] == [".lanmsff.other.abcd_123"]


def test_another_cache(source: Path, cache: Path, tmp_path: Path) -> None:
    (row,) = pull(["mobilefacenet"], source, tmp_path / "elsewhere")
    assert Path(row["file"]) == tmp_path / "elsewhere" / "ferzoo" / "mobilefacenet.mine.safetensors"
    assert not cache.exists()


def test_without_a_folder_the_places_are_searched() -> None:
    (row,) = pull(["lfnsb"])
    assert Path(row["file"]).parent == Path(ferzoo.__file__).parent / "weights"


def test_newer_weights_replace_older(source: Path, cache: Path) -> None:
    pull([MINE], source)
    newer = place(source, MINE).read_bytes()
    pull([MINE], source)
    assert (cache / f"{MINE}.safetensors").read_bytes() == newer
    ferzoo.create_model(MINE, pretrained=True)


@pytest.mark.parametrize("step", ["copyfile", "text"])
def test_a_failed_copy_leaves_nothing_half_written(
    source: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    pull([MINE], source)
    before = (cache / f"{MINE}.safetensors").read_bytes()
    place(source, MINE)

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(*((shutil, "copyfile") if step == "copyfile" else (Path, "write_text")), full)
        with pytest.raises(OSError, match="No space"):
            pull([MINE], source)
    assert (cache / f"{MINE}.safetensors").read_bytes() == before
    assert sorted(path.name for path in cache.iterdir()) == [f".{MINE}.lock", f"{MINE}.json", f"{MINE}.safetensors"]
    ferzoo.create_model(MINE, pretrained=True)
    pull([MINE], source)
    ferzoo.create_model(MINE, pretrained=True)


def test_what_the_cache_has_already_is_left_alone(source: Path, cache: Path) -> None:
    pull([MINE], source)
    before = {path.name: path.stat().st_ino for path in cache.iterdir()}
    pull([MINE], source)
    assert {path.name: path.stat().st_ino for path in cache.iterdir()} == before
    facts = source / f"{MINE}.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "ferzoo": {"note": "newer"}}))
    pull([MINE], source)
    assert ferzoo.create_model(MINE, pretrained=True).ferzoo_cfg == {"note": "newer"}


#: Pulls one of two versions again and again, or reads what is there; prints what went wrong.
TURNS = """
import sys, time
from pathlib import Path
from ferzoo.weights.folders import Weights, cache_folder, copy_to_cache, look_in
who, cache, go = int(sys.argv[1]), sys.argv[2], Path(sys.argv[3])
(go.parent / f"ready{who}").touch()
while not go.exists():
    time.sleep(0.002)
wrong, end = [], time.monotonic() + 3
while time.monotonic() < end:
    try:
        if who:
            copy_to_cache("lanmsff.mine", Path(sys.argv[4 + who % 2]), cache)
        found = look_in(cache_folder(cache), "lanmsff.mine")
        if not isinstance(found, Weights) and who:
            wrong.append(found)
    except Exception as error:
        wrong.append(repr(error))
print(len(wrong), wrong[:1])
"""


def test_eight_processes_and_a_reader_see_whole_pairs(tmp_path: Path) -> None:
    sources = [place(tmp_path / name, MINE).parent for name in ("one", "two")]
    cache, go = tmp_path / "shared", tmp_path / "go"
    arguments = [str(cache), str(go), *map(str, sources)]
    running = [
        subprocess.Popen([sys.executable, "-c", TURNS, str(who), *arguments], stdout=subprocess.PIPE, text=True)
        for who in range(9)
    ]
    end = time.monotonic() + 180
    while len(list(tmp_path.glob("ready*"))) < 9 and time.monotonic() < end:
        time.sleep(0.05)
    go.touch()
    assert [process.communicate(timeout=120)[0].strip() for process in running] == ["0 []"] * 9
    assert isinstance(folders.look_in(cache / "ferzoo", MINE), folders.Weights)
    assert len(list((cache / "ferzoo").iterdir())) == 3


def test_what_cannot_be_pulled(source: Path, cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownNameError, match="lanmsff"):
        pull(["lanmsf"], source)
    with pytest.raises(WeightsNotFoundError, match=r"does not have 'lanmsff.other'.*It has lanmsff.mine"):
        pull(["lanmsff.other"], source)
    with pytest.raises(WeightsNotFoundError, match="There is no folder"):
        pull([MINE], tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    for folder, why in (("nowhere", "is no folder"), ("empty", "has no NAME.TAG.safetensors")):
        with pytest.raises(WeightsNotFoundError, match=why):
            pull([], tmp_path / folder)
    with pytest.raises(WeightsNotFoundError, match="Name what to fetch: .*lfnsb.ferplus"):
        pull([])
    pull([MINE], source)
    with pytest.raises(CheckpointError, match="is the cache itself"):
        pull([MINE], cache)


def test_damaged_weights_and_other_versions_stay_out(source: Path, cache: Path) -> None:
    with (source / f"{MINE}.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(WeightsCorruptError, match=f"{MINE}.json"):
        pull([MINE], source)
    place(source, "lfnsb.ferplus")  # none that this ferzoo describes
    with pytest.raises(WeightsCorruptError, match="hub_configs/lfnsb.ferplus.yaml"):
        pull(["lfnsb"], source)
    assert not cache.exists()
