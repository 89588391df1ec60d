"""The processors that there are for work in parallel, and how the system names them."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["processor", "usable_cores"]

_CPUINFO = Path("/proc/cpuinfo")


def processor() -> str:
    """The processor's model as the system names it, ``"Intel(R) Xeon(R) Platinum 8481C CPU"``; else its kind."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()


def usable_cores() -> int:
    """The cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
