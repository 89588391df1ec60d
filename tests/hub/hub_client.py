"""The real client of huggingface_hub, pointed at a Hub of a test's own and back again."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from hub_server import Hub

#: Modules that keep copies of the client's constants, or of its session; imported before any is changed, so that none
#: takes a test's value for its own.
COPYING = (
    "constants",
    "hf_api",
    "file_download",
    "_snapshot_download",
    "utils._http",
    "utils._auth",
    "utils._cache_assets",
    "utils._cache_manager",
    "utils._git_credential",
    "utils._headers",
    "utils.tqdm",
)


def point_client(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set what the client read from the environment when it was imported, wherever it keeps copies of it."""
    home = str(hub.home)
    values = {
        "ENDPOINT": hub.endpoint,
        "HUGGINGFACE_CO_URL_TEMPLATE": hub.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
        "HF_HOME": home,
        **dict.fromkeys(("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "default_cache_path"), f"{home}/hub"),
        **dict.fromkeys(("HF_ASSETS_CACHE", "HUGGINGFACE_ASSETS_CACHE", "default_assets_cache_path"), f"{home}/assets"),
        **dict.fromkeys(("HF_XET_CACHE", "default_xet_cache_path"), f"{home}/xet"),
        "HF_TOKEN_PATH": f"{home}/token",
        "HF_STORED_TOKENS_PATH": f"{home}/stored_tokens",
        "AGENT_HARNESSES_PATH": f"{home}/.agent_harnesses.json",
        "CHECK_FOR_UPDATE_DONE_PATH": f"{home}/.check_for_update_done",
        "HF_HUB_OFFLINE": False,
        "HF_HUB_DISABLE_XET": True,
        "HF_HUB_DISABLE_TELEMETRY": True,
        "HF_HUB_DISABLE_IMPLICIT_TOKEN": False,
        "HF_HUB_DISABLE_PROGRESS_BARS": True,
        "HF_HUB_ENABLE_HF_TRANSFER": False,
    }
    modules = [module for name, module in list(sys.modules.items()) if name.split(".")[0] == "huggingface_hub"]
    for module in modules:
        for name in values.keys() & vars(module).keys():
            monkeypatch.setattr(module, name, values[name])
    api = sys.modules["huggingface_hub.hf_api"].api
    monkeypatch.setattr(api, "endpoint", hub.endpoint)
    if hasattr(api, "_whoami_cache"):
        monkeypatch.setattr(api, "_whoami_cache", {})
    for name in ("HUGGING_FACE_HUB_TOKEN", "HF_OIDC_RESOURCE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in hub.env().items():
        monkeypatch.setenv(name, value)


def drop_sessions() -> None:
    """Close the client's connections, which outlive a call; the next call opens new ones."""
    http = sys.modules["huggingface_hub.utils._http"]
    (getattr(http, "close_session", None) or http.reset_sessions)()


@contextmanager
def client_of(hub: Hub) -> Iterator[None]:
    """Within it the client of this process uses the server, as `hub.user`; afterwards it is as it was."""
    for name in COPYING:
        try:
            importlib.import_module(f"huggingface_hub.{name}")
        except ModuleNotFoundError:  # of another version
            continue
    drop_sessions()
    with pytest.MonkeyPatch.context() as monkeypatch:
        point_client(hub, monkeypatch)
        try:
            yield
        finally:
            drop_sessions()
