"""`bench`: latency, throughput, memory, cold start and file size of networks in several runtimes, side by side."""

from __future__ import annotations

import os
import random
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..data.processors import MOST_THREADS, usable_cores
from ..errors import FerzooError
from .bench_files import Subject, prepare
from .bench_gpu import roofline
from .bench_process import Worker
from .bench_runtimes import RUNTIMES, Job, choose
from .bench_summary import Bench, BenchRow, machine, percentiles, relate
from .bench_worker import ROOFLINE

__all__ = ["bench", "turns"]

#: Runs after the first prediction that are not timed.
_WARM_UP = 5
#: Seconds between two turns, in which the threads of the one before fall asleep: they first wait in a loop, OpenMP's
#: for a few milliseconds, ONNX Runtime's, where they do, for up to 50.
_SETTLE = 0.1


def bench(
    models: Sequence[str | os.PathLike[str]],
    runtimes: Iterable[str] | None = None,
    *,
    batch: int = 1,
    threads: int | None = None,
    rounds: int = 60,
    runs: int = 3,
    size: int | None = None,
    relative_to: str | None = None,
    progress: Callable[[str, int, int], object] | None = None,
) -> Bench:
    """Measure networks in several runtimes.

    Each network has a process of its own for each runtime. All processes are started first, one after the other. Then
    they run in turn, in an order that changes from round to round, so that whatever else the machine does meets all
    alike. Only one runs at a time, and the threads of the others sleep. The input is a real face.

    Args:
        models: Names of registered networks or of timm's, checkpoint folders, ``"hf-hub:org/repo"``, and ``.onnx``
            files that `ferzoo.export` wrote. Those without trained weights are measured untrained, and their rows
            say so.
        runtimes: Keys of `ferzoo.deploy.bench_runtimes.RUNTIMES`; None for those that are installed.
        batch: Images a batch.
        threads: CPU threads of each process; None for all cores.
        rounds: Rounds.
        runs: Timed runs of each process in a round, after one that is not.
        size: Height and width in pixels; None for those of the weights. Networks of timm's and files keep their own.
        relative_to: The network that the others' times are put in relation to; measured, too.
        progress: Told what is being done.

    Raises:
        UnknownNameError: If there is no such network or runtime; names the nearest.
        MissingExtraError: If a named runtime is not installed.
        FerzooError: If a network cannot be built, or no network is named. What fails in one runtime is said in its
            row.

    Examples:
        >>> bench(["lanmsff", "resnet18"], ["onnx"], relative_to="resnet18").rows[0].ratio  # doctest: +SKIP
        0.05
    """
    if min(batch, rounds, runs, threads or 1, size or 1) < 1:
        raise FerzooError("batch, threads, rounds, runs and size are whole numbers from 1 up.")
    if threads and threads > MOST_THREADS:
        raise FerzooError(f"threads must be at most {MOST_THREADS:,}, got {threads:,}.")
    asked = [*models, relative_to] if relative_to else models
    names = list(dict.fromkeys(os.fspath(name) for name in asked))
    if not names:
        raise FerzooError("No network is named: see `ferzoo list`.")
    wanted, threads = choose(runtimes), threads or usable_cores()
    say = progress or (lambda what, done, total: None)
    with tempfile.TemporaryDirectory(prefix="ferzoo-bench-") as folder, ExitStack() as stack:
        kinds = {RUNTIMES[runtime].file for runtime in wanted}
        subjects = prepare(names, Path(folder), kinds, batch, size, say)
        trials = [_Trial(subject, runtime) for subject in subjects for runtime in wanted]
        for done, trial in enumerate(trials):
            say(f"starting {trial.subject.name} {trial.runtime}", done, len(trials))
            trial.start(threads, stack)
        for done, trial in enumerate(trials[i] for i in turns(len(trials), rounds)):
            say("measuring", done, rounds * len(trials))
            trial.measure(runs)
        facts = machine() | _gpu(trials)
        rows = [trial.row(batch, facts) for trial in trials]
    return Bench(relate(rows, relative_to), batch, threads, rounds, runs, size, relative_to, facts)


def turns(count: int, rounds: int) -> Iterator[int]:
    """Whose turn it is: each of `count` once a round, in an order that changes, so that each follows every other."""
    order, generator = list(range(count)), random.Random(0)
    for _ in range(rounds):
        generator.shuffle(order)
        yield from order


@dataclass
class _Trial:
    """A network in a runtime while it is measured."""

    subject: Subject
    runtime: str
    worker: Worker | None = None
    times: list[float] = field(default_factory=list)
    error: str = ""

    def start(self, threads: int, stack: ExitStack) -> None:
        """Start its process, which ends with the stack."""
        subject, kind = self.subject, RUNTIMES[self.runtime].file
        if kind in subject.errors:
            self.error = subject.errors[kind]
            return
        job = Job(
            model=subject.name,
            runtime=self.runtime,
            file=str(subject.files[kind]),
            batch=str(subject.batch),
            threads=threads,
            trained=bool(subject.trained),
            arguments=subject.arguments,
        )
        time.sleep(_SETTLE)
        try:
            self.worker = Worker(job)
            stack.callback(self.worker.close)
            self.worker.run(_WARM_UP)
        except FerzooError as error:
            self.error = str(error)

    def measure(self, runs: int) -> None:
        """Take its turn."""
        if self.worker and not self.error:
            time.sleep(_SETTLE)
            try:
                self.times += self.worker.run(runs)
            except FerzooError as error:
                self.error = str(error)

    def row(self, batch: int, facts: dict[str, Any]) -> BenchRow:
        """Its figures."""
        subject, kind = self.subject, RUNTIMES[self.runtime].file
        figures: dict[str, Any] = {}
        if self.worker and not self.error:
            memory = self.worker.memory_mib
            figures |= percentiles(self.times, batch)
            figures["memory_mib"] = None if memory is None else round(memory, 1)
            figures["cold_start_s"] = round(self.worker.cold_start_s, 3)
            if RUNTIMES[self.runtime].gpu and subject.flops and "bf16_flops_per_s" in facts:
                most = roofline(subject.flops, facts["bf16_flops_per_s"])
                figures["roofline_images_per_s"] = round(most, 1)
                figures["roofline_fraction"] = round(figures["images_per_s"] / most, 4)
        return BenchRow(
            model=subject.name,
            runtime=self.runtime,
            input=subject.input,
            trained=subject.trained,
            flops=subject.flops,
            size_bytes=subject.size_bytes(kind) if kind in subject.files else None,
            **figures,
            note="; ".join(filter(None, (subject.note, self.worker.note if self.worker else ""))),
            error=self.error,
        )


def _gpu(trials: Sequence[_Trial]) -> dict[str, Any]:
    """The GPU and its rate of bfloat16 operations, where a network was measured on one."""
    for trial in trials:
        if RUNTIMES[trial.runtime].gpu and trial.worker and not trial.error:
            try:
                return trial.worker.ask(ROOFLINE)
            except FerzooError as error:  # the times are there, and stay
                return {"gpu": f"its rate could not be measured: {error}"}
    return {}
