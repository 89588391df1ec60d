"""The network behind a `Predictor`: in torch or, from an ONNX file, without it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from ..errors import FerzooError, OptionError
from ..registry.exported import is_exported, refuse_other_exports

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
        CheckpointError: If it is an export of another format than ONNX.
        FerzooError: If it needs torch or timm, which are not there.
    """
    if is_exported(model):
        from .onnx_network import OnnxNetwork

        elsewhere = str(device or "cpu").split(":")[0] != "cpu"
        asked = {"embedding": embedding, "dtype": dtype is not None, "device": elsewhere}
        if given := [name for name, value in asked.items() if value]:
            raise OptionError(f"An ONNX file runs as it is, on the CPU: leave out {', '.join(given)}.")
        return OnnxNetwork(os.fspath(model), threads)  # type: ignore[arg-type]
    if isinstance(model, str | os.PathLike):
        refuse_other_exports(model)
    kinds: tuple[type, ...] = (str, os.PathLike)
    try:
        from torch import nn

        kinds = (*kinds, nn.Module)
    except ModuleNotFoundError:  # then it is no network, either
        pass
    if not isinstance(model, kinds):
        raise OptionError(f"model must be a name with weights, a path or a network, got {type(model).__name__}.")
    try:
        from .network import Network
    except ModuleNotFoundError as error:
        name = os.fspath(model) if isinstance(model, str | os.PathLike) else type(model).__name__
        raise FerzooError(
            f"The network {name!r} needs the package {str(error.name).partition('.')[0]}: pip install torch timm. Or "
            "give an .onnx file, which `ferzoo export` writes: of exported files ferzoo runs .onnx alone."
        ) from error
    return Network(model, embedding, device, dtype)
