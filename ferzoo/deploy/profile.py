"""Parameters, FLOPs by operator, size and latency of a network."""

from __future__ import annotations

import copy
import logging
import statistics
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from numbers import Integral
from typing import Any

import torch
from torch import nn

from ..errors import FerzooError
from ..models.modes import eval_mode
from ..registry.channels import channels_of

__all__ = ["Profile", "profile"]


@dataclass(frozen=True)
class Profile:
    """What `profile` measured.

    Attributes:
        parameters: Number of parameters.
        flops: Multiply-adds of one image, as fvcore counts and papers print them.
        flops_by_operator: The same by operator, largest first.
        size_bytes: Bytes of parameters and buffers.
        input_size: Channels, height and width of the image.
        latency_ms: Median milliseconds of one image in eager mode; None where not asked for.
        threads: CPU threads that latency was measured with.
    """

    parameters: int
    flops: int
    flops_by_operator: dict[str, int]
    size_bytes: int
    input_size: tuple[int, int, int]
    latency_ms: float | None
    threads: int

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def profile(
    model: nn.Module,
    input_size: tuple[int, int, int] | None = None,
    latency: bool = True,
    runs: int = 30,
) -> Profile:
    """Count and time a network; the mode of each of its modules is kept.

    Args:
        model: The network; of one that torch.compile or a data-parallel wrapper holds, what is inside is measured. One
            on the meta device is counted as a copy on the CPU, in zeros, which takes its memory.
        input_size: Channels, height and width; where None, the size of its pretrained cfg, in the channels it takes.
        latency: Also time it: batch of one, eager, in eval mode, after five runs to warm up.
        runs: Timed runs; the median counts.

    Raises:
        FerzooError: If it has no parameters, as an exported file; if it is compiled in place or TorchScript; if it is
            on the meta device and shall be timed; if `input_size` or `runs` is none.
    """
    with warnings.catch_warnings():
        # fvcore decorates with what newer torch deprecates.
        warnings.simplefilter("ignore", FutureWarning)
        from fvcore.nn import FlopCountAnalysis

    model = _inside(model)
    reference = next(model.parameters(), None)
    if reference is None:
        raise FerzooError(f"{type(model).__name__} has no parameters in torch: there is nothing to count.")
    size = _cfg_size(model) if input_size is None else tuple(input_size) if isinstance(input_size, Sequence) else ()
    if len(size) != 3 or not all(isinstance(side, Integral) and side > 0 for side in size):
        raise FerzooError(f"input_size is channels, height and width, such as (3, 64, 64); got {input_size!r:.60}.")
    if runs < 1:
        raise FerzooError(f"runs must be 1 or more, got {runs}; latency=False does not time it at all.")
    if latency and reference.is_meta:
        raise FerzooError("A network on the meta device has no weights to compute with: latency=False counts it alone.")
    counted = _on_cpu(model) if reference.is_meta else model
    x = torch.zeros(1, *size, device="cpu" if reference.is_meta else reference.device, dtype=reference.dtype)
    with eval_mode(counted):
        with torch.inference_mode(False), torch.no_grad():
            # fvcore logs every module that an input does not reach; that is no news here.
            logging.getLogger("fvcore.nn.jit_analysis").setLevel(logging.ERROR)
            analysis = FlopCountAnalysis(counted, x).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
            by_operator = {name: int(count) for name, count in analysis.by_operator().most_common()}
        median = _latency(model, torch.randn_like(x), runs) if latency else None
    tensors = [*model.parameters(), *model.buffers()]
    return Profile(
        parameters=sum(p.numel() for p in model.parameters()),
        flops=sum(by_operator.values()),
        flops_by_operator=by_operator,
        size_bytes=sum(t.numel() * t.element_size() for t in tensors),
        input_size=size,
        latency_ms=median,
        threads=torch.get_num_threads(),
    )


def _inside(model: nn.Module) -> nn.Module:
    """The network as it can be traced.

    Raises:
        FerzooError: If it, or a part, is compiled in place or TorchScript.
    """
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        if isinstance(model, parallel):
            model = model.module
        elif isinstance(inside := getattr(model, "_orig_mod", None), nn.Module):  # torch.compile's wrapper
            model = inside
        else:
            break
    for part in model.modules():
        made = "TorchScript" if isinstance(part, torch.jit.ScriptModule) else "compiled"
        if made == "TorchScript" or part._compiled_call_impl or hasattr(part, "_orig_mod"):
            raise FerzooError(
                f"{type(part).__name__} is {made} and cannot be counted: profile the network before that."
            )
    return model


def _on_cpu(model: nn.Module) -> nn.Module:
    """A copy of a network of the meta device, with zeros for what it lacks."""
    out = copy.deepcopy(model).to_empty(device="cpu")
    for tensor in [*out.parameters(), *out.buffers()]:
        tensor.detach().zero_()
    return out


def _cfg_size(model: nn.Module) -> tuple[int, ...]:
    cfg = {"input_size": (3, 224, 224), **(getattr(model, "pretrained_cfg", None) or {})}
    return (channels_of(model, cfg), *cfg["input_size"][1:])


@torch.inference_mode()
def _latency(model: nn.Module, x: torch.Tensor, runs: int) -> float:
    synchronize = torch.cuda.synchronize if x.is_cuda else (lambda: None)
    times = []
    for run in range(runs + 5):
        synchronize()
        start = time.perf_counter()
        model(x)
        synchronize()
        if run >= 5:
            times.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(times), 2)
