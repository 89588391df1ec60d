"""The process that `bench` measures one network in: `python -m ferzoo.deploy.bench_worker`.

It reads a job as a line of JSON, opens the network, answers when the first prediction is there, and then runs it as
often as each further line says. It ends with its input, so that it never outlives the process that started it.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from ..errors import first_line
from .bench_runtimes import RUNTIMES, Job

__all__ = ["ROOFLINE", "main", "peak_memory"]

#: The line that asks for the rate of a matrix product on the GPU.
ROOFLINE = "roofline"


def main() -> None:
    """Serve one job."""
    answers = _answers()
    try:
        job = Job(**json.loads(sys.stdin.readline()))
        run, note = RUNTIMES[job.runtime].open(job, np.load(job.batch))
        run()
        _answer(answers, {"note": note})
        gc.collect()
        gc.disable()
        for line in sys.stdin:
            _answer(answers, _rate() if line.strip() == ROOFLINE else _times(run, int(line)))
    except Exception as error:  # a runtime has errors of its own; whatever it is, the row says it
        _answer(answers, {"error": f"{type(error).__name__}: {first_line(error)}"})


def _answers() -> TextIO:
    """Where answers go; what libraries print goes to standard error instead."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return answers


def _answer(answers: TextIO, content: dict[str, Any]) -> None:
    print(json.dumps(content), file=answers, flush=True)


def _times(run: Callable[[], object], count: int) -> dict[str, Any]:
    """Milliseconds of `count` runs, after one that is not timed: others had the caches in between."""
    run()
    times = []
    for _ in range(count):
        start = time.perf_counter()
        run()
        times.append(1000 * (time.perf_counter() - start))
    return {"times": times, "memory_mib": peak_memory()}


def _rate() -> dict[str, Any]:
    import torch

    from .bench_gpu import matmul_rate

    return {"gpu": torch.cuda.get_device_name(), "bf16_flops_per_s": matmul_rate()}


def peak_memory() -> float | None:
    """Largest resident memory of this process so far in MiB; None where the system does not tell."""
    try:
        # What `getrusage` tells on Linux begins with the memory of the process that started this one.
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024
    except (OSError, IndexError, ValueError):
        pass
    try:
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 1024)


if __name__ == "__main__":
    main()
