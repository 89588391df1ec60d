"""How the demo's packages are fetched and checked, and what is said without them."""

from __future__ import annotations

import base64
import hashlib
import importlib
import io
import json
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, on a machine without npm, without a registry and with an empty cache."""
    module = importlib.import_module("doc_tools.npm")
    monkeypatch.setattr(module, "CACHE", tmp_path / "cache")
    monkeypatch.setattr(module.shutil, "which", lambda name: None)
    monkeypatch.delenv("NPM_CONFIG_REGISTRY", raising=False)
    return module


@pytest.fixture
def package(tmp_path: Path) -> dict[str, Any]:
    """A package, and its archive where a registry has it."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as file:
        member = tarfile.TarInfo("package/dist/a.js")
        member.size = 5
        file.addfile(member, io.BytesIO(b"hello"))
    path = tmp_path / "registry" / "@some" / "thing" / "-" / "thing-1.2.3.tgz"
    path.parent.mkdir(parents=True)
    path.write_bytes(archive.getvalue())
    digest = base64.b64encode(hashlib.sha512(archive.getvalue()).digest()).decode()
    return {
        "name": "@some/thing",
        "version": "1.2.3",
        "integrity": f"sha512-{digest}",
        "files": {"dist/a.js": "renamed.js"},
    }


def test_package_comes_from_the_registry_once(
    npm: Any, package: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = importlib.import_module("doc_tools.demo_browser")
    with browser.served(tmp_path / "registry") as address:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", f"{address}/")
        npm.unpack(package, tmp_path)
    assert (tmp_path / "renamed.js").read_bytes() == b"hello"
    shutil.rmtree(tmp_path / "registry")
    assert npm.fetch(package).is_file()


def test_other_bytes_are_refused(
    npm: Any, package: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser = importlib.import_module("doc_tools.demo_browser")
    with browser.served(tmp_path / "registry") as address:
        monkeypatch.setenv("NPM_CONFIG_REGISTRY", address)
        with pytest.raises(ValueError, match="not the pinned package"):
            npm.fetch({**package, "integrity": "sha512-other"})
        with pytest.raises(npm.UnavailableError, match="404"):
            npm.fetch({**package, "version": "9.9.9"})
    assert list(npm.CACHE.iterdir()) == []


@pytest.mark.parametrize("required", ["", "required"])
def test_site_without_the_packages_says_so(
    npm: Any, package: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any, required: str
) -> None:
    monkeypatch.setenv("FERZOO_DEMO", required)
    demo = importlib.import_module("doc_tools.demo")
    monkeypatch.setattr(demo, "packages", lambda: [package])
    demo.build(tmp_path)
    stated = json.loads((tmp_path / "demo" / "demo.json").read_text(encoding="utf-8"))
    assert stated == {"missing": "@some/thing 1.2.3 is needed: install npm, or set NPM_CONFIG_REGISTRY"}
    [record] = caplog.records
    # What mkdocs' own logger is told would fail a strict build.
    assert "The browser demo is left out" in record.message
    assert record.name.startswith("mkdocs.") == bool(required)


def test_every_package_has_the_text_of_its_licence() -> None:
    root = Path(__file__).parents[2]
    words = {"MIT": "Permission is hereby granted", "Apache-2.0": (root / "LICENSE").read_text(encoding="utf-8")}
    for package in importlib.import_module("doc_tools.demo").packages():
        assert package["licences"]
        for name, file in package["licences"].items():
            assert words[name] in (root / "docs" / "demo" / "licences" / file).read_text(encoding="utf-8")


def test_policy_allows_the_inline_scripts_of_the_page_alone() -> None:
    demo = importlib.import_module("doc_tools.demo")
    page = demo.with_policy('<head><meta charset="utf-8"><script>a()</script><script src="b.js"></script></head>')
    digest = base64.b64encode(hashlib.sha256(b"a()").digest()).decode()
    assert page.count("sha256-") == 1 and f"'sha256-{digest}'" in page
    assert page.index("Content-Security-Policy") < page.index("<script>")
