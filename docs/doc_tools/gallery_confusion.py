"""The confusion matrix of a checkpoint as a heat map with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ferzoo.labels import label_names
from ferzoo.weights.configs import Checkpoint

from .common import recall
from .gallery_facts import data_of


def confusion(checkpoint: Checkpoint, split: str, results: Mapping[str, Any]) -> str:
    """A table: true class down, predicted across; the darker a cell, the larger its share of the true class.

    Args:
        checkpoint: The checkpoint.
        split: The split of the results.
        results: Results with the field `confusion`.
    """
    names = label_names(checkpoint.labels)
    head = "".join(f'<th scope="col"><span>{name}</span></th>' for name in (*names, "recall, %"))
    lines = enumerate(zip(names, results["confusion"], strict=True))
    body = "".join(
        f'<tr><th scope="row">{true}</th>{_cells(true, line, names)}<td>{recall(line, i)}</td></tr>'
        for i, (true, line) in lines
    )
    caption = (
        f"Confusion matrix of <code>{checkpoint.name}</code> on {data_of(checkpoint, results)}, {split}, "
        f"all {results['rows']:,} faces: "
        "true class down, predicted class across; the colour is the share of the true class."
    )
    return (
        f'<p class="fz-caption">{caption}</p><div class="fz-scroll" tabindex="0" role="region" '
        f'aria-label="Confusion matrix of {checkpoint.name}"><table class="fz-confusion">'
        f"<thead><tr><td></td>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(true: str, line: list[int], names: tuple[str, ...]) -> str:
    total = sum(line)
    return "".join(
        f'<td style="--share: {count / total if total else 0:.3f}" '
        f'title="{count} of {total} {true}: {name}">{count}</td>'
        for count, name in zip(line, names, strict=True)
    )
