"""Tables of the checkpoints: results, confusion matrices, files."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from ferzoo.weights.configs import Checkpoint, checkpoints, wheel_folder

from .common import recall, rows

NO_WEIGHTS = "This version ships no trained weights."
#: Where the weights are that are too large for the package.
CHECKOUT = "`hub_configs/weights` of the repository; beside an installed package, name it in `FERZOO_WEIGHTS`"


def checkpoints_of(name: str) -> list[Checkpoint]:
    """The checkpoints of one network."""
    return [c for c in checkpoints().values() if c.architecture == name]


def splits(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    """A checkpoint's results by split."""
    return {k: v for k, v in checkpoint.metrics.items() if isinstance(v, Mapping) and "accuracy" in v}


def _command(checkpoint: Checkpoint, split: str) -> str:
    measured = checkpoint.metrics[split]
    command = measured.get("command")
    flip = " --flip" if measured.get("flip") else ""
    return command or f"ferzoo eval {checkpoint.name} --data FOLDER --split {split}{flip}"


def results() -> str:
    """Accuracy of every checkpoint, with the command that prints it."""
    lines = []
    for c in checkpoints().values():
        for split, m in splits(c).items():
            for what, part in (("all", m), *((part, m.get(part)) for part in ("unseen", "agreed"))):
                if part:
                    figures = [part.get(k, "") for k in ("rows", "accuracy", "balanced_accuracy", "macro_f1")]
                    lines.append((f"`{c.name}`", m.get("title", split), what, *figures, f"`{_command(c, split)}`"))
    if not lines:
        return NO_WEIGHTS
    header = ("weights", "split", "rows", "count", "accuracy %", "balanced %", "macro F1 %", "command")
    return rows(header, lines, right=range(3, 7))


def confusion() -> str:
    """Confusion matrix of every checkpoint: true class down, predicted across."""
    from ferzoo.labels import label_names

    parts = []
    for c in checkpoints().values():
        names = label_names(c.labels)
        for split, m in splits(c).items():
            if "confusion" not in m:
                continue
            lines = [
                (f"**{name}**", *line, recall(line, i))
                for i, (name, line) in enumerate(zip(names, m["confusion"], strict=True))
            ]
            body = rows(("", *names, "recall %"), lines, right=range(1, len(names) + 2))
            parts.append(f"`{c.name}`, {split}, all rows: true class down, predicted across.\n\n{body}")
    return "\n\n".join(parts) or NO_WEIGHTS


def source(checkpoint: Checkpoint) -> str:
    """Where a checkpoint's weights come from."""
    if (wheel_folder() / checkpoint.file).is_file():
        return "this package"
    return f"the Hub, {checkpoint.repo}" if checkpoint.repo else CHECKOUT


def files() -> str:
    """Facts of every checkpoint: description, licence, labels, sha256, source, preprocessing, training."""
    parts = []
    for c in checkpoints().values():
        facts: dict[str, Any] = {"licence": c.license, "classes": f"`{c.labels}`", "sha256": f"`{c.sha256}`"}
        facts["from"] = source(c)
        for title, values in (("cfg", c.cfg), ("ferzoo", c.ferzoo), ("training", c.training)):
            facts |= {f"{title}: {k}": v if isinstance(v, str) else f"`{json.dumps(v)}`" for k, v in values.items()}
        parts.append(f"### {c.name}\n\n{c.description}\n\n{rows(('fact', ''), list(facts.items()))}")
    return "\n\n".join(parts) or NO_WEIGHTS


TABLES: dict[str, Callable[..., str]] = {"confusion": confusion, "files": files, "results": results}
