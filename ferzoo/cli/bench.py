"""`ferzoo bench`: latency, throughput, memory, cold start and file size of networks in several runtimes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .evaluate import drawing_path, texts
from .numbers import thread_count, whole_number
from .progress import ProgressLine, ended_cleanly, notes
from .table import print_json, print_table

if TYPE_CHECKING:
    from ..data.canvas import Canvas

__all__ = ["add_arguments", "bench_chart", "known_accuracy", "run"]

#: The split that accuracies are taken from.
SPLIT = "validation"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", nargs="+", help="names (ferzoo's or timm's), checkpoint folders, hf-hub:..., .onnx")
    parser.add_argument("--runtimes", metavar="A,B", help="eager, fused, compiled, onnx, onnx-spin, openvino, "
                        "openvino-bf16, cuda-bf16 (default: those that are installed)")  # fmt: skip
    parser.add_argument("--batch", type=whole_number, default=1, help="images a batch (default: 1)")
    parser.add_argument("--threads", type=thread_count, help="CPU threads (default: all cores)")
    parser.add_argument("--rounds", type=whole_number, default=60, help="rounds that all take part in (default: 60)")
    parser.add_argument("--runs", type=whole_number, default=3, help="timed runs of each in a round (default: 3)")
    parser.add_argument("--size", type=whole_number, help="input side in pixels (default: that of the weights); "
                        "networks of timm's keep their own")  # fmt: skip
    parser.add_argument("--relative-to", metavar="MODEL", help="put times in relation to this network's")
    parser.add_argument("--plot", metavar="FILE", help="draw accuracy against latency: FILE.svg or FILE.png")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print a row for each network in each runtime, and draw them."""
    from ..deploy.bench import bench
    from ..errors import DataError

    plot = drawing_path(args.plot)
    if plot and not any(map(known_accuracy, args.model)):
        raise DataError("There is nothing to draw: no accuracy is recorded for any of these networks.")
    progress = ProgressLine()
    with progress, notes("bench", progress), ended_cleanly():
        result = bench(
            args.model,
            texts(args.runtimes) if args.runtimes else None,
            batch=args.batch,
            threads=args.threads,
            rounds=args.rounds,
            runs=args.runs,
            size=args.size,
            relative_to=args.relative_to,
            progress=progress,
        ).to_dict()
    if args.json:
        print_json(result)
    else:
        _print(result)
    if plot:
        bench_chart(result).save(plot)
        print(f"Accuracy against latency is drawn in {plot}.", file=sys.stderr)
    return int(all(row["error"] for row in result["rows"]))


def known_accuracy(model: str) -> Mapping[str, Any] | None:
    """The result on the validation split, without test-time flip, that is recorded for weights of the zoo.

    Args:
        model: Name of a network; without tag, that of its default weights.

    Returns:
        `accuracy` in percent, `size` of the input in pixels, and `data`, what it was measured on; None where nothing
        is recorded.
    """
    from ..weights.configs import checkpoints
    from ..weights.resolve import default_tag

    checkpoint = checkpoints().get(model if "." in model else f"{model}.{default_tag(model)}")
    if checkpoint is None:
        return None
    found = checkpoint.metrics.get(SPLIT)
    if not found or found.get("flip"):
        return None
    return {**found, "data": f"{found.get('dataset', checkpoint.labels)} {SPLIT}"}


def bench_chart(result: Mapping[str, Any]) -> Canvas:
    """Draw accuracy against latency.

    Args:
        result: What `Bench.to_dict` gives. Shown are the rows in float32 whose weights have an accuracy on record that
            was measured at the same input size: bfloat16 has none on record. Where accuracies are of several data
            sets, that of most rows is drawn, and the line below the title names what is not.

    Raises:
        DataError: If there is no such row.
    """
    from ..train.chart import Mark, accuracy_latency_chart

    marks: dict[str, list[Mark]] = {}
    for row in _measured(result["rows"]):
        known = known_accuracy(row["model"])
        if known and row["trained"] and known.get("size") == row["input"][-1] and not row["runtime"].endswith("bf16"):
            name = f"{row['model']} {row['runtime']}"
            mark = Mark(name, row["p50_ms"] / result["batch"], known["accuracy"])
            marks.setdefault(known["data"], []).append(mark)
    data = max(marks, key=lambda each: len(marks[each]), default="")
    others = [mark.name for each, found in marks.items() if each != data for mark in found]
    subtitle = f"accuracy on {data}" + (f"; on other data, not drawn: {', '.join(others)}" if others else "")
    setting = f"batch of {result['batch']}, {_threads(result)}"
    return accuracy_latency_chart(marks.get(data, []), subtitle=subtitle, setting=setting)


def _measured(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return [row for row in rows if not row["error"]]


def _threads(result: Mapping[str, Any]) -> str:
    return f"{result['threads']} CPU thread{'s' if result['threads'] > 1 else ''}"


def _print(result: Mapping[str, Any]) -> None:
    from ..deploy.bench_summary import remarks

    rows = _measured(result["rows"])
    reference, with_gpu = result["relative_to"], any(row["roofline_fraction"] for row in rows)
    table = []
    for row in rows:
        line = {
            "model": row["model"],
            "runtime": row["runtime"],
            "input": "x".join(map(str, row["input"])),
            "p50 ms": row["p50_ms"],
            "p95 ms": row["p95_ms"],
            "min ms": row["min_ms"],
            "images/s": row["images_per_s"],
            "memory MiB": row["memory_mib"],
            "cold start s": row["cold_start_s"],
            "file MB": round(row["size_bytes"] / 1e6, 2),
        }
        if reference:
            line[f"x {Path(reference).name}"] = "" if row["ratio"] is None else f"{row['ratio']:.3f}"
        if with_gpu:
            on_gpu = row["roofline_fraction"] is not None
            line["roofline images/s"] = row["roofline_images_per_s"] if on_gpu else ""
            line["of roofline"] = f"{100 * row['roofline_fraction']:.1f} %" if on_gpu else ""
        table.append(line)
    print_table(table)
    facts = result["machine"]
    print(f"\nbatch of {result['batch']}, {_threads(result)}, {result['rounds']} rounds of {result['runs']} runs each")
    print(
        f"{facts['processor']}, {facts['cores']} cores; {', '.join(f'{k} {v}' for k, v in facts['versions'].items())}"
    )
    if "bf16_flops_per_s" in facts:
        print(f"{facts['gpu']}: {facts['bf16_flops_per_s'] / 1e12:.1f} TFLOP/s in a large bfloat16 matrix product")
    for model, runtimes, text in remarks(result["rows"]):
        print(f"{model} ({', '.join(runtimes)}): {text}")
