"""The model gallery: a plot of all checkpoints, a table that can be sorted, and a card for each network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from html import escape
from typing import Any
from urllib.parse import urlsplit

import ferzoo
from ferzoo.weights.configs import Checkpoint

from .common import million, own, rows
from .gallery_confusion import confusion
from .gallery_facts import Facts, across, code_licence, data_of, default_checkpoint, facts, facts_of, headline
from .gallery_latency import Latency, in_setting, latencies, of, shared_setting
from .gallery_plot import Point, plot
from .gallery_stages import stages
from .models import arxiv
from .weights import NO_WEIGHTS, checkpoints_of, source, splits

NOT_MEASURED = "not measured"
COLUMNS = ("network", "weights", "input", "parameters", "FLOPs", "latency, ms", "accuracy, %", "unseen, %", "data")
#: Columns that are sorted as numbers.
NUMBERS = range(2, 8)


def _networks() -> Iterator[tuple[Facts, Checkpoint | None]]:
    """Every registered network with each of its checkpoints; None where it has none."""
    for name in ferzoo.list_models():
        yield from [(facts_of(c), c) for c in checkpoints_of(name)] or [(facts(name), None)]


def gallery_plot() -> str:
    """Accuracy against latency; against multiply-adds as long as no latency is on record."""
    found = latencies()
    measured = [(f, c, h) for f, c in _networks() if c and (h := headline(c))]
    if not measured:
        return NO_WEIGHTS
    setting = shared_setting([f for f, _, _ in measured], found)
    points = []
    for network, checkpoint, (split, results) in measured:
        time = in_setting(network, found, setting)
        if setting and time is None:
            continue
        data = f"{data_of(checkpoint, results)}, {split}"
        said = (
            f"{results['accuracy']:.2f} % on {data}",
            f"latency: {NOT_MEASURED if time is None else f'{time:.2f} ms'}",
            f"{network.parameters:,} parameters",
            f"{million(network.flops, 1)} FLOPs at {across(network.input_size)}",
        )
        cost = network.flops / 1e6 if time is None else time
        points.append(Point(checkpoint.name, data, cost, results["accuracy"], said))
    if setting:
        note = f"Latency is the median of one image: {setting}."
    else:
        note = "No run of `ferzoo bench` is on record yet, so multiply-adds stand in for latency."
    unit = "latency of one image, ms" if setting else "FLOPs of one image, millions"
    return f"{plot(points, unit)}\n\n{note} Accuracies on different data sets cannot be compared."


def gallery_table() -> str:
    """A row for each checkpoint, and for each network without any; a script sorts it by the column that is chosen."""
    found, networks = latencies(), list(_networks())
    setting = shared_setting([network for network, _ in networks], found)
    head = "".join(
        f'<th scope="col" data-type="{"number" if i in NUMBERS else "text"}"{_right(i)}>{text}</th>'
        for i, text in enumerate(COLUMNS)
    )
    body = "".join(_row(network, checkpoint, in_setting(network, found, setting)) for network, checkpoint in networks)
    latency = f"Latency: {setting}." if setting else "No latency is on record yet."
    return (
        f'<div class="fz-wide"><table data-sortable=""><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n\n"
        f"{latency} FLOPs are multiply-adds at the input size of the row. Unseen: without the images that also occur "
        "in the training split."
    )


def _row(network: Facts, checkpoint: Checkpoint | None, time: float | None) -> str:
    best = headline(checkpoint) if checkpoint else None
    results = best[1] if best else {}
    name = network.name.partition(".")[0]
    tag = checkpoint.tag if checkpoint else ""
    data = data_of(checkpoint, results) if checkpoint and results else ""
    # The value that is sorted by, and the text.
    cells = [
        (name, f'<a href="#{name}"><code>{name}</code></a>'),
        (tag, f"<code>{tag}</code>" if tag else "none yet"),
        (network.input_size[-1], "×".join(map(str, network.input_size))),
        (network.parameters, f"{network.parameters:,}"),
        (network.flops, million(network.flops, 1)),
        _figure(time),
        _figure(results.get("accuracy")),
        _figure(results.get("unseen", {}).get("accuracy")),
        (data, data),
    ]
    tds = (f'<td data-value="{escape(str(v))}"{_right(i)}>{text}</td>' for i, (v, text) in enumerate(cells))
    return f"<tr>{''.join(tds)}</tr>"


def _right(column: int) -> str:
    return ' class="fz-number"' if column in NUMBERS else ""


def _figure(value: float | None) -> tuple[Any, str]:
    return ("", "–") if value is None else (value, f"{value:.2f}")


def gallery_cards() -> str:
    """A card for every registered network."""
    found = latencies()
    return "\n\n".join(_card(name, found) for name in ferzoo.list_models())


def _card(name: str, found: list[Latency]) -> str:
    network, checkpoint = facts(name), default_checkpoint(name)
    best = headline(checkpoint) if checkpoint else None
    parts = [
        '<article class="fz-card" markdown="1">',
        f"### {name} {{ #{name} }}",
        " ".join(filter(None, (network.summary, _paper(network), _more(name)))),
        stages(network.stages, name),
        _figures(network, checkpoint, of(network, found)),
        "```python\nimport ferzoo\n\n" + "\n".join(_loads(name)) + "\n```",
        _accuracies(name),
    ]
    if checkpoint and best and "confusion" in best[1]:
        parts.append(confusion(checkpoint, *best))
    return "\n\n".join([*filter(None, parts), "</article>"])


def _more(name: str) -> str:
    return f"[More on it](models.md#{name})." if name in own("model") else ""


def _paper(network: Facts) -> str:
    title, url = network.cfg.get("paper_name"), network.cfg.get("origin_url")
    links = filter(None, (arxiv(network.cfg), f"[{urlsplit(url).hostname}]({url})" if url else ""))
    return f"Paper: *{title}*, {', '.join(links)}." if title else "No paper describes it."


def _loads(name: str) -> list[str]:
    """The lines that build a network, with the weights of each checkpoint."""
    lines = [
        f'ferzoo.create_model("{c.name}", pretrained=True)  # from {source(c).replace("`", "")}'
        for c in checkpoints_of(name)
    ]
    return lines or [f'ferzoo.create_model("{name}")  # there are no trained weights yet']


def _figures(network: Facts, checkpoint: Checkpoint | None, measured: list[Latency]) -> str:
    pairs = [
        ("Parameters", f"{network.parameters:,} <small>with {network.classes} classes</small>"),
        ("FLOPs", f"{million(network.flops, 1)} <small>multiply-adds</small>"),
        ("Input", across(network.input_size)),
        ("Latency", _times(measured) or NOT_MEASURED),
        ("Licence of the code", escape(code_licence(network.name))),
        ("Licence of the weights", escape(checkpoint.license) if checkpoint else "no weights yet"),
    ]
    return f'<dl class="fz-facts">{"".join(f"<div><dt>{dt}</dt><dd>{dd}</dd></div>" for dt, dd in pairs)}</dl>'


def _times(measured: list[Latency]) -> str:
    """Milliseconds in every runtime, and once what they share."""
    lines: dict[str, list[str]] = {}
    for one in measured:
        untrained = "" if one.trained else ", untrained"
        time = f"{one.milliseconds:.2f} ms <small>{one.setting.runtime}{untrained}</small>"
        lines.setdefault(f"<small>{escape(one.setting.conditions)}</small>", []).append(time)
    return "<br/>".join("<br/>".join([*times, conditions]) for conditions, times in lines.items())


def _accuracies(name: str) -> str:
    """Accuracy of every checkpoint of a network on every split, on all rows and on those never trained on."""
    lines = []
    for c in checkpoints_of(name):
        for split, m in splits(c).items():
            unseen = m.get("unseen", {}).get("accuracy")
            cells = (f"{m['accuracy']:.2f}", "" if unseen is None else f"{unseen:.2f}")
            lines.append((f"`{c.tag}`", f"{data_of(c, m)}, {m.get('title', split)}", *cells))
    header = ("weights", "accuracy on", "all, %", "unseen, %")
    return rows(header, lines, right=(2, 3)) if lines else ""


TABLES: dict[str, Callable[..., str]] = {
    "gallery-cards": gallery_cards,
    "gallery-plot": gallery_plot,
    "gallery-table": gallery_table,
}
