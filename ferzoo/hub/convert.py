"""An author's `.pth` to safetensors, without running what a pickle may hold."""

from __future__ import annotations

import pickle
import re
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import nn

from ..errors import CheckpointError, CheckpointWarning, first_line
from ..registry.factory import create_model
from ..weights.files import write_tensors

__all__ = ["convert", "read_state_dict"]

#: Keys under which training scripts put the state dict.
_WRAPPERS = ("model_state_dict", "state_dict", "model", "net", "ema")
#: What data-parallel training and torch.compile put before every name.
_PREFIXES = re.compile(r"^(?:module\.|_orig_mod\.)+")


def read_state_dict(path: str | Path) -> dict[str, torch.Tensor]:
    """Tensors by name of a `.pth` or `.safetensors`; the prefixes ``module.`` and ``_orig_mod.`` are taken off.

    Args:
        path: A bare state dict, or one under ``model_state_dict``, ``state_dict``, ``model``, ``net`` or ``ema``:
            the first of them.

    Raises:
        CheckpointError: If the file is missing, damaged, holds a pickled module, or holds no tensors.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no file {path}.")
    try:
        content = _tensors(path) if path.suffix == ".safetensors" else _unpickle(path)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from error
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, not a state dict of tensors by name.")
    other = [key for key, value in content.items() if not isinstance(value, torch.Tensor)]
    if other or not content:
        raise CheckpointError(
            f"{path} holds no state dict of tensors by name: "
            f"{'not tensors: ' + ', '.join(map(repr, other[:5])) if other else 'it is empty'}. "
            f"A state dict is looked for at the top and under {', '.join(_WRAPPERS)}."
        )
    return {_PREFIXES.sub("", str(name)): tensor for name, tensor in content.items()}


def _tensors(path: Path) -> Any:
    try:
        return load_file(path)
    except OSError:
        raise
    except Exception as error:  # the format's own error type is not public
        raise CheckpointError(f"{path} is no valid safetensors file{_instead(path) or f': {error}'}.") from error


def _unpickle(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        text = str(error)
        if "Unsupported global" in text or "Unsupported class" in text or "GLOBAL" in text:
            raise CheckpointError(
                f"{path} holds a pickled object, not only tensors: loading it would run code from the file, so "
                "ferzoo refuses. Where you trust the file and have the code that made it, run there "
                "`x = torch.load(PATH, weights_only=False)`, then `torch.save(x.state_dict(), NEW_PATH)`, or where x "
                "is a dict, `torch.save(x[KEY], NEW_PATH)` with the key of its state dict; and convert NEW_PATH."
            ) from error
        # What torch says here is how to load it without looking.
        raise CheckpointError(f"{path} is damaged or no PyTorch file{_instead(path)}.") from error
    except OSError:
        raise
    except Exception as error:  # torch raises many kinds for a damaged file, those of its own with a reason
        why = _instead(path) or (f": {first_line(error).rstrip('.')}" if isinstance(error, RuntimeError) else "")
        raise CheckpointError(f"{path} is damaged or no PyTorch file{why}.") from error


def _instead(path: Path) -> str:
    """What a file is that downloads leave in the place of weights, after a colon; nothing where it is none.

    Raises:
        OSError: If it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(200).lstrip()
    if not start:
        return ": it is empty"
    if start.startswith(b"version https://git-lfs"):
        return ": it is Git LFS's pointer to the weights, which `git lfs pull` fetches"
    if start.startswith(b"<"):
        return ": it is a web page, which a browser shows in the place of a download"
    return ""


def _filter(network: nn.Module) -> Callable[[dict[str, torch.Tensor], nn.Module], dict[str, torch.Tensor]]:
    """The function of the network's module that knows the released names."""
    found = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    return found or (lambda state, _: state)


def _count_classes(tensors: dict[str, torch.Tensor], model: nn.Module, path: Path) -> int:
    """Rows of the one Linear with a bias on the network's last vector, or what the network's own rules find; or 0."""
    width = model.head_hidden_size
    found = {
        name: weight.shape[0]
        for name, weight in tensors.items()
        if weight.ndim == 2 and weight.shape[1] == width and name.removesuffix(".weight") + ".bias" in tensors
    }
    if len(found) == 1:
        return next(iter(found.values()))
    try:
        return _classes_by_rules(tensors, model)
    except CheckpointError as error:
        if not found:
            return 0
        raise CheckpointError(f"{path}: {error}") from error


def _classes_by_rules(tensors: dict[str, torch.Tensor], model: nn.Module) -> int:
    """Classes of what the network's rules call its classifier, which they leave out where the count is another."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = _filter(model)(dict(tensors), model)
    left_out = [w.message.classes for w in caught if isinstance(w.message, CheckpointWarning) and w.message.classes]
    return left_out[0] if left_out else len(out.get("head.weight", ()))


def convert(
    source: str | Path, target: str | Path, model: str, num_classes: int | None = None, **kwargs: Any
) -> dict[str, Any]:
    """Write an author's checkpoint as safetensors under the names of a network of the zoo.

    Args:
        source: The `.pth`.
        target: The `.safetensors` to write; nothing is written unless the checkpoint fits.
        model: Name of the network.
        num_classes: Its classes; read off the checkpoint where None.
        **kwargs: Further arguments of the network, such as `img_size`.

    Returns:
        What was done: `model`, `num_classes`, `tensors` written, released names `dropped`.

    Raises:
        CheckpointError: If the file cannot be read safely, does not fit the network, or holds values that are
            not finite.
    """
    source, target = Path(source), Path(target)
    if target.suffix != ".safetensors":
        raise CheckpointError(f"The target must end in .safetensors, got {target}.")
    tensors = read_state_dict(source)
    try:
        network = create_model(model, **kwargs)
    except TypeError as error:
        raise CheckpointError(f"{model} does not take {kwargs}: {error}") from error
    if num_classes is None:
        num_classes = _count_classes(tensors, network, source)
    network = create_model(model, num_classes=num_classes, **kwargs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", CheckpointWarning)
            out = _filter(network)(dict(tensors), network)
    except CheckpointWarning as warning:
        raise CheckpointError(
            f"{source} has a classifier of {warning.classes} classes, not {num_classes}: leave --num-classes out."
        ) from warning
    try:
        network.load_state_dict(out, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"{source} does not fit {model} with {num_classes} classes: {error}") from error
    learnt = {name for name, _ in network.named_parameters()}
    broken = [  # a mask may well hold infinities
        name
        for name, tensor in network.state_dict().items()
        if tensor.isnan().any() or (name in learnt and not tensor.isfinite().all())
    ]
    if broken:
        raise CheckpointError(f"{source} holds values that are not finite in {', '.join(broken[:5])}: it is of no use.")
    # What is written is what the network holds, so that nothing the release left out stays missing.
    state = {name: tensor.contiguous().clone() for name, tensor in network.state_dict().items()}
    write_tensors(target, state, {"architecture": model.partition(".")[0], "num_classes": str(num_classes)})
    return {
        "model": model,
        "num_classes": num_classes,
        "tensors": len(state),
        "dropped": len(tensors) - len(out),
        "file": str(target),
    }
