"""The two plugin distributions, each installed by pip into a folder of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of each installed distribution, ``example`` and ``broken``."""
    root = tmp_path_factory.mktemp("plugins")
    folders = {name: root / name for name in ("example", "broken")}
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--target"]
    running = [
        subprocess.Popen([*pip, str(folder), str(HERE / name)], stderr=subprocess.PIPE, text=True)
        for name, folder in folders.items()
    ]
    for process in running:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    return folders
