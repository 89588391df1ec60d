"""The figures that `bench` gives: a row for each network in each runtime, and the machine that they hold for."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from typing import Any

import numpy as np

from ..data.processors import processor

__all__ = ["Bench", "BenchRow", "machine", "percentiles", "relate", "remarks"]

#: Distributions whose versions a result names.
_VERSIONS = ("ferzoo", "torch", "timm", "onnxruntime", "openvino")


@dataclass(frozen=True)
class BenchRow:
    """A network in a runtime.

    Attributes:
        model: The network, as it was asked for.
        runtime: A key of `ferzoo.deploy.bench_runtimes.RUNTIMES`.
        input: Shape of an image: channels, height and width; height, width and channels of a file that takes pictures.
        trained: Whether the weights are trained; None where an exported file does not say.
        flops: Multiply-adds of one image, as fvcore counts them; None of an exported file.
        size_bytes: The file that the runtime opens: safetensors, ONNX, or OpenVINO's two.
        p50_ms: Median milliseconds of a batch; this and what follows is None where `error` says why.
        p95_ms: 95th percentile of the same.
        min_ms: The fastest.
        images_per_s: Images a second, at the median.
        memory_mib: Largest resident memory of the process, in MiB; None where the system does not tell.
        cold_start_s: Seconds from the start of a process to its first prediction.
        ratio: `p50_ms` over that of the reference in the same runtime; None without a reference.
        roofline_images_per_s: Images a second if the GPU computed the network as fast as a large matrix product.
        roofline_fraction: `images_per_s` over it.
        note: What one has to know to read the row.
        error: Why there are no figures.
    """

    model: str
    runtime: str
    input: tuple[int, ...]
    trained: bool | None
    flops: int | None = None
    size_bytes: int | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    min_ms: float | None = None
    images_per_s: float | None = None
    memory_mib: float | None = None
    cold_start_s: float | None = None
    ratio: float | None = None
    roofline_images_per_s: float | None = None
    roofline_fraction: float | None = None
    note: str = ""
    error: str = ""


@dataclass(frozen=True)
class Bench:
    """What `bench` measured.

    Attributes:
        rows: A row for each network in each runtime.
        batch: Images a batch.
        threads: CPU threads.
        rounds: Rounds that all took part in.
        runs: Timed runs in a round.
        size: Height and width that were asked for in pixels; None for those of the weights.
        relative_to: The reference of the ratios; None for none.
        machine: Processor, cores, system, versions, and the GPU where one was measured.
    """

    rows: tuple[BenchRow, ...]
    batch: int
    threads: int
    rounds: int
    runs: int
    size: int | None
    relative_to: str | None
    machine: dict[str, Any]

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def percentiles(times: Sequence[float], batch: int) -> dict[str, float]:
    """The figures of a row that are about time.

    Args:
        times: Milliseconds of each run.
        batch: Images of each run.
    """
    p50, p95 = (float(np.percentile(times, q)) for q in (50, 95))
    return {
        "p50_ms": round(p50, 4),
        "p95_ms": round(p95, 4),
        "min_ms": round(min(times), 4),
        "images_per_s": round(1000 * batch / p50, 2),
    }


def relate(rows: Sequence[BenchRow], reference: str | None) -> tuple[BenchRow, ...]:
    """The rows with their ratios to the reference in the same runtime."""
    of = {row.runtime: row.p50_ms for row in rows if row.model == reference and row.p50_ms}
    return tuple(
        replace(row, ratio=round(row.p50_ms / of[row.runtime], 4)) if row.p50_ms and row.runtime in of else row
        for row in rows
    )


def remarks(rows: Iterable[Mapping[str, Any]]) -> list[tuple[str, list[str], str]]:
    """What one has to know to read the rows, and why some are missing.

    Args:
        rows: Those of `Bench.to_dict`.

    Returns:
        A network, the runtimes that it holds for, and the text, each once.
    """
    said: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        for text in filter(None, (row["note"], row["error"])):
            said.setdefault((row["model"], text), []).append(row["runtime"])
    return [(model, runtimes, text) for (model, text), runtimes in said.items()]


def machine() -> dict[str, Any]:
    """Processor, cores, system and versions."""
    versions = {}
    for name in _VERSIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": versions,
    }
