"""Tables of the networks: sizes beside the paper's, and the facts of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import ferzoo
from ferzoo.cli.info import describe, difference

from .common import million, own, rows
from .weights import checkpoints_of, splits


def _build(name: str, **kwargs: Any) -> Any:
    return ferzoo.create_model(name, device="meta", **kwargs)


@lru_cache(maxsize=32)
def _figures(name: str) -> tuple[int, int]:
    """Parameters and FLOPs in the paper's setting, as `ferzoo info` prints them."""
    measured = describe(name)["measured"]
    return measured["parameters"], measured["flops"]


def _count(value: float | None) -> str:
    return "not printed" if value is None else f"{value:,.0f}"


def _millions(value: float | None) -> str:
    return "not printed" if value is None else million(value)


def arxiv(cfg: Mapping[str, Any]) -> str:
    """The link to a cfg's paper on arXiv; empty where it names none."""
    ids = cfg.get("paper_ids") or ""
    return ids and f"[{ids.replace(':', ' ')}](https://arxiv.org/abs/{ids.partition(':')[2]})"


def readme_models() -> str:
    """Network, input, parameters, and the accuracy of its weights."""
    lines = []
    for name in own("model"):
        fresh = _build(name)
        results = [(f"`{c.name}`", c.cfg, splits(c).get("validation", {})) for c in checkpoints_of(name)]
        for weights, cfg, metrics in results or [("none yet", {}, {})]:
            size = cfg.get("input_size") or fresh.pretrained_cfg["input_size"]
            # A network of a fixed size has that of its weights.
            model = _build(name, img_size=tuple(size[1:])) if getattr(fresh, "img_size", None) else fresh
            parameters = f"{sum(p.numel() for p in model.parameters()):,}"
            unseen = metrics.get("unseen", {}).get("accuracy", "")
            shape = "x".join(map(str, size))
            lines.append((f"`{name}`", shape, parameters, weights, metrics.get("accuracy", ""), unseen))
    header = ("network", "input", "parameters", "weights", "accuracy, all rows, %", "unseen rows, %")
    return rows(header, lines, right=(2, 4, 5))


def models() -> str:
    """Every network's size, measured and printed, in the setting of its paper."""
    from ferzoo.models.papers import PAPERS

    lines = []
    for name in own("model"):
        paper = PAPERS.get(name)
        parameters, flops = _figures(name)
        classes = paper.num_classes if paper else _build(name).num_classes
        lines.append(
            (
                f"[`{name}`](models.md#{name})",
                "x".join(map(str, paper.input_size if paper else _build(name).pretrained_cfg["input_size"])),
                classes or "none",
                _count(parameters),
                _count(paper.parameters if paper else None),
                difference(parameters, paper.parameters if paper else None),
                _millions(flops),
                _millions(paper.flops if paper else None),
                difference(flops, paper.flops if paper else None),
            )
        )
    header = ("network", "input", "classes", "parameters", "paper", "", "FLOPs", "paper", "")
    return rows(header, lines, right=range(2, 9))


def model(name: str) -> str:
    """The facts of one network."""
    from ferzoo.models.papers import PAPERS

    network, paper = _build(name), PAPERS.get(name)
    cfg = network.pretrained_cfg
    lines = [("paper", cfg.get("paper_name") or "")]
    if link := arxiv(cfg):
        lines.append(("", link))
    if url := cfg.get("origin_url"):
        lines.append(("origin", f"<{url}>"))
    any_size = getattr(network, "img_size", None) is None
    fixed = "any from 32 px a side" if any_size else "fixed when built: `img_size=`"
    channels, height, width = cfg["input_size"]
    lines += [
        ("input by default", f"{channels}x{height}x{width}; other sizes: {fixed}"),
        ("mean and std", f"{', '.join(map(str, cfg['mean']))} and {', '.join(map(str, cfg['std']))}"),
        ("classes by default", f"{network.num_classes}"),
        ("parameters by default", f"{sum(p.numel() for p in network.parameters()):,}"),
        ("`num_features`, `head_hidden_size`", f"{network.num_features}, {network.head_hidden_size}"),
        ("maps", ", ".join(f"{f['num_chs']} at 1/{f['reduction']}" for f in network.feature_info)),
        ("weights", ", ".join(f"`{c.name}`" for c in checkpoints_of(name)) or "none yet"),
    ]
    if paper and paper.note:
        lines.append(("note", paper.note))
    return rows(("fact", ""), lines)


TABLES: dict[str, Callable[..., str]] = {"model": model, "models": models, "readme-models": readme_models}
