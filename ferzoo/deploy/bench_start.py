"""How long ferzoo takes to start, each time in a fresh process: `python -m ferzoo.deploy.bench_start > start.json`.

A process that was started before has brought the files into the system's cache; the first run of each is not counted.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import FerzooError
from .bench import turns
from .bench_summary import machine
from .export import FACE, export

__all__ = ["Start", "measure_starts", "starts"]


class Start(NamedTuple):
    """Something that is started.

    Attributes:
        title: What it is.
        arguments: Those of the interpreter.
        goal_s: Seconds that it may take; None where there is no goal.
        inside: It prints its seconds itself, without those of the interpreter; else the whole process counts.
    """

    title: str
    arguments: Sequence[str]
    goal_s: float | None = None
    inside: bool = False


def starts(onnx: Path) -> list[Start]:
    """What is measured.

    Args:
        onnx: An exported network, for the first prediction.
    """
    timed = "import time; start = time.perf_counter(); import ferzoo; print(time.perf_counter() - start)"
    predict = f"import ferzoo; ferzoo.Predictor({str(onnx)!r}, detect=False)({str(FACE)!r})"
    return [
        Start("`python -c pass`, the interpreter alone", ["-c", "pass"]),
        Start("`import ferzoo`, without the interpreter", ["-c", timed], 0.06, inside=True),
        Start("`ferzoo list`", ["-m", "ferzoo.cli.main", "list"], 0.5),
        Start("the first prediction of an ONNX file by `Predictor`", ["-c", predict], 1.0),
    ]


def measure_starts(chosen: Sequence[Start], runs: int = 20, say: Callable[[str], object] = print) -> dict[str, Any]:
    """Start everything in turn, in an order that changes.

    Args:
        chosen: What to start.
        runs: Counted starts of each, after one that is not.
        say: Told what is being done.

    Returns:
        `rows`, each with `what`, `p50_s`, `min_s` and `goal_s`; `runs`; and the facts of the `machine`.

    Raises:
        FerzooError: If one of them fails, or runs is less than 1.
    """
    if runs < 1:
        raise FerzooError("runs is a whole number from 1 up.")
    times: list[list[float]] = [[] for _ in chosen]
    for done, index in enumerate(turns(len(chosen), runs + 1)):
        say(f"{done} of {len(chosen) * (runs + 1)}")
        times[index].append(_seconds(chosen[index]))
    rows = [
        {
            "what": start.title,
            "p50_s": round(statistics.median(taken[1:]), 4),
            "min_s": round(min(taken[1:]), 4),
            "goal_s": start.goal_s,
        }
        for start, taken in zip(chosen, times, strict=True)
    ]
    return {"rows": rows, "runs": runs, "machine": machine()}


def _seconds(start: Start) -> float:
    began = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *start.arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
    )
    taken = time.perf_counter() - began
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise FerzooError(f"{start.title} ended with code {done.returncode}{': ' + said[-1] if said else ''}")
    return float(done.stdout) if start.inside else taken


def main() -> None:
    """Parse the arguments, measure, and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m ferzoo.deploy.bench_start", description=__doc__)
    parser.add_argument("model", nargs="?", default="lfnsb", help="network of the ONNX file (default: lfnsb)")
    parser.add_argument("--runs", type=int, default=20, help="counted starts of each (default: 20)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ferzoo-start-") as folder:
        path = Path(folder) / f"{args.model}.onnx"
        export(args.model, path)
        found = measure_starts(starts(path), args.runs, lambda what: print(what, file=sys.stderr))
    print(json.dumps({**found, "model": args.model}, indent=2))


if __name__ == "__main__":
    main()
