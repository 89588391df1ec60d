"""Tables of the documentation, made from the code, so that no figure is typed by hand.

When the site is built, a line ``<!-- table: NAME -->`` becomes the table NAME. README.md passes through no build:
``python docs/hooks.py README.md`` rewrites what stands there between that line and ``<!-- end of table -->``.
"""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import ferzoo
from ferzoo.cli.info import describe, difference
from ferzoo.registry import entry_points
from ferzoo.weights.configs import Checkpoint, checkpoints

ROOT = Path(__file__).resolve().parents[1]
MARKER = re.compile(r"^<!-- table: (?P<name>[^>]+?) -->$", re.M)
FILLED = re.compile(r"^(?P<marker><!-- table: (?P<name>[^>]+?) -->)\n.*?^<!-- end of table -->$", re.M | re.S)
NO_WEIGHTS = "This version ships no trained weights."


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Fill in a page's tables; mkdocs calls it."""
    return MARKER.sub(lambda match: table(match["name"]), markdown)


def fill(text: str) -> str:
    """Rewrite the tables of a file between their markers."""
    return FILLED.sub(lambda m: f"{m['marker']}\n{table(m['name'])}\n<!-- end of table -->", text)


def table(name: str) -> str:
    """The table of a marker.

    Args:
        name: A key of `TABLES`, and after it the argument where it takes one.

    Raises:
        KeyError: If there is no such table.
    """
    key, _, argument = name.partition(" ")
    make = TABLES[key]
    return make(argument) if argument else make()


def _rows(header: Sequence[str], rows: Iterable[Sequence[Any]], right: Sequence[int] = ()) -> str:
    line = [f"| {' | '.join(header)} |", f"|{'|'.join('--:' if i in right else '---' for i in range(len(header)))}|"]
    line += [f"| {' | '.join(str(cell).replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(line)


def own(kind: str) -> list[str]:
    """Names of a kind that ferzoo itself registers, whatever else is installed."""
    claims = entry_points.entries(kind).items()
    return [name for name, entries in claims if any(e.distribution == "ferzoo" for e in entries)]


def _build(name: str, **kwargs: Any) -> Any:
    return ferzoo.create_model(name, device="meta", **kwargs)


@lru_cache(maxsize=32)
def _figures(name: str) -> tuple[int, int]:
    """Parameters and FLOPs in the paper's setting, as `ferzoo info` prints them."""
    measured = describe(name)["measured"]
    return measured["parameters"], measured["flops"]


def _count(value: float | None) -> str:
    return "not printed" if value is None else f"{value:,.0f}"


def _million(value: float | None) -> str:
    return "not printed" if value is None else f"{value / 1e6:.2f} M"


def _of(name: str) -> list[Checkpoint]:
    return [c for c in checkpoints().values() if c.architecture == name]


def _splits(checkpoint: Checkpoint) -> dict[str, dict[str, Any]]:
    return {k: v for k, v in checkpoint.metrics.items() if isinstance(v, Mapping) and "accuracy" in v}


def _command(checkpoint: Checkpoint, split: str) -> str:
    measured = checkpoint.metrics[split]
    command = measured.get("command") or checkpoint.metrics.get("command")
    flip = " --flip" if measured.get("flip") else ""
    return command or f"ferzoo eval {checkpoint.name} --data FOLDER --split {split}{flip}"


def readme_models() -> str:
    """Network, input, parameters, and the accuracy of its weights."""
    rows = []
    for name in own("model"):
        model = _build(name)
        size = "x".join(map(str, model.pretrained_cfg["input_size"]))
        parameters = f"{sum(p.numel() for p in model.parameters()):,}"
        results = [(f"`{c.name}`", m) for c in _of(name) for m in [_splits(c).get("validation", {})]]
        for weights, metrics in results or [("none yet", {})]:
            unseen = metrics.get("unseen", {}).get("accuracy", "")
            rows.append((f"`{name}`", size, parameters, weights, metrics.get("accuracy", ""), unseen))
    header = ("network", "input", "parameters", "weights", "accuracy, all rows, %", "unseen rows, %")
    return _rows(header, rows, right=(2, 4, 5))


def models() -> str:
    """Every network's size, measured and printed, in the setting of its paper."""
    from ferzoo.models.papers import PAPERS

    rows = []
    for name in own("model"):
        paper = PAPERS.get(name)
        parameters, flops = _figures(name)
        classes = paper.num_classes if paper else _build(name).num_classes
        rows.append(
            (
                f"[`{name}`](models.md#{name})",
                "x".join(map(str, paper.input_size if paper else _build(name).pretrained_cfg["input_size"])),
                classes or "none",
                _count(parameters),
                _count(paper.parameters if paper else None),
                difference(parameters, paper.parameters if paper else None),
                _million(flops),
                _million(paper.flops if paper else None),
                difference(flops, paper.flops if paper else None),
            )
        )
    header = ("network", "input", "classes", "parameters", "paper", "", "FLOPs", "paper", "")
    return _rows(header, rows, right=range(2, 9))


def model(name: str) -> str:
    """The facts of one network."""
    from ferzoo.models.papers import PAPERS

    network, paper = _build(name), PAPERS.get(name)
    cfg = network.pretrained_cfg
    rows = [("paper", cfg.get("paper_name") or "")]
    if ids := cfg.get("paper_ids"):
        number = ids.partition(":")[2]
        rows.append(("", f"[{ids.replace(':', ' ')}](https://arxiv.org/abs/{number})"))
    if url := cfg.get("origin_url"):
        rows.append(("origin", f"<{url}>"))
    any_size = getattr(network, "img_size", None) is None
    fixed = "any from 32 px a side" if any_size else "fixed when built: `img_size=`"
    channels, height, width = cfg["input_size"]
    rows += [
        ("input by default", f"{channels}x{height}x{width}; other sizes: {fixed}"),
        ("mean and std", f"{', '.join(map(str, cfg['mean']))} and {', '.join(map(str, cfg['std']))}"),
        ("classes by default", f"{network.num_classes}"),
        ("parameters by default", f"{sum(p.numel() for p in network.parameters()):,}"),
        ("`num_features`, `head_hidden_size`", f"{network.num_features}, {network.head_hidden_size}"),
        ("maps", ", ".join(f"{f['num_chs']} at 1/{f['reduction']}" for f in network.feature_info)),
        ("weights", ", ".join(f"`{c.name}`" for c in _of(name)) or "none yet"),
    ]
    if paper and paper.note:
        rows.append(("note", paper.note))
    return _rows(("fact", ""), rows)


def results() -> str:
    """Accuracy of every checkpoint, with the command that prints it."""
    rows = []
    for c in checkpoints().values():
        for split, m in _splits(c).items():
            for what, part in (("all", m), ("unseen", m.get("unseen"))):
                if part:
                    figures = [part.get(k, "") for k in ("rows", "accuracy", "balanced_accuracy", "macro_f1")]
                    rows.append((f"`{c.name}`", m.get("title", split), what, *figures, f"`{_command(c, split)}`"))
    if not rows:
        return NO_WEIGHTS
    header = ("weights", "split", "rows", "count", "accuracy %", "balanced %", "macro F1 %", "command")
    return _rows(header, rows, right=range(3, 7))


def confusion() -> str:
    """Confusion matrix of every checkpoint: true class down, predicted across."""
    from ferzoo.labels import label_names

    parts = []
    for c in checkpoints().values():
        names = label_names(c.labels)
        for split, m in _splits(c).items():
            if "confusion" not in m:
                continue
            rows = [
                (f"**{name}**", *line, f"{100 * line[i] / sum(line):.1f}" if sum(line) else "")
                for i, (name, line) in enumerate(zip(names, m["confusion"], strict=True))
            ]
            body = _rows(("", *names, "recall %"), rows, right=range(1, len(names) + 2))
            parts.append(f"`{c.name}`, {split}, all rows: true class down, predicted across.\n\n{body}")
    return "\n\n".join(parts) or NO_WEIGHTS


def files() -> str:
    """Facts of every checkpoint: description, licence, labels, sha256, source, preprocessing, training."""
    from ferzoo.weights.configs import wheel_folder

    parts = []
    for c in checkpoints().values():
        shipped = (wheel_folder() / c.file).is_file()
        where = f"the Hub, {c.repo}" if c.repo else "a folder in `FERZOO_WEIGHTS`"
        facts: dict[str, Any] = {"licence": c.license, "classes": f"`{c.labels}`", "sha256": f"`{c.sha256}`"}
        facts["from"] = "this package" if shipped else where
        for title, values in (("cfg", c.cfg), ("ferzoo", c.ferzoo), ("training", c.training)):
            facts |= {f"{title}: {k}": v if isinstance(v, str) else f"`{json.dumps(v)}`" for k, v in values.items()}
        parts.append(f"### {c.name}\n\n{c.description}\n\n{_rows(('fact', ''), list(facts.items()))}")
    return "\n\n".join(parts) or NO_WEIGHTS


def _arguments(make: Callable[..., Any]) -> str:
    if inspect.isclass(make) and "__init__" not in vars(make):
        return "none"  # the signature would be nn.Module's
    arguments = ", ".join(
        ("**" if p.kind is p.VAR_KEYWORD else "") + p.name + ("" if p.default is p.empty else f"={p.default!r}")
        for p in inspect.signature(make).parameters.values()
        if p.name not in ("device", "dtype")
    )
    return f"`{arguments}`"


def _first_line(target: Any) -> str:
    return (inspect.getdoc(target) or "").partition("\n")[0]


def blocks() -> str:
    """Every block with its arguments and what it is."""
    from ferzoo.registry.factory import find_registered

    rows = []
    for name in own("block"):
        make = find_registered("block", name).make
        rows.append((f"[`{name}`](#{name})", _arguments(make), _first_line(make)))
    return _rows(("name", "arguments", "what it is"), rows)


def recipe() -> str:
    """Every field of a recipe with its default, from the class's docstring."""
    from ferzoo.train.recipe import Recipe

    text = (inspect.getdoc(Recipe) or "").partition("Attributes:")[2]
    meaning = dict(re.findall(r"^ {4}(\w+): (.+)$", text, re.M))
    defaults = Recipe().to_dict()
    rows = [
        (f"`{f.name}`", f"`{json.dumps(defaults[f.name])}`", meaning.get(f.name, ""))
        for f in dataclasses.fields(Recipe)
    ]
    return _rows(("field", "default", "meaning"), rows)


def labels() -> str:
    """Every label set with its classes in order."""
    from ferzoo.labels import LABELS

    return _rows(("label set", "classes in order"), [(f"`{k}`", ", ".join(v)) for k, v in LABELS.items()])


def commands() -> str:
    """Every command with its line of help."""
    from ferzoo.cli.main import COMMANDS

    return _rows(("command", "what it does"), [(f"`ferzoo {k}`", text) for k, (_, text) in COMMANDS.items()])


def model_checks() -> str:
    """The checks of `check_model`."""
    from ferzoo.testing.models import MODEL_CHECKS

    return _rows(("check", "what it wants"), [(f"`{c.name}`", c.wants) for c in MODEL_CHECKS])


def block_checks() -> str:
    """The checks of `check_block`."""
    from ferzoo.testing.blocks import BLOCK_CHECKS

    return _rows(("check", "what it wants"), [(f"`{c.name}`", c.wants) for c in BLOCK_CHECKS])


def file(path: str) -> str:
    """The text of a file of this repository, as a code block."""
    language = {".py": "python", ".yaml": "yaml", ".toml": "toml"}[Path(path).suffix]
    return f"```{language}\n{(ROOT / path).read_text(encoding='utf-8')}```"


TABLES: dict[str, Callable[..., str]] = {
    "block-checks": block_checks,
    "blocks": blocks,
    "commands": commands,
    "confusion": confusion,
    "file": file,
    "files": files,
    "labels": labels,
    "model": model,
    "model-checks": model_checks,
    "models": models,
    "readme-models": readme_models,
    "recipe": recipe,
    "results": results,
}


if __name__ == "__main__":
    for argument in sys.argv[1:]:
        path = Path(argument)
        path.write_text(fill(path.read_text(encoding="utf-8")), encoding="utf-8")
