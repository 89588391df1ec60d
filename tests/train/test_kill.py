"""A run that is killed at any moment continues to the same weights, bit for bit."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

from ferzoo.cli.main import main


@pytest.fixture(scope="module")
def script() -> Any:
    spec = importlib.util.spec_from_file_location("kill_and_resume", Path(__file__).with_name("kill_and_resume.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_killed_run_ends_in_the_same_bits(script: Any, tmp_path: Path) -> None:
    def run(out: Path, resume: bool = False) -> None:
        """Train to the end in this process, which has torch already."""
        threads = torch.get_num_threads()
        try:
            assert main(script.command(tmp_path / "faces", out, resume)[3:]) == 0
        finally:
            torch.set_num_threads(threads)

    script.write_faces(tmp_path / "faces")
    run(tmp_path / "whole")
    assert script.kill(tmp_path / "faces", tmp_path / "killed", 0.02)
    assert script.different(tmp_path / "whole", tmp_path / "killed")  # it was not finished
    run(tmp_path / "killed", resume=True)
    assert script.different(tmp_path / "whole", tmp_path / "killed") == []
