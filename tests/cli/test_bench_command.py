"""`ferzoo bench`: its table, its JSON and its drawing."""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import tempfile
import time
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from ferzoo.cli.bench import add_arguments, bench_chart, known_accuracy
from ferzoo.cli.main import main
from ferzoo.deploy import bench as module
from ferzoo.deploy.bench_summary import Bench, BenchRow, relate
from ferzoo.errors import DataError
from ferzoo.weights.configs import checkpoints

FIGURES: dict[str, Any] = {"p95_ms": 5.0, "min_ms": 3.0, "images_per_s": 250.0, "memory_mib": 99.5}
FIGURES |= {"cold_start_s": 1.25, "size_bytes": 1_500_000}
ROWS = (
    BenchRow("lanmsff", "onnx", (1, 48, 48), True, p50_ms=4.0, **FIGURES),
    BenchRow("lanmsff", "openvino-bf16", (1, 48, 48), True, p50_ms=2.0, **FIGURES),
    BenchRow("lanmsff", "compiled", (1, 48, 48), True, error="no compiler"),
    BenchRow("resnet18", "onnx", (3, 224, 224), False, p50_ms=16.0, note="untrained", **FIGURES),
)
MACHINE = {"processor": "A processor", "cores": 2, "versions": {"ferzoo": "1"}}
RESULT = Bench(relate(ROWS, "resnet18"), 2, 1, 60, 3, None, "resnet18", MACHINE)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """A measurement that is there at once; what it was called with."""
    calls: list[Any] = []

    def fixed(models: list[str], runtimes: Any, **options: Any) -> Bench:
        options.pop("progress")
        calls.append((models, runtimes, options))
        return RESULT

    monkeypatch.setattr(module, "bench", fixed)
    return calls


def test_the_table(asked: list[Any], capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--batch", "2", "--threads", "1", "--rounds", "9", "--runs", "4", "--size", "48"]
    command = ["bench", "lanmsff", "resnet18", "--runtimes", "onnx,compiled", "--relative-to", "resnet18", *options]
    assert main(command) == 0
    [(models, runtimes, called)] = asked
    assert (models, runtimes) == (["lanmsff", "resnet18"], ["onnx", "compiled"])
    assert called == {"batch": 2, "threads": 1, "rounds": 9, "runs": 4, "size": 48, "relative_to": "resnet18"}
    out = capsys.readouterr().out
    head, first, second, *_ = out.splitlines()
    assert "p50 ms" in head and head.endswith("x resnet18")
    assert first.split() == "lanmsff onnx 1x48x48 4.0 5.0 3.0 250.0 99.5 1.25 1.5 0.250".split()
    assert second.endswith("1.5")  # bfloat16 has no reference
    assert "lanmsff (compiled): no compiler" in out and "resnet18 (onnx): untrained" in out
    assert "batch of 2, 1 CPU thread, 60 rounds of 3 runs each" in out and "A processor" in out


def test_runtimes_may_stand_apart(asked: list[Any]) -> None:
    assert main(["bench", "lanmsff", "--runtimes", " onnx, eager ,compiled"]) == 0
    assert asked[0][1] == ["onnx", "eager", "compiled"]


def test_json_and_drawing(asked: list[Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "plot.svg"
    assert main(["bench", "lanmsff", "--json", "--plot", str(path)]) == 0
    assert asked[0][1] is None
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(RESULT.to_dict()))
    text = path.read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert "lanmsff onnx" in text and "bf16" not in text and "resnet18" not in text
    assert "batch of 2, 1 CPU thread" in text and "accuracy on ferplus validation" in text


def test_an_accuracy_holds_for_its_size_alone() -> None:
    recorded = checkpoints()["lanmsff.ferplus"].metrics["validation"]
    for name in ("lanmsff", "lanmsff.ferplus"):
        known = known_accuracy(name)
        assert known and known["accuracy"] == recorded["accuracy"] and known["size"] == recorded["size"]
    assert known_accuracy("resnet18") is None and known_accuracy("lanmsff.other") is None
    other = {**RESULT.to_dict(), "rows": [{**RESULT.to_dict()["rows"][0], "input": (1, 64, 64)}]}
    with pytest.raises(DataError, match="nothing to draw"):
        bench_chart(other)


def test_one_data_set_in_a_drawing() -> None:
    row = RESULT.to_dict()["rows"][0]
    rows = [row, {**row, "runtime": "eager"}, {**row, "model": "lanmsff.fer2013"}]
    drawn = bench_chart({**RESULT.to_dict(), "rows": rows}).svg()
    assert "accuracy on ferplus validation; on other data, not drawn: lanmsff.fer2013 onnx" in drawn
    assert drawn.count("<circle") == 2


def test_a_gpu_stands_beside_its_roofline(
    asked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = {**FIGURES, "roofline_images_per_s": 1000.0, "roofline_fraction": 0.25}
    rows = (ROWS[0], BenchRow("lanmsff", "cuda-bf16", (1, 48, 48), True, p50_ms=1.0, **figures))
    facts = {**MACHINE, "gpu": "A GPU", "bf16_flops_per_s": 4e12}
    monkeypatch.setattr(module, "bench", lambda *_, **__: Bench(rows, 8, 1, 60, 3, None, None, facts))
    assert main(["bench", "lanmsff"]) == 0
    head, first, second, *rest = capsys.readouterr().out.splitlines()
    assert head.split()[-4:] == ["roofline", "images/s", "of", "roofline"]
    assert first.split()[-1] == "1.5" and second.split()[-3:] == ["1000.0", "25.0", "%"]
    assert "A GPU: 4.0 TFLOP/s in a large bfloat16 matrix product" in rest


@pytest.mark.skipif(os.name != "posix", reason="the signal ends the process elsewhere")
def test_sigterm_ends_it_as_an_interrupt_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ended(*_: Any, **__: Any) -> None:
        with tempfile.TemporaryDirectory(dir=tmp_path):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(module, "bench", ended)
    assert main(["bench", "lanmsff"]) == 130
    assert not list(tmp_path.iterdir()) and signal.getsignal(signal.SIGTERM) is before


def test_errors(asked: list[Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "resnet18", "--plot", "x.svg"]) == 2
    assert "no accuracy is recorded" in capsys.readouterr().err
    assert main(["bench", "lanmsff", "--plot", "x.gif"]) == 2
    assert not asked
    failed = Bench(ROWS[2:3], 1, 1, 1, 1, None, None, MACHINE)
    monkeypatch.setattr(module, "bench", lambda *_, **__: failed)
    assert main(["bench", "lanmsff"]) == 1
    assert "no compiler" in capsys.readouterr().out


def test_measured_figures_are_shown(hooks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "bench.json"
    monkeypatch.setattr("doc_tools.bench.RESULTS", tmp_path)
    assert hooks.table("bench") == "No run has been recorded yet."
    path.write_text(json.dumps(RESULT.to_dict()), encoding="utf-8")
    table = hooks.table("bench")
    line = "| `lanmsff` | `onnx` | 1x48x48 | 4.00 | 5.00 | 3.00 | 250.0 | 100 | 1.25 | 1.50 | 0.250 |"
    assert line in table and "| `lanmsff` | `compiled` |" not in table
    assert "- `lanmsff` in `compiled`: no compiler" in table and "A processor, 2 cores; ferzoo 1" in table
    command = re.search(r"`ferzoo (bench [^`]*)`", table)
    assert command
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    args = parser.parse_args(command[1].split()[1:])
    assert (args.model, args.runtimes) == (["lanmsff", "resnet18"], "onnx,openvino-bf16,compiled")
    assert (args.batch, args.threads, args.rounds, args.runs, args.size) == (2, 1, 60, 3, None)
    assert args.relative_to == "resnet18" and args.json
    [picture] = re.findall(r"<svg.*</svg>", table)
    ElementTree.fromstring(picture)
    path.write_text(json.dumps({**RESULT.to_dict(), "rows": RESULT.to_dict()["rows"][3:]}), encoding="utf-8")
    assert "nothing is drawn" in hooks.table("bench")
    (tmp_path / "bench-112.json").write_text(json.dumps({**RESULT.to_dict(), "batch": 32, "size": 112}))
    headings = [line for line in hooks.table("bench").splitlines() if line.startswith("#")]
    assert headings == [
        "### A processor: batch of 32, CPU threads: 1, 112 px",
        "### A processor: batch of 2, CPU threads: 1, the size of the weights",
    ]
    assert "--size 112 " in hooks.table("bench")


def test_starts_are_shown(hooks: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("doc_tools.bench.RESULTS", tmp_path)
    assert hooks.table("start") == "No run has been recorded yet."
    rows = [{"what": "a", "p50_s": 0.25, "min_s": 0.125, "goal_s": None}]
    rows.append({**rows[0], "what": "b", "goal_s": 0.5})
    content = {"rows": rows, "runs": 7, "machine": MACHINE, "model": "lfnsb"}
    (tmp_path / "start.json").write_text(json.dumps(content))
    table = hooks.table("start")
    assert "| a | 0.250 | 0.125 |  |" in table and "| b | 0.250 | 0.125 | 0.5 |" in table
    assert "A processor, 2 cores; ferzoo 1." in table
    assert "`python -m ferzoo.deploy.bench_start lfnsb --runs 7`" in table
