"""`ferzoo info`: parameters and FLOPs beside the paper's."""

from __future__ import annotations

import argparse
from typing import Any

from .table import print_json, print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", nargs="+", help="names of models, checkpoint folders, hf-hub:org/repo, or `all`")
    parser.add_argument("--latency", action="store_true", help="also time one image in eager mode")
    parser.add_argument("--json", action="store_true", help="print JSON")


def difference(measured: float, printed: float | None) -> str:
    """Measured less printed, in percent of the printed; empty where nothing is printed."""
    return "" if printed is None else f"{100 * (measured - printed) / printed:+.2f} %"


def describe(name: str, latency: bool = False) -> dict[str, Any]:
    """The figures of a model beside its paper's, in the paper's setting.

    Args:
        name: Name of a model, checkpoint folder, or hf-hub:org/repo.
        latency: Also time one image.
    """
    from ..deploy.printed import measured_as_printed, printed
    from ..deploy.profile import profile
    from ..registry.factory import create_model, list_models
    from ..registry.load import is_folder, load_model

    elsewhere = ":" in name or is_folder(name)
    default: Any = load_model(name) if elsewhere else create_model(name)
    paper = None if elsewhere else printed(default)
    figures = measured_as_printed(default, paper, latency) if paper else profile(default, latency=latency)
    of_paper: dict[str, Any] = {}
    if paper:
        of_paper = {"source": paper.source, "parameters": paper.parameters, "flops": paper.flops, "note": paper.note}
    return {
        "name": name,
        "default_parameters": sum(p.numel() for p in default.parameters()),
        "default_classes": default.num_classes,
        "weights": [name] if elsewhere else list_models(f"{name.partition('.')[0]}.*", pretrained=True),
        "num_classes": paper.num_classes if paper else default.num_classes,
        "measured": figures.to_dict(),
        "paper": of_paper,
    }


def run(args: argparse.Namespace) -> int:
    """Print the figures of each model."""
    from ..registry.factory import list_models

    names = list_models() if args.model == ["all"] else args.model
    results = [describe(name, args.latency) for name in names]
    if args.json:
        print_json(results if len(results) > 1 else results[0])
        return 0
    for i, result in enumerate(results):
        _print(result, first=i == 0)
    return 0


def _print(result: dict[str, Any], first: bool) -> None:
    measured, paper = result["measured"], result["paper"]
    channels, height, width = measured["input_size"]
    if not first:
        print()
    classes = f"{result['num_classes']} classes" if result["num_classes"] else "without classifier"
    source = f", beside {paper['source']}" if paper else ""
    print(f"{result['name']}: {channels}x{height}x{width}, {classes}{source}")
    rows = []
    for label, key in (("parameters", "parameters"), ("FLOPs (fvcore)", "flops")):
        printed = paper.get(key)
        rows.append(
            {
                "figure": label,
                "measured": f"{measured[key]:,}",
                "paper": f"{printed:,.0f}" if printed else "not printed",
                "difference": difference(measured[key], printed),
            }
        )
    print_table(rows)
    operators = ", ".join(f"{name} {count / 1e6:.2f}M" for name, count in measured["flops_by_operator"].items())
    print(f"by operator: {operators}")
    print(f"with {result['default_classes']} classes (the default): {result['default_parameters']:,} parameters")
    if measured["latency_ms"] is not None:
        print(f"latency: {measured['latency_ms']} ms an image, eager, {measured['threads']} CPU threads")
    print(f"weights: {', '.join(result['weights']) or 'none'}")
    if paper.get("note"):
        print(f"note: {paper['note']}")
