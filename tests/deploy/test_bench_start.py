"""Starts: whole processes or what they say of themselves, and those that fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from ferzoo.deploy.bench_start import Start, measure_starts, starts
from ferzoo.errors import FerzooError


def test_figures_of_starts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    note = f"open({str(log)!r}, 'a').write"
    said: list[str] = []
    chosen = [
        Start("whole", ["-c", f"{note}('w')"]),
        Start("inside", ["-c", f"{note}('i'); print(0.125)"], 0.5, inside=True),
    ]
    found = measure_starts(chosen, 3, said.append)
    text = log.read_text()
    assert [sorted(text[i : i + 2]) for i in range(0, 8, 2)] == [["i", "w"]] * 4 and len(text) == len(said) == 8
    whole, inside = found["rows"]
    assert inside == {"what": "inside", "p50_s": 0.125, "min_s": 0.125, "goal_s": 0.5}
    assert 0 < whole["min_s"] <= whole["p50_s"] and whole["goal_s"] is None
    assert found["runs"] == 3 and found["machine"]["versions"]["ferzoo"]


def test_a_start_that_fails(tmp_path: Path) -> None:
    with pytest.raises(FerzooError, match="ended with code 3: gone"):
        chosen = [Start("it", ["-c", "import sys; print('gone', file=sys.stderr); sys.exit(3)"])]
        measure_starts(chosen, 1, lambda _: None)
    with pytest.raises(FerzooError, match="from 1 up"):
        measure_starts([], 0)


def test_what_is_started_runs(tmp_path: Path) -> None:
    from ferzoo.deploy.bench_start import _seconds

    _, imported, listed, predicted = starts(tmp_path / "none.onnx")
    assert 0 < _seconds(imported) < 60 and _seconds(listed) > 0
    with pytest.raises(FerzooError, match=r"code 1: .*There is no file .*none\.onnx"):
        _seconds(predicted)
