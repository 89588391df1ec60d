"""Training images per second, from the files that `python -m ferzoo.train.throughput` prints."""

from __future__ import annotations

import json
from collections.abc import Callable

from .common import ROOT, rows

RESULTS = ROOT / "docs" / "results"
SETTINGS = ("compile", "amp", "bf16_pointwise", "fused_blocks")
VALUES = ("model", "size", "batch_size", "steps", "repeats", "threads")


def training_rate() -> str:
    """A row a run, where they ran, and the command of each; a sentence where none is recorded."""
    runs = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(RESULTS.glob("training-*.json"))]
    if not runs:
        return "No run has been recorded yet."
    header = ("network", "px", "batch", "settings", "huge pages")
    header += ("faces/s", "plain timm loop", "ratio", "loading alone")
    lines, commands = [], []
    for run in runs:
        settings = [key for key in SETTINGS if run["dtype" if key == "amp" else key] not in (False, "float32")]
        cells = [f"`{run['model']}`", str(run["size"]), str(run["batch_size"]), ", ".join(f"`{s}`" for s in settings)]
        cells.append("yes" if run.get("asked_for_huge_pages") else "no")
        lines.append([*cells, *(str(run[key]) for key in ("ferzoo", "plain", "ratio", "loading"))])
        options = [f"{_option(key)} {run[key]}" for key in VALUES] + [_option(key) for key in settings]
        if run.get("asked_for_huge_pages"):
            commands.append("export GLIBC_TUNABLES=glibc.malloc.hugetlb=1")
        commands.append(f"python -m ferzoo.train.throughput {' '.join(options)}")
    places = {f"{run['device']}, {run['threads']} thread(s), medians of {run['repeats']} timings" for run in runs}
    parts = [rows(header, lines, right=(1, 2, 5, 6, 7, 8)), f"{'; '.join(sorted(places))}."]
    return "\n\n".join([*parts, "\n".join(["```console", *commands, "```"])])


def _option(key: str) -> str:
    return f"--{key.replace('_', '-')}"


TABLES: dict[str, Callable[..., str]] = {"training-rate": training_rate}
