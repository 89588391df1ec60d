"""Accuracy of a network on faces, on all rows and on those never trained on."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader

from ..data.faces import FaceDataset, Faces
from ..data.metrics import classification_metrics
from ..data.transforms import eval_transform

__all__ = ["evaluate", "predict_logits"]


@torch.inference_mode()
def predict_logits(
    model: nn.Module, faces: Faces, cfg: dict[str, Any], size: int | None = None, flip: bool = False, batch: int = 256
) -> np.ndarray:
    """Logits (N, C) of every face, in order; the network's mode is kept.

    Args:
        model: The network.
        faces: The faces.
        cfg: The pretrained cfg with the preprocessing.
        size: Input side in pixels, the cfg's where None.
        flip: Average the log-probabilities of each face and its mirror image.
        batch: Faces at a time.
    """
    training, device = model.training, next(model.parameters()).device
    model.eval()
    loader = DataLoader(FaceDataset(faces, eval_transform(cfg, size)), batch_size=batch)
    out = []
    for images, _ in loader:
        images = images.to(device, memory_format=torch.channels_last)
        logits = model(images).float()
        if flip:
            logits = logits.log_softmax(1) + model(images.flip(3)).float().log_softmax(1)
        out.append(logits.cpu().numpy())
    model.train(training)
    return np.concatenate(out)


def evaluate(
    model: nn.Module,
    faces: Faces,
    cfg: dict[str, Any],
    unseen: np.ndarray | None = None,
    size: int | None = None,
    flip: bool = False,
) -> dict[str, Any]:
    """Metrics on all rows, and on the unseen ones under ``"unseen"``.

    Args:
        model: The network.
        faces: The faces.
        cfg: The pretrained cfg with the preprocessing.
        unseen: Mask (N,) of the rows never trained on.
        size: Input side in pixels, the cfg's where None.
        flip: Test-time flip, which the result states.
    """
    predictions = predict_logits(model, faces, cfg, size, flip).argmax(1)
    classes = len(faces.class_names)
    result = {"flip": flip, **classification_metrics(faces.labels, predictions, classes)}
    if unseen is not None:
        result["unseen"] = classification_metrics(faces.labels[unseen], predictions[unseen], classes)
    return result
