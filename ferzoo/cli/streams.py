"""Standard output and error of a command: one that is closed, or that nobody reads any more, ends no work."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO, cast

__all__ = ["is_lost", "there_or_not", "unread_or_not"]


class _Dropping:
    """A stream whose text is dropped from the first error of a kind on."""

    def __init__(self, stream: TextIO, errors: type[OSError]) -> None:
        self._stream, self._errors, self._lost = stream, errors, stream.closed

    def write(self, text: str) -> int:
        """Write, or drop; the number of characters."""
        self._do(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        """Flush, or drop what was held back."""
        self._do(self._stream.flush)

    def _do(self, call: Callable[[], object]) -> None:
        if self._lost:
            return
        try:
            call()
        except self._errors:
            self._lost = True
            _close(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _close(stream: TextIO) -> None:
    """Close a stream that cannot take what it holds back; Python would try once more at its end, and fail."""
    with contextlib.suppress(OSError):
        stream.close()


def is_lost(stream: TextIO) -> bool:
    """Whether what was written to a stream cannot reach its end; it is closed then."""
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
            stack.enter_context(contextlib.redirect_stdout(stack.enter_context(_nowhere())))
        if sys.stderr is None:
            stack.enter_context(contextlib.redirect_stderr(stack.enter_context(_nowhere())))
        messages = cast(TextIO, _Dropping(sys.stderr, OSError))
        stack.enter_context(contextlib.redirect_stderr(messages))
        yield


def unread_or_not() -> contextlib.AbstractContextManager[Any]:
    """Within it output is dropped once its reader (`head`, a pager) has gone, for a command that writes files, too."""
    return contextlib.redirect_stdout(cast(TextIO, _Dropping(sys.stdout, BrokenPipeError)))


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8")
