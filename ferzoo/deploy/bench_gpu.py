"""A network on a GPU in bfloat16, and how fast the GPU could be at most."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..errors import first_line
from .fuse import fuse

__all__ = ["matmul_rate", "open_on_gpu", "roofline"]


def matmul_rate(device: str = "cuda", side: int = 8192, runs: int = 30) -> float:
    """Floating-point operations a second of a large matrix product in bfloat16.

    Args:
        device: Where it runs.
        side: Rows and columns of both matrices.
        runs: Timed products, after three to warm up; the median counts.

    Returns:
        Operations a second; a multiplication and an addition are two.
    """
    synchronize = torch.cuda.synchronize if device.startswith("cuda") else (lambda: None)
    a, b = (torch.randn(side, side, device=device, dtype=torch.bfloat16) for _ in range(2))
    times = []
    for run in range(runs + 3):
        synchronize()
        start = time.perf_counter()
        torch.mm(a, b)
        synchronize()
        if run >= 3:
            times.append(time.perf_counter() - start)
    return 2 * side**3 / statistics.median(times)


def roofline(flops: int, rate: float) -> float:
    """Images a second of a network that computes as fast as the matrix product.

    Args:
        flops: Multiply-adds of one image, as fvcore counts them.
        rate: What `matmul_rate` gave.
    """
    return rate / (2 * flops)


def open_on_gpu(network: Any, x: np.ndarray) -> tuple[Callable[[], object], str]:
    """Put a network on the GPU, in bfloat16 and channels last.

    Returns:
        A function that runs it on the batch and waits for the end; and a note where it could not be compiled.
    """
    network = fuse(network).to("cuda", torch.bfloat16, memory_format=torch.channels_last)
    batch = torch.from_numpy(x).to("cuda", torch.bfloat16, memory_format=torch.channels_last)
    note = ""
    with torch.inference_mode():
        try:
            compiled = torch.compile(network, dynamic=False)
            compiled(batch)
            network = compiled
        except Exception as error:  # the compiler has many
            note = f"not compiled: {first_line(error)}"

    def run() -> object:
        with torch.inference_mode():
            out = network(batch)
        torch.cuda.synchronize()
        return out

    return run, note
