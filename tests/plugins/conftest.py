"""The two plugin distributions, each built into a wheel and installed by pip into a folder of its own, offline."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder of each installed distribution, ``example`` and ``broken``."""
    pytest.importorskip("hatchling", reason="comes with the extra test")
    root = tmp_path_factory.mktemp("plugins")
    folders = {name: root / name for name in ("example", "broken")}
    offline = ["--quiet", "--no-deps", "--no-index"]
    pip("wheel", *offline, "--no-build-isolation", "--wheel-dir", str(root), *(str(HERE / name) for name in folders))
    for name, folder in folders.items():
        (wheel,) = root.glob(f"ferzoo_{name}-*.whl")
        pip("install", *offline, "--no-compile", "--target", str(folder), str(wheel))
    return folders


def pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], stderr=subprocess.PIPE, text=True)
    assert done.returncode == 0, done.stderr
