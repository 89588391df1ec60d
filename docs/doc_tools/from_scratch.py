"""All networks under one recipe, from the file that `ferzoo compare --json` prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .common import ROOT, million, rows

RESULTS = ROOT / "docs" / "results" / "from_scratch.json"
NO_RUN = "No run has been recorded yet."


def from_scratch() -> str:
    """A row a network, and why the cells that are empty are so; a sentence where no run is recorded."""
    if not RESULTS.is_file():
        return NO_RUN
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    header = ("network", "input", "parameters", "in the paper", "MFLOPs", "of these in the paper", "latency ms")
    header += ("faces seen", "accuracy, all rows, %", "unseen rows, %")
    threads = found[0]["threads"]
    notes = [f"- `{Path(row['model']).name}`: {row['note']}" for row in found if row["note"]]
    parts = [
        rows(header, map(_line, found), right=range(2, len(header))),
        f"Latency is one image on {threads} CPU thread{'s' if threads > 1 else ''}, float32, eager, at that input.",
    ]
    if not any(row["faces_seen"] for row in found):
        notes = ["No run of this recipe is on record yet: these are the sizes of the networks without any weights."]
    return "\n\n".join(parts + (["\n".join(notes)] if notes else []))


def _line(row: Mapping[str, Any]) -> list[str]:
    printed = [row["paper_parameters"], row["paper_flops"]]
    parameters, flops = ("" if value is None else million(value) for value in printed)
    measured = ["" if row[key] is None else f"{row[key]:.2f}" for key in ("accuracy", "accuracy_unseen")]
    seen = "" if row["faces_seen"] is None else f"{row['faces_seen']:,}"
    size = "x".join(map(str, row["input"]))
    sizes = [f"{row['parameters']:,}", parameters, f"{row['flops'] / 1e6:,.1f}", flops.removesuffix(" M")]
    return [f"`{Path(row['model']).name}`", size, *sizes, f"{row['latency_ms']:.1f}", seen, *measured]


TABLES: dict[str, Callable[..., str]] = {"from-scratch": from_scratch}
