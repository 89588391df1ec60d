"""What was measured of the losses, from the file that `python -m ferzoo.train.ablation --report` writes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .common import ROOT, rows

RESULTS = ROOT / "docs" / "results" / "losses.json"
NO_RUNS = "No run has been recorded yet."


def _difference(row: Mapping[str, Any]) -> str:
    """To cross-entropy on the same seeds: the mean with its interval, or the difference of one seed."""
    if paired := row.get("paired"):
        return f"{paired['mean']:+.2f} [{paired['low']:+.2f}, {paired['high']:+.2f}]"
    return ", ".join(f"{value:+.2f}" for value in row["differences"].values())


def loss_ablation() -> str:
    """A row for every loss that was tried; a sentence where `docs/results/losses.json` is not there."""
    if not RESULTS.is_file():
        return NO_RUNS
    results = json.loads(RESULTS.read_text(encoding="utf-8"))
    lines = [
        (
            f"`{row['loss']}`",
            len(row["seeds"]),
            f"{row['accuracy']:.2f}",
            _difference(row),
            f"{row['accuracy_unseen']:.2f}",
            *(f"{row[key]:.3f}" for key in ("intra", "inter", "ratio")),
        )
        for row in results["summary"]
    ]
    header = ("loss", "seeds", "accuracy %", "to `ce`", "unseen %", "intra", "inter", "ratio")
    table = rows(header, lines, right=range(1, len(header)))
    return f"{table}\n\n{_plot(results['summary'])}\n\nThe command is `{results['command']}`."


def _plot(summary: Sequence[Mapping[str, Any]]) -> str:
    """Differences to cross-entropy as an inline SVG: a bar is the 95 % interval, a ring a single seed."""
    arms = [(row["arm"], list(row["differences"].values()), row.get("paired")) for row in summary if row["differences"]]
    if not arms:
        return ""
    ends = [v for _, single, p in arms for v in ([p["low"], p["high"]] if p else single)]
    reach = max(0.5, math.ceil(2 * max(map(abs, ends))) / 2)
    left, width, step = 170, 430, 26
    height = step * len(arms) + 44

    def x(value: float) -> float:
        return round(left + width * (value + reach) / (2 * reach), 1)

    bottom = height - 34
    parts = [
        f'<svg viewBox="0 0 {left + width + 20} {height}" role="img" style="max-width: 42rem" font-size="12" '
        f'fill="currentColor" stroke="none"><title>Difference to cross-entropy alone, points of accuracy</title>'
    ]
    for tick in (-reach, -reach / 2, 0.0, reach / 2, reach):
        parts.append(
            f'<path d="M{x(tick)} 4V{bottom}" stroke="currentColor" stroke-opacity="{0.7 if tick == 0 else 0.2}"/>'
            f'<text x="{x(tick)}" y="{bottom + 14}" text-anchor="middle">{tick:+.2f}</text>'
        )
    for i, (arm, single, paired) in enumerate(arms):
        y = 4 + step * i + step / 2
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{arm}</text>')
        if paired:
            parts.append(
                f'<path d="M{x(paired["low"])} {y}H{x(paired["high"])}" stroke="#00897b" stroke-width="3"/>'
                f'<circle cx="{x(paired["mean"])}" cy="{y}" r="5" fill="#00897b"/>'
            )
        else:
            parts += [
                f'<circle cx="{x(v)}" cy="{y}" r="5" fill="none" stroke="#00897b" stroke-width="2"/>' for v in single
            ]
    parts.append(
        f'<text x="{(left + width + 20) / 2}" y="{height - 4}" text-anchor="middle">'
        f"points of accuracy more than cross-entropy alone; bar: 95 % interval, ring: one seed</text></svg>"
    )
    return "".join(parts)


TABLES: dict[str, Callable[..., str]] = {"loss-ablation": loss_ablation}
