"""Progress of long work and warnings on standard error."""

from __future__ import annotations

import signal
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType

__all__ = ["ProgressLine", "ended_cleanly", "notes"]


class ProgressLine:
    """One line that says what is being done: rewritten on a terminal, else written anew now and then.

    Work that is done within the first second is not told, so that short work leaves standard error empty.
    """

    def __init__(self, every: float = 10.0) -> None:
        """Start the clock.

        Args:
            every: Seconds between two lines where standard error is no terminal.
        """
        self._live, self._every = sys.stderr.isatty(), every
        self._next = time.monotonic() + 1.0
        self._length = 0

    def __enter__(self) -> ProgressLine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.clear()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Tell how much is done, if it is time to.

        Args:
            what: What is being done.
            done: How much of it is done.
            total: How much there is, 0 where that is not known.
        """
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + (0.1 if self._live else self._every)
        line = f"{what}: {done:,} of {total:,}" if total else f"{what} ..."
        if self._live:
            print(f"\r{line.ljust(self._length)}", end="", file=sys.stderr, flush=True)
            self._length = len(line)
        else:
            print(line, file=sys.stderr, flush=True)

    def clear(self) -> None:
        """Take the line away."""
        if self._length:
            print(f"\r{' ' * self._length}\r", end="", file=sys.stderr, flush=True)
            self._length = 0


@contextmanager
def ended_cleanly() -> Iterator[None]:
    """Within the block SIGTERM stops as Ctrl-C does, so that processes and temporary files go with this one."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only there can a signal be caught
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def notes(command: str, progress: ProgressLine) -> Iterator[None]:
    """Print what is warned of within the block as one line each, without file and line number.

    Args:
        command: The command, which the line names.
        progress: The line that is in the way.
    """
    with warnings.catch_warnings():

        def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
            progress.clear()
            print(f"ferzoo {command}: {message}", file=sys.stderr)

        warnings.showwarning = show
        yield
