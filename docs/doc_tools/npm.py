"""Packages of npm, each pinned to a version and the hash of its archive."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from .common import ROOT

#: Archives that were fetched; git ignores it.
CACHE = ROOT / "build" / "npm"


class UnavailableError(Exception):
    """A package cannot be had here and now."""


def unpack(package: Mapping[str, Any], target: Path) -> None:
    """Write a package's files.

    Args:
        package: `name`, `version`, `integrity` as npm states it, and `files`: path in the package to name.
        target: Folder that they go to.

    Raises:
        UnavailableError: If the package cannot be fetched.
        ValueError: If it is not the one that was pinned.
    """
    with tarfile.open(fetch(package)) as archive:
        for path, name in package["files"].items():
            member = archive.extractfile(f"package/{path}")
            assert member is not None
            (target / name).write_bytes(member.read())


def fetch(package: Mapping[str, Any]) -> Path:
    """The archive of a package, from the cache or from the registry that npm is set to."""
    flat = package["name"].lstrip("@").replace("/", "-")
    path = CACHE / f"{flat}-{package['version']}.tgz"
    if not path.is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            fetched = _download(package, Path(folder))
            _check(package, fetched)
            fetched.replace(path)
    _check(package, path)
    return path


def _check(package: Mapping[str, Any], path: Path) -> None:
    found = "sha512-" + base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != package["integrity"]:
        raise ValueError(f"{path} is not the pinned package: its hash is {found}. Remove it to fetch it anew.")


def _download(package: Mapping[str, Any], folder: Path) -> Path:
    name, version = package["name"], package["version"]
    npm, registry = shutil.which("npm"), os.environ.get("NPM_CONFIG_REGISTRY")
    try:
        if npm:
            command = [npm, "pack", f"{name}@{version}", "--silent", "--pack-destination", str(folder)]
            subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, timeout=300)
            [path] = folder.glob("*.tgz")
            return path
        if registry:
            path = folder / "package.tgz"
            address = f"{registry.rstrip('/')}/{name}/-/{name.rpartition('/')[2]}-{version}.tgz"
            with urlopen(address, timeout=60) as answer, path.open("wb") as file:
                shutil.copyfileobj(answer, file)
            return path
    except (OSError, subprocess.SubprocessError) as error:
        # The page shows it: a failed command would name folders of this machine.
        reason = "npm pack failed" if isinstance(error, subprocess.SubprocessError) else error
        raise UnavailableError(f"{name} {version} could not be fetched: {reason}") from error
    raise UnavailableError(f"{name} {version} is needed: install npm, or set NPM_CONFIG_REGISTRY")
