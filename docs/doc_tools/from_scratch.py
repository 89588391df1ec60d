"""All networks under one recipe, from the file that `ferzoo compare --json` prints."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ferzoo.cli.compare import size_text

from .common import ROOT, rows

RESULTS = ROOT / "docs" / "results" / "from_scratch.json"
NO_RUN = "No run has been recorded yet."


def from_scratch() -> str:
    """A row a network, and why the cells that are empty are so; a sentence where no run is recorded."""
    if not RESULTS.is_file():
        return NO_RUN
    found = json.loads(RESULTS.read_text(encoding="utf-8"))
    header = ("network", "input", "parameters", "MFLOPs", "as in the paper", "printed there", "latency ms")
    header += ("faces seen", "loss fell, %", "accuracy, all rows, %", "unseen rows, %")
    threads = found[0]["threads"]
    notes = [f"- `{Path(row['model']).name}`: {row['note']}" for row in found if row["note"]]
    parts = [
        rows(header, map(_line, found), right=range(2, len(header))),
        "As in the paper: measured at the paper's input size and class count, where its figures hold. "
        f"Latency is one image on {threads} CPU thread{'s' if threads > 1 else ''}, float32, eager, at that input. "
        "The loss is the best of validation: by how much that of the last two epochs lies below that of all before.",
    ]
    if not any(row["faces_seen"] for row in found):
        notes = ["No run of this recipe is on record yet: these are the sizes of the networks without any weights."]
    return "\n\n".join(parts + (["\n".join(notes)] if notes else []))


def _line(row: Mapping[str, Any]) -> list[str]:
    measured = ["" if row[key] is None else f"{row[key]:.2f}" for key in ("accuracy", "accuracy_unseen")]
    seen = "" if row["faces_seen"] is None else f"{row['faces_seen']:,}"
    fall = "" if row["loss_fall"] is None else f"{row['loss_fall']:.1f}"
    size = "x".join(map(str, row["input"]))
    sizes = [f"{row['parameters']:,}", f"{row['flops'] / 1e6:,.1f}"]
    here, there = ("parameters_as_printed", "flops_as_printed"), ("paper_parameters", "paper_flops")
    printed = [size_text(*(row[key] for key in keys)) for keys in (here, there)]
    return [f"`{Path(row['model']).name}`", size, *sizes, *printed, f"{row['latency_ms']:.1f}", seen, fall, *measured]


TABLES: dict[str, Callable[..., str]] = {"from-scratch": from_scratch}
