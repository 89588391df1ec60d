"""A network ready to classify crops: device, preprocessing, label names and the forward pass."""

from __future__ import annotations

import contextlib
import copy
import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from ..deploy.fuse import fuse
from ..errors import CheckpointError, FerzooError, OptionError, first_line
from ..registry.channels import cfg_of_input
from ..registry.config import with_defaults
from ..registry.load import load_model, wants_grey
from .layers import private
from .preprocessing import Preprocessing

__all__ = ["Network", "limit_threads"]


@contextlib.contextmanager
def limit_threads(count: int | None) -> Iterator[None]:
    """Let torch use `count` threads within the block; None leaves it alone."""
    before = torch.get_num_threads()
    if count is None or count == before:
        yield
        return
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Network:
    """A network with the preprocessing and the label names that its cfg states."""

    def __init__(
        self,
        model: str | os.PathLike[str] | nn.Module,
        embedding: bool = False,
        device: str | torch.device | None = None,
        dtype: str | torch.dtype | None = None,
    ) -> None:
        """Load the network and check that it can classify; the arguments are those of `Predictor`."""
        # timm's methods are no part of nn.Module's type.
        self.model: Any = model if isinstance(model, nn.Module) else load_model(model).eval()
        self.embedding = embedding
        cfg = _cfg(self.model)
        self.labels = _labels(self.model, cfg)
        #: Part of a crop's side that preprocessing keeps, in the middle.
        self.crop_pct = float(cfg["crop_pct"])
        self._preprocessing = Preprocessing(cfg, wants_grey(self.model), _name(model))
        self.pixels = self._preprocessing.pixels
        if embedding and not (hasattr(self.model, "forward_features") and hasattr(self.model, "forward_head")):
            raise OptionError(f"embedding=True needs a network with forward_features and forward_head: {_name(model)}.")
        self._move(device, dtype)
        self._given = isinstance(model, nn.Module)

    @cached_property
    def fast(self) -> Any:
        """What computes: a network that somebody gave may still change, another is fused, where that was measured."""
        like = next(self.model.parameters(), torch.empty(0))
        return self.model if self._given or like.device.type != "cpu" else fuse(self.model)

    def private(self) -> Network:
        """The same with a `model` to look into, on which one thread may put hooks; see `ferzoo.predict.layers.private`.

        Raises:
            FerzooError: If it cannot be copied.
        """
        fast, other = self.fast, copy.copy(self)
        other.model = private(self.model)
        other.fast = other.model if fast is self.model else fast
        return other

    def _move(self, device: str | torch.device | None, dtype: str | torch.dtype | None) -> None:
        kind = getattr(torch, dtype, None) if isinstance(dtype, str) else dtype
        # With one byte and less torch stores numbers, and does not compute.
        if dtype is not None and not (isinstance(kind, torch.dtype) and kind.is_floating_point and kind.itemsize > 1):
            raise OptionError(f"dtype must be a floating type such as 'float32' or 'bfloat16', got {dtype!r}.")
        if device is not None and str(device).split(":")[0] == "meta":
            raise OptionError("The device 'meta' computes nothing, take 'cpu'.")
        try:
            self.model.to(device=torch.device(device) if device is not None else None, dtype=kind)
        except (RuntimeError, AssertionError) as error:
            raise FerzooError(f"The device {str(device)!r} cannot be used, take 'cpu': {first_line(error)}") from error

    def limited(self, threads: int | None) -> contextlib.AbstractContextManager[None]:
        """Within it torch uses this many threads; None leaves it alone."""
        return limit_threads(threads)

    def batch(self, crops: Sequence[np.ndarray]) -> torch.Tensor:
        """Crops that `pixels` gave, normalised, (N, C, H, W): where and in what type the network computes."""
        like = next(self.model.parameters(), None)
        batch = torch.from_numpy(self._preprocessing.batch(crops))
        return batch if like is None else batch.to(device=like.device, dtype=like.dtype)

    def __call__(self, crops: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray | None]:
        """Classify one or more crops that `pixels` gave; see `run`."""
        return self.run(self.batch(crops))

    @torch.inference_mode()
    def run(self, batch: torch.Tensor) -> tuple[np.ndarray, np.ndarray | None]:
        """Classify what `batch` gave.

        Returns:
            Probabilities (N, classes), float64, and embeddings (N, D), float32, or None.

        Raises:
            CheckpointError: If the outputs are not finite or not as many as there are labels.
        """
        # A training loop that calls this may have put it back to training mode.
        self.fast.eval()
        embeddings = None
        if self.embedding:
            features = self.fast.forward_features(batch)
            embeddings = self.fast.forward_head(features, pre_logits=True).flatten(1).float().cpu().numpy()
            logits = self.fast.forward_head(features)
        else:
            logits = self.fast(batch)
        if logits.ndim != 2 or logits.shape[1] != len(self.labels):
            raise CheckpointError(
                f"{_name(self.model)} gives {tuple(logits.shape)} for {len(batch)} faces and has {len(self.labels)} "
                "label names: give it a classifier and pretrained_cfg['label_names'] of one length."
            )
        # In double precision, so that scores sum to one in half precision too.
        scores = logits.double().softmax(1).cpu().numpy()
        if not np.isfinite(scores).all():
            raise CheckpointError(
                f"{_name(self.model)} gives NaN or infinity: its weights are damaged, or its dtype is too narrow."
            )
        return scores, embeddings


def _name(model: Any) -> str:
    return type(model).__name__ if isinstance(model, nn.Module) else repr(os.fspath(model))


def _cfg(model: nn.Module) -> dict[str, Any]:
    cfg = getattr(model, "pretrained_cfg", None)
    cfg = cfg if isinstance(cfg, Mapping) else {}
    missing = [key for key in ("input_size", "mean", "std") if not cfg.get(key)]
    if missing:
        raise OptionError(
            f"{_name(model)} does not say how its input is made: set its pretrained_cfg, a dict with input_size "
            f"(channels, height, width), mean and std; missing: {', '.join(missing)}."
        )
    return with_defaults(cfg_of_input(model, cfg))


def _labels(model: nn.Module, cfg: Mapping[str, Any]) -> tuple[str, ...]:
    """Label names of the cfg; "class 0" and so on where it has none, for a guess could be wrong."""
    count = getattr(model, "num_classes", cfg.get("num_classes"))
    if count == 0:
        raise OptionError(f"{_name(model)} has no classifier (num_classes is 0): there is nothing to name faces with.")
    names = tuple(str(name) for name in cfg.get("label_names") or ())
    if not names:
        if not count:
            raise OptionError(f"{_name(model)} has neither num_classes nor pretrained_cfg['label_names']: set one.")
        return tuple(f"class {i}" for i in range(count))
    if len(set(names)) < len(names):
        raise CheckpointError(f"The label names of {_name(model)} repeat: {', '.join(names)}.")
    if count and count != len(names):
        raise CheckpointError(
            f"{_name(model)} has {count} classes and {len(names)} label names ({', '.join(names)}): its classifier is "
            "not the one that these name. Set pretrained_cfg['label_names']."
        )
    return names
