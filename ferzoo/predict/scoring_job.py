"""How a scoring job predicts, how far it is, and everything that its rows depend on."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ..weights.folders import sha256_of
from .faces import Detector
from .images import printable
from .predictor import Predictor
from .scoring_sources import Source

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Settings", "State", "difference", "facts_of", "weights_of"]


@dataclass(frozen=True)
class Settings:
    """How the images are predicted; the arguments of `Predictor`, and the image threads."""

    model: str | os.PathLike[str] | nn.Module = "lfnsb"
    detect: bool = True
    detector: Detector | None = None
    margin: float | None = None
    min_face: int | None = None
    device: str | None = None
    dtype: str | None = None
    threads: int | None = None
    batch_size: int = 64
    workers: int | None = None

    def predictor(self, **changed: Any) -> Predictor:
        """The predictor of these settings."""
        options = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "workers"}
        return Predictor(**{**options, **changed})


@dataclass(frozen=True)
class State:
    """How far a job is.

    Attributes:
        part: Part of the source that the next image is in.
        index: Its number there.
        images: Images done.
        faces: Faces found in them.
        faceless: Images without a face that could be read.
        errors: Images that could not be read.
        rows: Rows written.
        size: Bytes written.
        seconds: Time spent, over all runs of the job.
        finished: Whether nothing is left to do.
        broken: Whether the source could not be read on from here.
    """

    part: int = 0
    index: int = 0
    images: int = 0
    faces: int = 0
    faceless: int = 0
    errors: int = 0
    rows: int = 0
    size: int = 0
    seconds: float = 0.0
    finished: bool = False
    broken: bool = False


def facts_of(
    settings: Settings, predictor: Predictor, source: Source, keep: Sequence[str], form: str
) -> dict[str, Any]:
    """Everything that the rows depend on, for JSON: a job goes on only where it is the same.

    Args:
        settings: How.
        predictor: Made of them.
        source: The images.
        keep: Columns of the source that go into the rows.
        form: What the rows are appended as, ".csv" or ".jsonl".
    """
    detector, model = predictor.detector, settings.model
    return {
        "source": source.facts,
        "model": os.fspath(model) if isinstance(model, str | os.PathLike) else type(model).__name__,
        "weights": weights_of(predictor.network),
        "labels": list(predictor.labels),
        "detector": None if detector is None else getattr(detector, "__qualname__", type(detector).__qualname__),
        "margin": predictor.margin,
        "min_face": settings.min_face,
        "device": settings.device or "cpu",
        "dtype": settings.dtype,
        "batch_size": predictor.batch_size,
        "keep": list(keep),
        "format": form,
    }


def weights_of(network: Any) -> str:
    """Hex sha256 of a network's kind, weights and preprocessing, or of its ONNX file; its name does not matter."""
    if hasattr(network, "file"):
        return sha256_of(network.file.path)
    import torch

    from ..registry.load import wants_grey

    cfg = network.model.pretrained_cfg
    stated = ("architecture", "input_size", "mean", "std", "interpolation", "crop_pct")
    how = [type(network.model).__qualname__, wants_grey(network.model), *map(cfg.get, stated)]
    digest = hashlib.sha256(repr([list(v) if isinstance(v, tuple) else v for v in how]).encode())
    for name, tensor in sorted(network.model.state_dict().items()):
        values = tensor.detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def difference(old: Mapping[str, Any], new: Mapping[str, Any], begun: int | None = None) -> str:
    """What the facts of two jobs differ in, the rest of a sentence; "" where a job may go on as the other.

    The model's name may differ where the weights are the same: a file has more than one path.

    Args:
        old: Those of the one that goes on.
        new: Those of the other.
        begun: Parts of the source that were begun, for the others may differ; None where none may.
    """
    same_model = old.get("weights") is not None and old.get("weights") == new.get("weights")
    parts = []
    for key in dict.fromkeys((*old, *new)):
        before, after = old.get(key), new.get(key)
        if before == after or (key == "model" and same_model):
            continue
        if key == "source" and isinstance(before, dict) and isinstance(after, dict):
            if not _same_source(before, after, begun):
                parts.append(_other_source(before, after))
        elif key == "weights":
            parts.append("the model has other weights, or is another network")
        else:
            parts.append(f"{key} was {json.dumps(before)} and is {json.dumps(after)}")
    return "; ".join(parts)


def _same_source(old: Mapping[str, Any], new: Mapping[str, Any], begun: int | None) -> bool:
    """Whether the first parts are the same; all of them where None."""
    if "parts" not in old:  # written by a ferzoo that compared all of it
        return all(new.get(key) == value for key, value in old.items())
    if begun is None:
        return old == new
    if begun and old["folder"] and new["folder"] and old["folder"] != new["folder"]:
        return False
    return bool(old["parts"][:begun] == new["parts"][:begun])


def _other_source(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    if old.get("folder") and new.get("folder") != old["folder"]:
        return f"its source has relative names, which count from {printable(old['folder'])}: start it there"
    if old.get("sha256") == new.get("sha256") and old.get("images") == new.get("images"):
        return "its source has relative names, and it was begun by a ferzoo that did not note the folder: begin anew"
    if old.get("images") != new.get("images"):
        return f"the source is another (it had {old.get('images')} images and has {new.get('images')})"
    return "the source is another (its names, or the size or date of a table or archive, have changed)"
