"""Accuracy of a network on faces: on all rows, those never trained on, and those that people agree on."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader

from ..data.faces import FaceDataset, Faces
from ..data.metrics import accuracy_by_angle, calibration_metrics, classification_metrics
from ..data.transforms import eval_transform
from ..errors import CheckpointError, DataError, FerzooError, first_line
from ..models.modes import eval_mode
from ..registry.channels import cfg_of_input
from ..registry.exported import is_exported
from ..registry.load import OnnxModule, load_model, wants_grey
from .measured import Measured, Progress, read_measured
from .shared_classes import SharedClasses, share_classes

__all__ = ["evaluate", "on_device", "predict_logits"]


@torch.inference_mode()
def predict_logits(
    model: nn.Module,
    faces: Faces,
    cfg: dict[str, Any],
    size: int | None = None,
    flip: bool = False,
    batch: int = 256,
    grayscale: bool = True,
    progress: Progress | None = None,
) -> np.ndarray:
    """Logits (N, C) of every face, in order; the network's mode and device are kept.

    Args:
        model: The network.
        faces: The faces.
        cfg: The pretrained cfg with the preprocessing.
        size: Input side in pixels, the cfg's where None.
        flip: Average the log-probabilities of each face and its mirror image.
        batch: Faces at a time; one at a time where the network takes pictures, which need not be of one size.
        grayscale: Take the colours away first, as `ferzoo train` does.
        progress: Told how many faces are done.

    Raises:
        DataError: If there are no faces, an image cannot be decoded, or grey faces do not fit the cfg's channels.
        InputSizeError: If the network does not take faces of this size.
        CheckpointError: If an ONNX file does not take them.
    """
    if not len(faces):
        raise DataError("There are no faces to classify: the split is empty. Give one face or more.")
    like = next(model.parameters(), torch.empty(0))
    pictures = isinstance(model, OnnxModule) and model.file.preprocess
    dataset = FaceDataset(faces, _pixels if pictures else eval_transform(cfg, size, grayscale))
    out: list[np.ndarray] = []
    done = 0
    with eval_mode(model):
        for images, _ in DataLoader(dataset, batch_size=1 if pictures else batch):
            images = images.to(like.device, like.dtype, memory_format=torch.channels_last)
            logits = model(images).float()
            if flip:
                logits = (logits.log_softmax(1) + model(images.flip(3)).float().log_softmax(1)) / 2
            out.append(logits.cpu().numpy())
            done += len(logits)
            if progress:
                progress("classifying faces", done, len(faces))
    return np.concatenate(out)


def evaluate(
    model: nn.Module | str | os.PathLike[str],
    data: Faces | Measured | str | os.PathLike[str],
    cfg: dict[str, Any] | None = None,
    unseen: np.ndarray | None = None,
    size: int | None = None,
    flip: bool = False,
    *,
    dataset: str | None = None,
    split: str = "validation",
    strict: bool = True,
    skip_damaged: bool = False,
    class_names: Sequence[str] | None = None,
    columns: Sequence[str] | None = None,
    grayscale: bool | None = None,
    batch: int = 256,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Metrics on all rows, on the unseen ones under ``"unseen"``, and on the others under ``"seen"``.

    Where the data has other classes than the network, both are compared on those that they share, by
    `ferzoo.labels.map_labels`: rows of other classes are left out, and so are the network's outputs for classes that
    the data lacks.

    Args:
        model: The network, or what `load_model` takes: a name with weights, a checkpoint folder, `hf-hub:`, `.onnx`,
            also one with the preprocessing inside.
        data: The folder of a data set, what `read_measured` made of it, or faces.
        cfg: The pretrained cfg with preprocessing and label names, the network's own where None.
        unseen: Mask (N,) of the rows never trained on; where `data` is a folder it is found.
        size: Input side in pixels, the cfg's where None.
        flip: Test-time flip, which the result states.
        dataset: Name of the data set, where `data` is a folder; where None, that of the weights, as `dataset_of` finds
            it, or FERPlus where nothing says it. The result says which.
        split: Its split to measure on.
        strict: As in `ferzoo.data.readers.read_faces`, where `data` is a folder.
        skip_damaged: The same.
        class_names: As in `read_measured`, where `data` is a folder.
        columns: The same.
        grayscale: Take the colours away first. Where None: as the weights say; with a `cfg`, yes, as `ferzoo train`
            does.
        batch: Faces at a time.
        device: As `on_device` takes it. Where None, a given network stays where it is, and all else is ``"auto"``.
        progress: Told what is being done.

    Returns:
        `dataset` and `split` where known; `classes`; `flip`; `size`; `rows`, `accuracy`, `balanced_accuracy`,
        `macro_f1`, `recall`, `confusion`, `calibration_error` and `nll` of all rows; the same under `unseen` where
        known, or else why not under `unseen_missing`; under `seen`, where there are any, those of the rows whose image
        was also trained on; under `agreed`, where the targets are shares of votes, those of the rows where one class
        of the data has over half of them, without recall and confusion; `angles` where the data has them;
        `rows_skipped`, and `classes_left_out` and `outputs_left_out` where data and network differ. All but `nll` in
        percent. The figures of `unseen` and `agreed` are None where these have no rows.

    Raises:
        DataError: If the data cannot be read, is empty, or shares fewer than two classes with the network; as
            `read_measured` where `dataset` is None.
        UnknownNameError: If there is no such network, data set or split; names the nearest.
        CheckpointError: If the weights cannot be loaded, or outputs and label names differ.
        FerzooError: If the device cannot be used.

    Examples:
        >>> import ferzoo
        >>> result = ferzoo.evaluate("lfnsb.ferplus", "FOLDER")  # doctest: +SKIP
    """
    if isinstance(model, nn.Module):
        network: Any = model
    else:
        network = OnnxModule(model, pictures=True) if is_exported(model) else load_model(model)
    if device is not None or network is not model:
        network = on_device(network, device or "auto")
    if grayscale is None:
        grayscale = cfg is not None or wants_grey(network)
    if cfg is None:
        cfg = dict(getattr(network, "pretrained_cfg", None) or {})
        cfg = cfg_of_input(network, cfg) if cfg.get("input_size") else cfg
    names = _label_names(cfg)
    if isinstance(data, Faces):
        measured = Measured(data, "", "", unseen)
    elif isinstance(data, Measured):
        measured = data
    else:
        reading: dict[str, Any] = {"strict": strict, "skip_damaged": skip_damaged, "progress": progress}
        reading |= {"class_names": class_names, "columns": columns}
        measured = read_measured(data, dataset, split, networks=[network], **reading)
    shared = share_classes(measured.faces, names)
    faces = measured.faces if len(shared.rows) == len(measured.faces) else measured.faces.take(shared.rows)
    logits = predict_logits(network, faces, cfg, size, flip, batch, grayscale, progress)
    _check_outputs(logits, names)
    result: dict[str, Any] = {}
    if measured.dataset:
        result |= {"dataset": measured.dataset, "split": measured.split}
    result |= {"classes": list(shared.names), "flip": flip, "size": size or cfg["input_size"][1]}
    # A mean of log-probabilities is normalised by the softmax, over whichever outputs are left.
    scores = torch.from_numpy(logits[:, shared.columns]).double().softmax(1).numpy()
    mask = None if measured.unseen is None else measured.unseen[shared.rows]
    return result | _figures(faces, shared, scores, mask, measured.why)


def on_device(network: Any, device: str | torch.device) -> Any:
    """Move a network.

    Args:
        network: The network; an ONNX file's stays on the CPU.
        device: ``"auto"`` for CUDA where there is one and the CPU elsewhere, or torch's name: ``"cpu"``, ``"cuda"``,
            ``"cuda:1"``, ``"mps"``.

    Raises:
        FerzooError: If the device cannot be used.
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return network.to(torch.device(device))
    except (RuntimeError, AssertionError) as error:
        why = first_line(error)
        raise FerzooError(f"The device {str(device)!r} cannot be used, take auto or cpu: {why}") from error


def _pixels(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1)


def _label_names(cfg: dict[str, Any]) -> tuple[str, ...]:
    names = tuple(cfg.get("label_names") or ())
    if not names:
        raise DataError(
            "The network does not name its classes, so that its outputs cannot be compared with labels: set "
            "pretrained_cfg['label_names'], in the config.json of a checkpoint folder, in the order of the outputs."
        )
    return names


def _check_outputs(logits: np.ndarray, names: tuple[str, ...]) -> None:
    if logits.ndim != 2 or logits.shape[1] != len(names):
        raise CheckpointError(
            f"The network gives outputs of the shape {logits.shape[1:]} for a face, and its cfg has {len(names)} label "
            f"names: {', '.join(names)}."
        )
    if not np.isfinite(logits).all():
        raise CheckpointError("The network gives NaN or infinity: its weights are damaged, or its dtype is too narrow.")


def _figures(
    faces: Faces, shared: SharedClasses, scores: np.ndarray, unseen: np.ndarray | None, why: str
) -> dict[str, Any]:
    """The metrics of all rows, and of their parts."""
    labels, predictions, count = shared.labels, scores.argmax(1), len(shared.names)

    def part(rows: Any) -> dict[str, Any]:
        found = classification_metrics(labels[rows], predictions[rows], count)
        confusion = found.pop("confusion")
        return {**found, **calibration_metrics(labels[rows], scores[rows]), "confusion": confusion}

    result = part(slice(None))
    if unseen is not None:
        result["unseen"] = part(unseen)
        if not unseen.all():
            result["seen"] = part(~unseen)
    elif why:
        result["unseen_missing"] = why
    shares = faces.targets.max(1)
    if (shares < 1).any():
        agreed = part(shares > 0.5)
        result["agreed"] = {key: value for key, value in agreed.items() if key not in ("recall", "confusion")}
    if faces.angles is not None:
        result["angles"] = accuracy_by_angle(labels, predictions, faces.angles)
    result["rows_skipped"] = shared.skipped
    if shared.left_out:
        result["classes_left_out"] = shared.left_out
    if shared.outputs_left_out:
        result["outputs_left_out"] = list(shared.outputs_left_out)
    return result
