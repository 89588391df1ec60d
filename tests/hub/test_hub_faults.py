"""The faults that the Hub of the tests can have, and what the real client makes of each; that it ends and leaves
nothing behind.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hub_client import client_of
from hub_server import Hub
from huggingface_hub import HfApi, __version__, constants, hf_hub_download, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

REPO = "someone/net"
SMALL = b'{"num_classes": 8}'
LARGE = bytes(range(256)) * 8000
MODEL = "model.safetensors"
tries_again = pytest.mark.skipif(
    __version__.startswith("0."), reason="the client of huggingface_hub 0.x gives up at once"
)


@pytest.fixture
def net(hub: Hub) -> str:
    """Hash of a commit with a small and a large file."""
    return hub.add(REPO, {"config.json": SMALL, MODEL: LARGE})


def upload(api: HfApi) -> Any:
    return api.upload_file(path_or_fileobj=b"new", path_in_repo="new.bin", repo_id=REPO)


@tries_again
@pytest.mark.parametrize(
    "pattern, status",
    [("POST .*/preupload/", 429), ("POST .*/batch", 503), ("PUT /storage", 500), ("POST .*/verify", 429)],
)
def test_steps_of_an_upload_that_are_tried_again(
    hub: Hub, net: str, naps: list[float], pattern: str, status: int
) -> None:
    hub.fail(pattern, status, times=2, headers={"Retry-After": "0"})
    upload(HfApi())
    assert hub.read(REPO, "main", "new.bin") == b"new"
    assert [r.status for r in hub.seen(pattern)] == [status, status, 200] and len(naps) == 2


@pytest.mark.parametrize("pattern", ["POST .*/commit/", "POST .*/repos/create", "GET .*/api/models/[^/]*/net$"])
def test_steps_that_are_not_tried_again(hub: Hub, net: str, naps: list[float], pattern: str) -> None:
    calls: dict[str, Callable[[], Any]] = {
        "commit": lambda: upload(HfApi()),
        "create": lambda: HfApi().create_repo("someone/other"),
        "models": lambda: HfApi().model_info(REPO),
    }
    hub.fail(pattern, 429, headers={"Retry-After": "0"})
    with pytest.raises(HfHubHTTPError) as caught:
        next(call for word, call in calls.items() if word in pattern)()
    assert caught.value.response.status_code == 429 and not naps and len(hub.seen(pattern)) == 1


@tries_again
@pytest.mark.parametrize("pattern, status", [("HEAD", 429), ("HEAD", 503), ("GET /storage", 429)])
def test_a_download_is_tried_again(hub: Hub, net: str, naps: list[float], pattern: str, status: int) -> None:
    hub.fail(pattern, status, times=2, headers={"Retry-After": "0"})
    assert Path(hf_hub_download(REPO, MODEL)).read_bytes() == LARGE
    assert [r.status for r in hub.seen(pattern)][:2] == [status, status]


@tries_again
def test_a_download_is_not_tried_for_ever(hub: Hub, net: str, naps: list[float]) -> None:
    hub.fail("HEAD", 503, times=100)
    with pytest.raises(LocalEntryNotFoundError):
        hf_hub_download(REPO, MODEL)
    assert 1 < len(hub.seen("HEAD")) < 10
    hub.repair()
    assert Path(hf_hub_download(REPO, MODEL)).read_bytes() == LARGE
    hub.fail("HEAD", 503, times=100)
    assert Path(hf_hub_download(REPO, MODEL)).read_bytes() == LARGE  # from the cache


@tries_again
def test_a_download_that_was_cut_goes_on_after_the_chunks_it_has(hub: Hub, naps: list[float]) -> None:
    chunk = constants.DOWNLOAD_CHUNK_SIZE
    content = LARGE * (chunk // len(LARGE) + 2)
    hub.add(REPO, {MODEL: content})
    hub.cut("GET /storage", after=chunk + 1000)
    assert Path(hf_hub_download(REPO, MODEL)).read_bytes() == content
    assert [(r.status, r.range) for r in hub.seen("GET /storage")] == [(200, None), (206, f"bytes={chunk}-")]


@tries_again
@pytest.mark.parametrize("path, content", [(MODEL, LARGE), ("config.json", SMALL)])
def test_a_download_that_was_cut_within_the_first_chunk_begins_again(
    hub: Hub, net: str, naps: list[float], path: str, content: bytes
) -> None:
    hub.cut(f"GET .*/{path}", after=len(content) // 2)
    assert Path(hf_hub_download(REPO, path)).read_bytes() == content
    assert [(r.status, r.range) for r in hub.seen(f"GET .*/{path}")] == [(200, None), (200, None)]


@tries_again
def test_an_answer_that_does_not_come(hub: Hub, net: str, naps: list[float]) -> None:
    hub.cut("GET /storage", after=None)
    assert Path(hf_hub_download(REPO, MODEL)).read_bytes() == LARGE
    assert [r.status for r in hub.seen("GET /storage")] == [0, 200]


@tries_again
def test_without_a_server_a_download_is_tried_for_long(hub: Hub, net: str, naps: list[float]) -> None:
    hub.stop()
    with pytest.raises(LocalEntryNotFoundError):
        hf_hub_download(REPO, MODEL)
    assert naps == [1, 2, 4, 8, 8]


def test_a_commit_whose_answer_is_lost_is_made(hub: Hub, net: str, naps: list[float]) -> None:
    hub.cut("POST .*/commit/", after=0)
    with pytest.raises(Exception, match="peer closed|IncompleteRead|incomplete"):
        upload(HfApi())
    assert hub.read(REPO, "main", "new.bin") == b"new" and not naps and len(hub.seen("POST .*/commit/")) == 1


def test_a_file_of_other_bytes_is_taken_for_the_true_one(hub: Hub, net: str) -> None:
    hub.alter(REPO, MODEL, lambda content: b"x" + content[1:])
    hub.alter(REPO, "config.json", lambda content: content.upper())
    assert Path(hf_hub_download(REPO, MODEL)).read_bytes() == b"x" + LARGE[1:]
    assert Path(hf_hub_download(REPO, "config.json")).read_bytes() == SMALL.upper()
    assert hub.read(REPO, net, MODEL) == LARGE


@pytest.mark.parametrize("path", [MODEL, "config.json"])
@pytest.mark.parametrize("longer", [False, True])
def test_a_file_of_another_size_is_refused(hub: Hub, net: str, path: str, longer: bool) -> None:
    if longer:
        hub.alter(REPO, path, lambda content: content + b"x")
    else:
        hub.truncate(REPO, path, 10, honest=True)
    with pytest.raises(OSError, match="Consistency check failed"):
        hf_hub_download(REPO, path)
    assert not list((hub.home / "hub").rglob(f"snapshots/*/{path}"))


@tries_again
def test_a_file_that_always_ends_too_early_is_given_up(hub: Hub, net: str, naps: list[float]) -> None:
    hub.truncate(REPO, MODEL, 1000)
    with pytest.raises(Exception, match="peer closed|IncompleteRead|incomplete"):
        hf_hub_download(REPO, MODEL)
    assert 1 < len(hub.seen("GET /storage")) < 10
    assert not list((hub.home / "hub").rglob(f"snapshots/*/{MODEL}"))
    hub.repair()
    folder = snapshot_download(REPO, local_dir=hub.home / "local")
    assert (Path(folder) / MODEL).read_bytes() == LARGE


def test_a_subprocess_uses_it_too(hub: Hub, net: str, run_python: Any) -> None:
    code = f"""
from huggingface_hub import HfApi, hf_hub_download
out = [HfApi().whoami()["name"], hf_hub_download("{REPO}", "{MODEL}")]
"""
    user, path = run_python(code, **hub.env())
    assert user == hub.user and Path(path).read_bytes() == LARGE and Path(path).is_relative_to(hub.home)


def facts() -> dict[tuple[str, str], Any]:
    """All constants of the client's modules."""
    modules = [(name, module) for name, module in sys.modules.items() if name.split(".")[0] == "huggingface_hub"]
    kinds = (str, bool, int, type(None))
    found = {(n, key): v for n, module in modules for key, v in vars(module).items() if isinstance(v, kinds)}
    return {**found, ("api", "endpoint"): sys.modules["huggingface_hub.hf_api"].api.endpoint}


def test_the_client_is_afterwards_as_before(tmp_path: Path) -> None:
    with Hub(tmp_path / "first") as hub, client_of(hub):
        pass  # whatever the client imports late is imported now
    before = facts()
    with Hub(tmp_path / "second") as hub, client_of(hub):
        assert constants.ENDPOINT == hub.endpoint and facts() != before
        hub.add(REPO, {"config.json": SMALL})
        assert Path(hf_hub_download(REPO, "config.json")).is_relative_to(tmp_path / "second")
    # Modules imported meanwhile must not have kept anything of the server either.
    assert {key: value for key, value in facts().items() if key in before} == before
    assert not [key for key, value in facts().items() if str(value).startswith((hub.endpoint, str(tmp_path)))]


def test_it_ends_at_once_with_open_connections(tmp_path: Path) -> None:
    with Hub(tmp_path) as hub:
        idle = socket.create_connection(("127.0.0.1", int(hub.endpoint.rpartition(":")[2])))
        idle.sendall(b"GET /api/agent-harnesses HTTP/1.1\r\nHost: hub\r\n\r\n")
        assert b"200 OK" in idle.recv(1000)
        begun = time.monotonic()
    assert time.monotonic() - begun < 1
    idle.settimeout(1)
    idle.recv(1000)
    assert idle.recv(1000) == b""
    idle.close()
