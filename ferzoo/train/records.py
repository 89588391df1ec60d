"""What a run leaves beside its weights: facts, environment, history as csv, TensorBoard."""

from __future__ import annotations

import csv
import io
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from ..data.processors import processor
from ..weights.files import write_atomically
from .measured import WAYS
from .recipe import Recipe

__all__ = ["checkpoint_facts", "environment", "flat", "write_history_csv", "write_tensorboard"]

_PACKAGES = (
    "ferzoo", "torch", "torchvision", "timm", "numpy", "pillow", "accelerate", "safetensors", "numba", "pyarrow",
    "tensorboard", "datasets",
)  # fmt: skip
#: Beginnings of the names of environment variables that change what a run computes or how fast.
_VARIABLES = (
    "GLIBC_TUNABLES", "MALLOC_", "LD_PRELOAD", "OMP_", "KMP_", "MKL_", "ONEDNN_", "DNNL_", "ATEN_CPU_", "NUMBA_",
    "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG", "NVIDIA_TF32_OVERRIDE", "PYTORCH_ALLOC_CONF",
    "PYTORCH_CUDA_ALLOC_CONF", "WORLD_SIZE",
)  # fmt: skip


def environment() -> dict[str, Any]:
    """Versions, processor, GPU, variables, and the git revision of ferzoo's checkout, where it is one.

    Returns:
        Plain values. `cuda` is the version that torch was built with; it, `gpu` and `cudnn` are ``"none"`` where
        there is none, and a package that is not installed ``"absent"``.
    """
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "absent"
    on_gpu = torch.cuda.is_available()
    cudnn = torch.backends.cudnn.version() if on_gpu else None
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor(),
        "processors": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if on_gpu else "none",
        "cuda": torch.version.cuda or "none",
        "cudnn": str(cudnn or "none"),
        "packages": versions,
        "variables": {name: value for name, value in sorted(os.environ.items()) if name.startswith(_VARIABLES)},
        "git": git_revision(Path(__file__).parent),
        "command": [Path(sys.argv[0]).name, *sys.argv[1:]],
    }


def checkpoint_facts(recipe: Recipe, epoch: int) -> dict[str, Any]:
    """What timm's cfg of a run's weights has no field for: also how the data was read, to be measured as trained.

    Args:
        recipe: The run's.
        epoch: The epoch that the weights are of, from 1.
    """
    ways = {key: list(value) for key in WAYS if (value := getattr(recipe, key))}
    return {"grayscale": recipe.grayscale, "labels": recipe.dataset, "epoch": epoch, **ways}


def git_revision(folder: Path) -> str:
    """The commit of a checkout, with ``+changes`` where tracked files differ from it; empty outside of one."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return commit + ("+changes" if _git(folder, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def _git(folder: Path, *command: str) -> str:
    found = subprocess.run(["git", "-C", str(folder), *command], capture_output=True, text=True, check=True, timeout=20)
    return found.stdout.strip()


def flat(entry: Mapping[str, Any]) -> dict[str, Any]:
    """An epoch's entry with nested values under ``outer.inner``."""
    out: dict[str, Any] = {}
    for key, value in entry.items():
        if isinstance(value, Mapping):
            out.update({f"{key}.{inner}": v for inner, v in value.items()})
        else:
            out[key] = value
    return out


def write_history_csv(path: Path, history: Sequence[Mapping[str, Any]]) -> None:
    """Write one row an epoch, atomically."""
    rows = [flat(entry) for entry in history]
    columns = list(dict.fromkeys(key for row in rows for key in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="")
    writer.writeheader()
    writer.writerows(rows)
    write_atomically(path, lambda p: p.write_text(text.getvalue(), encoding="utf-8", newline=""))


def write_tensorboard(folder: Path, entry: Mapping[str, Any]) -> bool:
    """Add an epoch to the folder's TensorBoard log.

    Returns:
        Whether tensorboard is installed; without it nothing is written.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return False
    with SummaryWriter(str(folder)) as writer:
        for key, value in flat(entry).items():
            if key != "epoch" and isinstance(value, int | float):
                writer.add_scalar(key.replace(".", "/"), value, int(entry["epoch"]))
    return True
