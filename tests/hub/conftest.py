"""A Hub on 127.0.0.1 with the real client pointed at it, for one test."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from hub_client import client_of
from hub_server import Hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """A Hub without repositories, which the client and, with `hub.env()`, a subprocess use as `hub.user`."""
    with Hub(tmp_path / "hf") as server, client_of(server):
        yield server
    assert not server.errors, server.errors[0]


@pytest.fixture
def naps(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds the client would sleep between two tries; it does not."""
    slept: list[float] = []
    clock = SimpleNamespace(**{**vars(time), "sleep": slept.append})
    for module in ("utils._http", "file_download"):
        monkeypatch.setattr(sys.modules[f"huggingface_hub.{module}"], "time", clock)
    return slept
