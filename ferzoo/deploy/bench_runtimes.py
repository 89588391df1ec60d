"""The runtimes that `bench` compares: what each needs, and how it opens a network. Only torch's own import torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from ..errors import FerzooError, MissingExtraError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np

__all__ = ["RUNTIMES", "Job", "Runtime", "choose"]

Run = Callable[[], object]


@dataclass(frozen=True)
class Job:
    """What one process measures.

    Attributes:
        model: Name of the network.
        runtime: A key of `RUNTIMES`.
        file: The file that the runtime opens.
        batch: A .npy file with the input.
        threads: CPU threads.
        trained: The weights are found by the network's name; else they are those of the file.
        arguments: Those of `create_model` for a network that is not trained.
    """

    model: str
    runtime: str
    file: str
    batch: str
    threads: int
    trained: bool = True
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Runtime:
    """One way to run a network.

    Attributes:
        title: What it is.
        file: The file that it opens: ``"safetensors"``, ``"onnx"`` or ``"openvino"``.
        open: Opens a job's network. Returns a function that runs it on the batch, and a note.
        needs: Packages.
        extra: The extra of ferzoo that brings them.
        gpu: It runs on a GPU.
    """

    title: str
    file: str
    open: Callable[[Job, np.ndarray], tuple[Run, str]]
    needs: tuple[str, ...] = ()
    extra: str = ""
    gpu: bool = False

    def lacks(self, name: str) -> FerzooError | None:
        """Why it cannot be used here; None where it can."""
        if not all(find_spec(package) for package in self.needs):
            return MissingExtraError(f"The runtime {name}", self.extra)
        if self.gpu:
            import torch

            if not torch.cuda.is_available():
                return FerzooError(f"The runtime {name} cannot be used: torch sees no GPU here.")
        return None


def _network(job: Job) -> Any:
    import torch

    from .bench_networks import rebuild

    torch.set_num_threads(job.threads)
    return rebuild(job.model, job.trained, job.arguments, job.file).eval()


def _torch(network: Any, x: np.ndarray) -> tuple[Run, str]:
    import torch

    batch = torch.from_numpy(x)

    def run() -> object:
        with torch.inference_mode():
            return network(batch)

    return run, ""


def _eager(job: Job, x: np.ndarray) -> tuple[Run, str]:
    return _torch(_network(job), x)


def _fused(job: Job, x: np.ndarray) -> tuple[Run, str]:
    from .fuse import fuse

    return _torch(fuse(_network(job)), x)


def _compiled(job: Job, x: np.ndarray) -> tuple[Run, str]:
    import torch

    from .fuse import fuse

    return _torch(torch.compile(fuse(_network(job)), dynamic=False), x)


def _cuda(job: Job, x: np.ndarray) -> tuple[Run, str]:
    from .bench_gpu import open_on_gpu

    return open_on_gpu(_network(job), x)


def _onnx(job: Job, x: np.ndarray) -> tuple[Run, str]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads, options.inter_op_num_threads = job.threads, 1
    # Its default: threads that wait in a loop are quicker to wake, and take the processor from whatever else runs.
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(job.runtime == "onnx-spin")))
    session = onnxruntime.InferenceSession(job.file, options, providers=["CPUExecutionProvider"])
    batch = {session.get_inputs()[0].name: x}
    return lambda: session.run(None, batch), ""


def _openvino(job: Job, x: np.ndarray) -> tuple[Run, str]:
    import openvino

    core = openvino.Core()
    precision = "bf16" if job.runtime.endswith("bf16") else "f32"
    if precision == "bf16" and "BF16" not in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        raise FerzooError("this processor does not compute in bfloat16")
    network = core.read_model(job.file)
    network.reshape(list(x.shape))
    options: dict[str, Any] = {"INFERENCE_NUM_THREADS": job.threads, "INFERENCE_PRECISION_HINT": precision}
    # The batch goes in one call: several streams would share out the threads, and all but one of them idle.
    options |= {"PERFORMANCE_HINT": "LATENCY" if len(x) == 1 else "THROUGHPUT", "NUM_STREAMS": "1"}
    request = core.compile_model(network, "CPU", options).create_infer_request()
    return lambda: request.infer({0: x}, share_inputs=True, share_outputs=True), ""


_EXPORT = ("onnx", "onnxscript", "onnxruntime")
RUNTIMES: dict[str, Runtime] = {
    "eager": Runtime("torch, the network as it is", "safetensors", _eager),
    "fused": Runtime("torch, after `ferzoo.fuse`", "safetensors", _fused),
    "compiled": Runtime("`torch.compile`, after `ferzoo.fuse`", "safetensors", _compiled),
    "onnx": Runtime("ONNX Runtime, idle threads asleep", "onnx", _onnx, _EXPORT, "export"),
    "onnx-spin": Runtime("ONNX Runtime as it is by default: idle threads spin", "onnx", _onnx, _EXPORT, "export"),
    "openvino": Runtime("OpenVINO in float32", "openvino", _openvino, (*_EXPORT, "openvino"), "openvino"),
    "openvino-bf16": Runtime("OpenVINO in bfloat16", "openvino", _openvino, (*_EXPORT, "openvino"), "openvino"),
    "cuda-bf16": Runtime("`torch.compile` on a GPU, bfloat16, channels last", "safetensors", _cuda, gpu=True),
}


def choose(names: Iterable[str] | None) -> list[str]:
    """The runtimes to measure.

    Args:
        names: Keys of `RUNTIMES`; None for those that are installed.

    Raises:
        UnknownNameError: If there is no such runtime.
        MissingExtraError: If a package is not installed.
        FerzooError: If there is no GPU for it, or no runtime is named.
    """
    if names is None:
        return [name for name, runtime in RUNTIMES.items() if not runtime.lacks(name)]
    chosen = list(dict.fromkeys(names))
    every = f"The runtimes are {', '.join(RUNTIMES)}."
    if not chosen:
        raise FerzooError(f"No runtime is named. {every}")
    for name in chosen:
        if name not in RUNTIMES:
            raise UnknownNameError("runtime", name, RUNTIMES, every)
        if lack := RUNTIMES[name].lacks(name):
            raise lack
    return chosen
