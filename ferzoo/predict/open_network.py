"""The network behind a `Predictor`: in torch or, from an ONNX file, without it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..registry.exported import is_exported

if TYPE_CHECKING:
    import torch
    from torch import nn

__all__ = ["open_network"]


def open_network(
    model: str | os.PathLike[str] | nn.Module,
    embedding: bool,
    device: str | torch.device | None,
    dtype: str | torch.dtype | None,
    threads: int | None,
) -> Any:
    """Open it; the arguments are those of `Predictor`."""
    if is_exported(model):
        from .onnx_network import OnnxNetwork

        asked = {"embedding": embedding, "dtype": dtype is not None, "device": str(device or "cpu") != "cpu"}
        if given := [name for name, value in asked.items() if value]:
            raise ValueError(f"An ONNX file runs as it is, on the CPU: leave out {', '.join(given)}.")
        return OnnxNetwork(os.fspath(model), threads)  # type: ignore[arg-type]
    from .network import Network

    return Network(model, embedding, device, dtype)
