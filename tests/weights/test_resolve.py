"""Where weights are looked for, in which order, and how each file is checked."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from pathlib import Path
from typing import Any

import pytest

from ferzoo.errors import CheckpointError, WeightsCorruptError, WeightsNotFoundError
from ferzoo.weights.folders import local_checkpoints, sha256_of
from ferzoo.weights.resolve import resolve

REVISION = "0123456789abcdef0123456789abcdef01234567"
SOURCES = ("package", "first", "second", "checkout", "pulled", "hub")
#: Those whose file has a JSON with its facts beside it.
OWN_FACTS = ("first", "second", "pulled")


def put(path: Path, content: bytes = b"tensors", **facts: Any) -> Path:
    """A weights file and, where there are facts, the JSON beside it with its sha256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if facts:
        facts = {"sha256": hashlib.sha256(content).hexdigest(), **facts}
        path.with_suffix(".json").write_text(json.dumps(facts))
    return path


@pytest.fixture
def places(package: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Where each source has the file of lfnsb.ferplus."""
    monkeypatch.setenv("FERZOO_WEIGHTS", os.pathsep.join([str(tmp_path / "first"), "", str(tmp_path / "second")]))
    file = "lfnsb.ferplus.safetensors"
    return {
        "package": package / "weights" / file,
        "first": tmp_path / "first" / file,
        "second": tmp_path / "second" / file,
        "checkout": package / "hub_configs" / "weights" / file,
        "pulled": tmp_path / "cache" / "ferzoo" / file,
        "hub": tmp_path / "cache" / "models--someone--lfnsb" / "snapshots" / REVISION / "model.safetensors",
    }


@pytest.mark.parametrize("present", [c for n in range(1, 7) for c in itertools.combinations(SOURCES, n)], ids="-".join)
def test_the_first_source_that_has_it_gives_it(
    places: dict[str, Path], describe: Any, tmp_path: Path, present: tuple[str, ...]
) -> None:
    describe(repo="someone/lfnsb", revision=REVISION, ferzoo={"source": "described"})
    for source in present:
        facts = {"cfg": {"num_classes": 8}, "ferzoo": {"source": source}} if source in OWN_FACTS else {}
        put(places[source], **facts)
    found = resolve("lfnsb", "ferplus", cache_dir=tmp_path / "cache", local_files_only=True)
    assert found.path.samefile(places[present[0]])
    local = present[0] in OWN_FACTS
    assert found.ferzoo == {"source": present[0] if local else "described"}
    assert found.cfg["num_classes"] == 8


@pytest.mark.parametrize("repo", [None, "someone/lfnsb"])
def test_where_none_has_it_the_message_lists_what_was_tried(
    places: dict[str, Path], describe: Any, tmp_path: Path, repo: str | None
) -> None:
    describe(repo=repo, revision=repo and REVISION)
    describe(tag="rafdb", labels="rafdb")
    describe(tag="fer2013", labels="fer2013")
    put(places["package"].with_name("lfnsb.fer2013.safetensors"))
    with pytest.raises(WeightsNotFoundError) as caught:
        resolve("lfnsb", "ferplus", cache_dir=tmp_path / "cache", local_files_only=True)
    message = str(caught.value)
    assert "No weights for 'lfnsb.ferplus'" in message
    assert "the package: no lfnsb.ferplus.safetensors" in message
    assert f"no {places['first']};" in message and f"no {places['second']};" in message
    assert (f"the Hub: someone/lfnsb@{REVISION}" if repo else "the Hub: no public repository") in message
    assert message.endswith("There are weights for lfnsb.fer2013.")
    assert ("hub_configs/weights/lfnsb.ferplus.safetensors" in message) == (repo is None)
    assert isinstance(caught.value, CheckpointError)


def test_where_nothing_is_set_up_the_message_says_so(package: Path) -> None:
    with pytest.raises(WeightsNotFoundError, match="'lfnsb'.*FERZOO_WEIGHTS: not set.*the Hub: no public") as caught:
        resolve("lfnsb")
    assert "There are weights for" not in str(caught.value)


@pytest.mark.parametrize("tag", [None, "ferplus"])
def test_without_a_tag_ferplus_is_meant(places: dict[str, Path], describe: Any, tag: str | None) -> None:
    describe(tag="fer2013", labels="fer2013")
    describe()
    put(places["package"])
    assert resolve("lfnsb", tag).path == places["package"]


def test_a_near_tag_is_offered_also_of_the_users_own(places: dict[str, Path], describe: Any) -> None:
    describe()
    put(places["second"].with_name("lfnsb.mine.safetensors"), cfg={})
    with pytest.raises(WeightsNotFoundError, match="There are weights for lfnsb.ferplus"):
        resolve("lfnsb", "ferplsu")
    with pytest.raises(WeightsNotFoundError, match="There are weights for lfnsb.mine"):
        resolve("lfnsb", "mine2")
    assert local_checkpoints() == ["lfnsb.mine"]


def test_where_there_is_no_ferplus_the_first_tag_is_meant(places: dict[str, Path], describe: Any) -> None:
    for tag in ("rafdb", "fer2013"):
        describe(tag=tag, labels=tag)
    put(places["package"].with_name("lfnsb.fer2013.safetensors"))
    assert resolve("lfnsb").path.name == "lfnsb.fer2013.safetensors"


def test_pulled_weights_of_another_version_are_passed_over_and_told(
    places: dict[str, Path], describe: Any, tmp_path: Path
) -> None:
    describe()
    put(places["pulled"], b"older tensors", cfg={})
    with pytest.raises(WeightsNotFoundError, match="is of another version; `ferzoo pull lfnsb.ferplus`"):
        resolve("lfnsb", "ferplus", cache_dir=tmp_path / "cache")


@pytest.mark.parametrize("source", SOURCES)
def test_a_damaged_file_is_caught_and_no_other_is_taken_instead(
    places: dict[str, Path], describe: Any, tmp_path: Path, source: str
) -> None:
    describe(repo="someone/lfnsb", revision=REVISION)
    for later in SOURCES[SOURCES.index(source) :]:
        put(places[later], **({"cfg": {}} if later in OWN_FACTS else {}))
    places[source].write_bytes(b"tensorz")
    with pytest.raises(WeightsCorruptError) as caught:
        resolve("lfnsb", "ferplus", cache_dir=tmp_path / "cache", local_files_only=True)
    message = str(caught.value)
    assert hashlib.sha256(b"tensorz").hexdigest() in message and hashlib.sha256(b"tensors").hexdigest() in message
    described = "lfnsb.ferplus.json" if source in OWN_FACTS else "lfnsb.ferplus.yaml"
    assert described in message


def test_a_sha256_may_be_in_capitals(places: dict[str, Path]) -> None:
    put(places["first"], cfg={}, sha256=hashlib.sha256(b"tensors").hexdigest().upper())
    assert resolve("lfnsb", "ferplus").path == places["first"]


def test_a_file_without_its_facts_is_passed_over_and_told(places: dict[str, Path]) -> None:
    put(places["first"])
    with pytest.raises(WeightsNotFoundError, match="has no lfnsb.ferplus.json with its sha256 and cfg beside it"):
        resolve("lfnsb", "ferplus")
    put(places["second"], cfg={})
    assert resolve("lfnsb", "ferplus").path == places["second"]


@pytest.mark.parametrize(
    "text", ["", "[]", "3", '{"sha256": "00"}', '{"cfg": {}}', '{"sha256": "00", "cfg": 3}', '{"sha256": "00"']
)
def test_facts_that_are_none_are_an_error_that_names_the_file(places: dict[str, Path], text: str) -> None:
    facts = put(places["first"], cfg={}).with_suffix(".json")
    facts.write_text(text)
    with pytest.raises(WeightsNotFoundError, match='lfnsb.ferplus.json must be JSON with "sha256" and "cfg"'):
        resolve("lfnsb", "ferplus")


@pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
def test_the_hash_is_that_of_the_whole_file(tmp_path: Path, size: int) -> None:
    content = bytes(i * 7 % 251 for i in range(1000)) * (size // 1000 + 1)
    path = put(tmp_path / "file", content[:size])
    assert sha256_of(path) == hashlib.sha256(content[:size]).hexdigest()
