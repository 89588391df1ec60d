"""Whether a CPU's memory comes in huge pages, which training maps of many MB is quicker in."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["advice", "asked_for"]

#: glibc's allocator asks the kernel for huge pages where this is set when a process starts, from version 2.35 on.
TUNABLE = "glibc.malloc.hugetlb=1"
_KERNEL = Path("/sys/kernel/mm/transparent_hugepage/enabled")


def asked_for() -> bool:
    """Whether glibc was told to ask for huge pages when this process started."""
    told = dict(part.partition("=")[::2] for part in _tunables())
    return told.get(TUNABLE.partition("=")[0], "0") != "0"


def _tunables() -> list[str]:
    return [part for part in os.environ.get("GLIBC_TUNABLES", "").split(":") if part]


def advice() -> str:
    """What to set in the environment where the system gives huge pages to those who ask; empty elsewhere."""
    library, version = platform.libc_ver()
    known = tuple(int(part) for part in version.split(".") if part.isdigit()) if library == "glibc" else ()
    try:
        on_request = "[madvise]" in _KERNEL.read_text(encoding="ascii")
    except OSError:  # no Linux, or a container that hides it
        return ""
    if asked_for() or not on_request or known < (2, 35):
        return ""
    tunables = ":".join([*_tunables(), TUNABLE])
    return f"this CPU trains faster in huge pages: set GLIBC_TUNABLES={tunables} in the environment"
