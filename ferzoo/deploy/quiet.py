"""Without what libraries say of their own inside."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["quietly"]


@contextmanager
def quietly(*loggers: str) -> Iterator[None]:
    """No warnings within the block, and of some loggers errors alone.

    Args:
        loggers: Their names; an empty one is the root.
    """
    chosen = [logging.getLogger(name) for name in loggers]
    before = [logger.level for logger in chosen]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in chosen:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(chosen, before, strict=True):
                logger.setLevel(level)
