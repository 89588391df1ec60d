"""Standard output and error of a command: one that is closed, or that nobody reads any more, ends no work."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, BinaryIO, TextIO, cast

__all__ = ["has_no_reader", "is_lost", "there_or_not", "unread_or_not"]


class _Nowhere(io.TextIOBase):
    """Takes all text and drops it; also after the command, from a handler that kept standard error."""

    encoding = "utf-8"

    @cached_property
    def buffer(self) -> BinaryIO:
        """For bytes, and for the processes that someone starts with this stream."""
        # As long as the stream, which is never closed.
        return open(os.open(os.devnull, os.O_WRONLY), "wb", buffering=0, closefd=False)  # noqa: SIM115

    def fileno(self) -> int:
        return self.buffer.fileno()

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        return len(text)

    def reconfigure(self, **kwargs: object) -> None:
        """All ways to write nothing are the same."""

    def close(self) -> None:
        """Stays open."""


_NOWHERE = cast(TextIO, _Nowhere())


class _Dropping:
    """A stream whose text is dropped from the first error of a kind on; for several threads, too."""

    def __init__(self, stream: TextIO, ends: Callable[[OSError], bool]) -> None:
        closed = getattr(stream, "closed", False)  # a replacement of sys.stderr may have write and flush alone
        self._stream, self._ends = _NOWHERE if closed else stream, ends

    def write(self, text: str) -> int:
        """Write, or drop; the number of characters."""
        self._do(lambda stream: stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what was held back."""
        self._do(lambda stream: stream.flush())

    def isatty(self) -> bool:
        """Whether it is a terminal that is there."""
        return bool(getattr(self._stream, "isatty", bool)())

    def _do(self, call: Callable[[TextIO], object]) -> None:
        stream = self._stream
        try:
            call(stream)
        except (OSError, ValueError) as error:
            if stream is not self._stream:  # lost meanwhile, and closed, by another thread
                return
            if isinstance(error, ValueError) or not self._ends(error):
                raise
            self._stream = _NOWHERE
            _close(stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _close(stream: TextIO) -> None:
    """Close a stream that cannot take what it holds back; Python would try once more at its end, and fail."""
    with contextlib.suppress(OSError, AttributeError):
        stream.close()


def has_no_reader(error: OSError) -> bool:
    """Whether an error says that the reader of a pipe has gone."""
    # Windows calls that an invalid argument.
    return isinstance(error, BrokenPipeError) or (sys.platform.startswith("win") and error.errno == errno.EINVAL)


def is_lost(stream: TextIO) -> bool:
    """Whether what was written to an open stream cannot reach its end; it is closed then."""
    if getattr(stream, "closed", False):
        return False
    try:
        stream.write("\n")
        stream.flush()
    except OSError:
        _close(stream)
        return True
    return False


@contextlib.contextmanager
def there_or_not() -> Iterator[None]:
    """Within the block a command may print: a closed stream takes all, and messages that cannot be told are dropped."""
    with contextlib.ExitStack() as stack:
        # Python has None for a stream that was closed before it began, and prints messages for it as output.
        if sys.stdout is None:
            stack.enter_context(contextlib.redirect_stdout(_NOWHERE))
        messages = cast(TextIO, _Dropping(_NOWHERE if sys.stderr is None else sys.stderr, lambda _: True))
        stack.enter_context(contextlib.redirect_stderr(messages))
        yield


@contextlib.contextmanager
def unread_or_not() -> Iterator[None]:
    """Within it output is dropped once its reader (`head`, a pager) has gone, for a command that writes files, too."""
    with contextlib.redirect_stdout(cast(TextIO, _Dropping(sys.stdout, has_no_reader))):
        yield
