"""The table of the data sets, and what the section of each says beside its heading."""

from __future__ import annotations

from collections.abc import Callable

from ferzoo.data.dataset import Dataset
from ferzoo.data.libraries import LIBRARIES
from ferzoo.data.readers import DATASETS

from .common import rows


def datasets() -> str:
    """Every data set with its splits, the published counts and what it is."""
    lines = []
    for d in DATASETS.values():
        splits = ", ".join(f"{split} {count:,}" for split, count in d.counts.items()) or "those of its folders"
        lines.append((f"[`{d.name}`](#{d.name})", d.title, splits, d.summary))
    for prefix, (_, summary, _) in LIBRARIES.items():
        lines.append((f"[`{prefix}:NAME`](#other-libraries)", "", "those of the data set", summary))
    return rows(("name", "data set", "faces by split", "what it is"), lines)


def _layout(dataset: Dataset) -> str:
    trees = [f"{what[0].upper()}{what[1:]}:\n\n```text\n{tree}\n```" for what, tree in dataset.layouts.items()]
    return "\n\n".join(trees)


def dataset(name: str) -> str:
    """The section of a data set: what, where from, terms, classes, layouts and notes."""
    d = DATASETS[name]
    lines = [("what it is", d.summary), ("where to ask", d.obtain), ("terms", d.terms)]
    if d.citation:
        lines.append(("cite", d.citation))
    if d.labels:
        lines.append(("classes in order", ", ".join(d.labels)))
        lines.append(("faces", ", ".join(f"{split} {count:,}" for split, count in d.counts.items())))
    return "\n\n".join([rows((d.title, ""), lines), d.notes, _layout(d)])


def libraries() -> str:
    """The libraries whose data sets are read."""
    return rows(("name", "reads", ""), [(f"`{k}:NAME`", what, folder) for k, (_, what, folder) in LIBRARIES.items()])


TABLES: dict[str, Callable[..., str]] = {"dataset": dataset, "dataset-libraries": libraries, "datasets": datasets}
