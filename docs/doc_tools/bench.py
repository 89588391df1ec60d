"""The runtimes that can be measured, and what was measured, from the files that `ferzoo bench --json` prints."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ferzoo.cli.bench import bench_chart
from ferzoo.deploy.bench_runtimes import RUNTIMES
from ferzoo.deploy.bench_summary import remarks
from ferzoo.errors import DataError

from .common import ROOT, rows

#: A run of `ferzoo bench` in each bench*.json, and one of `python -m ferzoo.deploy.bench_start` in start.json.
RESULTS = ROOT / "docs" / "results"
NO_RUN = "No run has been recorded yet."


def runtimes() -> str:
    """Every runtime with the file that it opens."""
    return rows(("runtime", "what it is", "file"), [(f"`{k}`", r.title, r.file) for k, r in RUNTIMES.items()])


def bench() -> str:
    """A section for every recorded run; a sentence where there is none."""
    paths = sorted(RESULTS.glob("bench*.json"), key=_in_order)
    found = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return "\n\n".join(map(_run, found)) or NO_RUN


def start() -> str:
    """How long ferzoo takes to start, beside the goals; a sentence where nothing is recorded."""
    path = RESULTS / "start.json"
    if not path.is_file():
        return NO_RUN
    result = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        (row["what"], f"{row['p50_s']:.3f}", f"{row['min_s']:.3f}", "" if row["goal_s"] is None else row["goal_s"])
        for row in result["rows"]
    ]
    command = f"python -m ferzoo.deploy.bench_start {result['model']} --runs {result['runs']}"
    table = rows(("what is started", "p50 s", "min s", "goal s"), lines, right=(1, 2, 3))
    return f"{table}\n\n{_machine(result)} The command is `{command}`."


def scoring() -> str:
    """Images a second from the source to the rows, beside the network alone; a sentence where nothing is recorded."""
    found = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("scoring_rate*.json"))]
    if not found:
        return NO_RUN
    header = (
        "network",
        "images",
        "source to rows, images/s",
        "network alone, images/s",
        "ratio",
        "ratios of the timings",
    )
    lines = [
        (
            f"`{one['model']}`",
            one["images"],
            one["end_to_end"],
            one["network"],
            one["ratio"],
            ", ".join(map(str, one["ratios"])),
        )
        for one in found
    ]
    commands = []
    for one in found:
        options = " ".join(f"--{key} {one[key]}" for key in ("images", "repeats", "threads") if one[key] is not None)
        commands.append(f"python -m ferzoo.predict.scoring_rate validation.parquet --model {one['model']} {options}")
    machines = " ".join(dict.fromkeys(_machine(one) for one in found if "machine" in one))
    where = f"FER-2013's validation split; {found[0]['workers']} image threads. {machines} The goal is 0.85."
    table = rows(header, lines, right=range(1, 5))
    return "\n\n".join([table, where, "\n".join(["```console", *commands, "```"])])


def int8() -> str:
    """Speed and accuracy of the networks that were measured in int8; a sentence where nothing is recorded."""
    paths, times = sorted(RESULTS.glob("int8-*.json")), RESULTS / "bench-11-avx2-int8.json"
    if not paths or not times.is_file():
        return NO_RUN
    timed = json.loads(times.read_text(encoding="utf-8"))["rows"]
    p50 = {row["model"]: row["p50_ms"] for row in timed if row["runtime"] == "onnx"}
    lines = []
    for found in (json.loads(path.read_text(encoding="utf-8")) for path in paths):
        before, after = p50[f"{found['architecture']}.onnx"], p50[found["path"]]
        lines.append(
            (
                f"`{found['architecture']}`",
                f"{found['accuracy_float32']:.2f}",
                f"{found['accuracy_int8']:.2f}",
                f"{found['size_bytes'] / 1e6:.2f}",
                f"{before:.2f}",
                f"{after:.2f}",
                f"{before / after:.2f}",
            )
        )
    header = ("network", "float32 %", "int8 %", "int8 file MB", "float32 ms", "int8 ms", "times as fast")
    return rows(header, lines, right=range(1, 7))


def fast_ablation() -> str:
    """A row for LFNSB-fast as it is and with each choice undone; a sentence where nothing is recorded."""
    path = RESULTS / "fast_ablation.json"
    if not path.is_file():
        return NO_RUN
    result = json.loads(path.read_text(encoding="utf-8"))
    lines = [
        (row["what"], f"{row['p50_ms']:.2f}", f"{row['p95_ms']:.2f}", f"{row['ratio']:.2f}") for row in result["rows"]
    ]
    table = rows(("`lfnsb_fast`, ONNX Runtime, batch of 1", "p50 ms", "p95 ms", "x"), lines, right=(1, 2, 3))
    command = f"python -m ferzoo.deploy.fast_ablation --threads {result['threads']} --rounds {result['rounds']}"
    return f"{table}\n\n{_machine(result)} The command is `{command}`."


def _in_order(path: Path) -> list[str]:
    """A key by which bench-9 comes before bench-10."""
    return [part.zfill(9) if part.isdigit() else part for part in re.split(r"(\d+)", path.name)]


def _machine(result: Mapping[str, Any]) -> str:
    facts = result["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return f"{facts['processor']}, {facts['cores']} cores; {versions}."


def _run(result: Mapping[str, Any]) -> str:
    """A row for every network in every runtime, the machine, the command and a plot."""
    reference = result["relative_to"]
    header = ["network", "runtime", "input", "p50 ms", "p95 ms", "min ms", "images/s", "memory MiB", "cold start s"]
    header += ["file MB", *([f"x `{reference}`"] if reference else [])]
    lines = [_line(row, bool(reference)) for row in result["rows"] if not row["error"]]
    size = f"{result['size']} px" if result["size"] else "the size of the weights"
    parts = [
        f"### {result['machine']['processor']}: batch of {result['batch']}, CPU threads: {result['threads']}, {size}",
        rows(header, lines, right=range(3, len(header))),
        f"{_machine(result)} The command is `{_command(result)}`.",
        *_remarks(result),
    ]
    try:
        # In a block of its own, so that Markdown takes no name in it for emphasis.
        parts.append(f"<div>{bench_chart(result).svg().replace(chr(10), '')}</div>")
    except DataError:
        parts.append("None of these rows has an accuracy on record, so nothing is drawn.")
    return "\n\n".join(parts)


def _line(row: Mapping[str, Any], related: bool) -> list[str]:
    figures = [f"{row[key]:.2f}" for key in ("p50_ms", "p95_ms", "min_ms")]
    figures.append(f"{row['images_per_s']:.1f}")
    figures.append("" if row["memory_mib"] is None else f"{row['memory_mib']:.0f}")
    figures += [f"{row['cold_start_s']:.2f}", f"{row['size_bytes'] / 1e6:.2f}"]
    if related:
        figures.append("" if row["ratio"] is None else f"{row['ratio']:.3f}")
    return [f"`{row['model']}`", f"`{row['runtime']}`", "x".join(map(str, row["input"])), *figures]


def _command(result: Mapping[str, Any]) -> str:
    models, chosen = (list(dict.fromkeys(row[key] for row in result["rows"])) for key in ("model", "runtime"))
    options = {key: result[key] for key in ("batch", "threads", "rounds", "runs", "size", "relative_to")}
    said = [f"--{key.replace('_', '-')} {value}" for key, value in options.items() if value is not None]
    return " ".join(["ferzoo bench", *models, "--runtimes", ",".join(chosen), *said, "--json"])


def _remarks(result: Mapping[str, Any]) -> list[str]:
    lines = [
        f"- `{model}` in {', '.join(f'`{name}`' for name in names)}: {text}"
        for model, names, text in remarks(result["rows"])
    ]
    return ["\n".join(lines)] if lines else []


TABLES: dict[str, Callable[..., str]] = {
    "bench": bench,
    "fast-ablation": fast_ablation,
    "int8": int8,
    "runtimes": runtimes,
    "scoring": scoring,
    "start": start,
}
