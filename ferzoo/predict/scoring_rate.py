"""Images a second end to end beside those of the bare network: ``python -m ferzoo.predict.scoring_rate SOURCE``."""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from typing import Any

from ..deploy.bench_summary import machine
from ..errors import FerzooError
from .scoring_job import Settings
from .scoring_parts import Item
from .scoring_pipeline import Pipeline
from .scoring_rows import RowFormat, rows_of
from .scoring_sources import open_source

__all__ = ["scoring_rate"]


def scoring_rate(source: str, settings: Settings, images: int = 1024, repeats: int = 5) -> dict[str, Any]:
    """Time the job and the bare network in turn, so that whatever else the machine does meets both alike.

    End to end is reading, decoding, preprocessing, the network, and rows of csv on the disk. The bare network gets the
    same faces as batches that are preprocessed and in memory, with the same threads. Loading the network is part of
    neither.

    Args:
        source: As `score` takes it; crops of faces, unless the settings say `detect`.
        settings: How.
        images: How many of the source; each timing takes all of them.
        repeats: Timings of each, after one to warm up.

    Raises:
        ImageError: If one cannot be read.

    Returns:
        The setting; `end_to_end` and `network`, images a second, the medians; `ratio`, the median of the first over
        the second, pair by pair.
    """
    pipeline, predictor = Pipeline(settings), settings.predictor()
    opened = open_source(source)
    shape = RowFormat(".csv", predictor.labels, ())
    crops: list[Any] = []
    count = 0
    for item in islice(opened.read(), images):
        pending = predictor.begin(item, Item.picture)
        if pending.error:
            raise pending.error
        crops += pending.crops
        count += 1
    starts = range(0, len(crops), settings.batch_size)
    batches = [predictor.network.batch(crops[i : i + settings.batch_size]) for i in starts]

    def end_to_end() -> None:
        with tempfile.TemporaryFile() as file:
            for group in pipeline(islice(opened.read(), images)):
                file.write(shape.encode([row for one in group for row in rows_of(one, shape)]))

    def network() -> None:
        with predictor.network.limited(settings.threads):
            for batch in batches:
                predictor.network.run(batch)

    times: dict[str, list[float]] = {"end_to_end": [], "network": []}
    for repeat in range(repeats + 1):
        for name, work in (("end_to_end", end_to_end), ("network", network)):
            start = time.perf_counter()
            work()
            if repeat:
                times[name].append(time.perf_counter() - start)
    ratios = [bare / whole for whole, bare in zip(times["end_to_end"], times["network"], strict=True)]
    return {
        "model": str(settings.model),
        "images": count,
        "faces": len(crops),
        "batch_size": settings.batch_size,
        "threads": settings.threads,
        "workers": pipeline.workers,
        "repeats": repeats,
        **{name: round(count / statistics.median(taken), 1) for name, taken in times.items()},
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
        "machine": machine(),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m ferzoo.predict.scoring_rate", description=main.__doc__)
    parser.add_argument("source", metavar="SOURCE", help="what ferzoo predict SOURCE -o FILE takes")
    parser.add_argument("--model", default="lfnsb", help="name, folder or .onnx (default: lfnsb)")
    parser.add_argument("--detect", action="store_true", help="find the faces: the images are photographs")
    parser.add_argument("--images", type=int, default=1024, help="images of a timing (default: 1024)")
    parser.add_argument("--repeats", type=int, default=5, help="timings of each (default: 5)")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--threads", type=int, help="CPU threads of the network (default: torch's)")
    parser.add_argument("--workers", type=int, help="image threads (default: one a processor)")
    args = parser.parse_args(argv)
    settings = Settings(args.model, args.detect, threads=args.threads, batch_size=args.batch_size, workers=args.workers)
    try:
        print(json.dumps(scoring_rate(args.source, settings, args.images, args.repeats), indent=2))
    except (FerzooError, ValueError) as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
