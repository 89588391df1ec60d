"""A process of its own for each network that is measured, seen from the process that measures."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import FerzooError
from .bench_runtimes import Job

__all__ = ["PATIENCE", "Worker"]

#: Seconds that a process has for one answer: to open a network and compile it, or for a turn.
PATIENCE = 900.0


class Worker:
    """A network that was opened in a process of its own, and waits.

    Attributes:
        job: What it measures.
        pid: Number of the process.
        note: What the runtime says.
        cold_start_s: Seconds from the start of the process until its first prediction was there.
        memory_mib: Largest memory that it has had; None before the first run, and where the system does not tell.
    """

    def __init__(self, job: Job) -> None:
        """Start the process, and wait for its first prediction.

        Raises:
            FerzooError: If the network cannot be opened, or the process ends.
        """
        self.job = job
        self.memory_mib: float | None = None
        self._cache = tempfile.TemporaryDirectory(dir=Path(job.batch).parent)
        self._errors = tempfile.TemporaryFile()
        started = time.perf_counter()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ferzoo.deploy.bench_worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=self._environment(),
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C comes here alone; and a compiler ends with the group
        )
        try:
            self.pid = self._process.pid
            self.note: str = self.ask(json.dumps(asdict(job)))["note"]
            self.cold_start_s = time.perf_counter() - started
        except BaseException:
            self.close()
            raise

    def _environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "OMP_NUM_THREADS": str(self.job.threads),
            "TORCHINDUCTOR_CACHE_DIR": self._cache.name,  # a cold start compiles
        }

    def run(self, runs: int) -> list[float]:
        """Run the network.

        Args:
            runs: How often, after once that is not timed.

        Returns:
            Milliseconds of each run.

        Raises:
            FerzooError: If it fails, or the process ends.
        """
        answer = self.ask(str(runs))
        self.memory_mib = answer["memory_mib"]
        times: list[float] = answer["times"]
        return times

    def ask(self, line: str) -> dict[str, Any]:
        """Send a line and read the answer.

        Raises:
            FerzooError: If the answer is an error or does not come within `PATIENCE`, or the process ends.
        """
        assert self._process.stdin and self._process.stdout
        answer, late = "", threading.Event()

        def stop() -> None:
            late.set()
            self._kill()

        timer = threading.Timer(PATIENCE, stop)
        timer.start()
        try:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.write(f"{line}\n")
                self._process.stdin.flush()
                answer = self._process.stdout.readline()
        finally:
            timer.cancel()
        if late.is_set():
            raise FerzooError(f"its process gave no answer for {PATIENCE:g} s, and was ended: take fewer runs")
        if not answer.endswith("\n"):
            raise FerzooError(self._end())
        content: dict[str, Any] = json.loads(answer)
        if "error" in content:
            raise FerzooError(content["error"])
        return content

    def _end(self) -> str:
        """How the process ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(10)
        code = self._process.returncode
        if code is None:
            how = "stopped answering"
        else:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"its process {how}{': ' + said[-1] if said else ''}"

    def _kill(self) -> None:
        if os.name == "posix":
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        else:
            self._process.kill()

    def close(self) -> None:
        """End the process and whatever it started."""
        try:
            self._kill()
            self._process.wait()
        finally:
            for stream in (self._process.stdin, self._process.stdout, self._errors):
                with contextlib.suppress(OSError):  # a line that the process never read
                    if stream:
                        stream.close()
            self._cache.cleanup()
