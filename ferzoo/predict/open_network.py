"""The network behind a `Predictor`: in torch or, from an ONNX file, without it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
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
    """Open it; the arguments are those of `Predictor`.

    Raises:
        OptionError: If the model is neither, or does not go with another argument.
    """
    if is_exported(model):
        from .onnx_network import OnnxNetwork

        asked = {"embedding": embedding, "dtype": dtype is not None, "device": str(device or "cpu") != "cpu"}
        if given := [name for name, value in asked.items() if value]:
            raise OptionError(f"An ONNX file runs as it is, on the CPU: leave out {', '.join(given)}.")
        return OnnxNetwork(os.fspath(model), threads)  # type: ignore[arg-type]
    from torch import nn

    from .network import Network

    if not isinstance(model, str | os.PathLike | nn.Module):
        raise OptionError(f"model must be a name with weights, a path or a network, got {type(model).__name__}.")

    return Network(model, embedding, device, dtype)
