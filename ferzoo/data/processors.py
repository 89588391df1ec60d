"""The processors that there are for work in parallel, and how the system names them."""

from __future__ import annotations

import os
import platform
from pathlib import Path

__all__ = ["MOST_THREADS", "processor", "usable_cores"]

#: Most threads, or processes that load images, that anybody may ask for: with far more the system ends the process.
MOST_THREADS = 1024

_CPUINFO = Path("/proc/cpuinfo")


#: What sets processors apart that compute networks, the widest first: a flag of the system's and its name.
_INSTRUCTIONS = {
    "amx_bf16": "AMX", "avx512_bf16": "AVX-512 with bfloat16", "avx512f": "AVX-512", "avx2": "AVX2",
}  # fmt: skip


def processor() -> str:
    """Model of the processor and its widest instructions, ``"AMD EPYC (AVX2)"``; its kind where no model is known.

    One model's name can stand for generations that differ in their instructions.
    """
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # no Linux
        lines = []
    found: dict[str, str] = {}
    for line in lines:
        key, _, value = line.partition(":")
        found.setdefault(key.strip(), value.strip())
    name = found.get("model name") or platform.processor() or platform.machine()
    flags = found.get("flags", "").split()
    widest = next((text for flag, text in _INSTRUCTIONS.items() if flag in flags), "")
    return f"{name} ({widest})" if widest else name


def usable_cores() -> int:
    """The cores that this process may use, which can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
