"""What a loss costs beside a training step: `python -m ferzoo.train.loss_cost`."""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from ..data.faces import Faces
from ..labels import FERPLUS
from ..registry.factory import create_loss, create_model
from .objective import Objective
from .processes import Processes
from .recipe import Recipe

__all__ = ["loss_cost"]


def _median(run: Callable[[], Any], repeats: int) -> float:
    """Median seconds of a call, after one to warm up."""
    run()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def loss_cost(
    loss: str = "cosine_harmony", model: str = "lfnsb", batch: int = 256, size: int = 112, repeats: int = 3
) -> dict[str, Any]:
    """Time value and gradient of a loss beside a step of a network under cross-entropy.

    Args:
        loss: A registered loss over features.
        model: The network, with 8 classes.
        batch: Faces N.
        size: Input side in pixels.
        repeats: Steps to take the median of; the loss is repeated a hundred times as often.

    Returns:
        `loss_ms`, `step_ms`, and `percent`, the first in percent of the second.
    """
    torch.manual_seed(0)
    classes = len(FERPLUS)
    recipe = Recipe(model=model, batch_size=batch, device="cpu")
    network: Any = create_model(model, num_classes=classes).train().to(memory_format=torch.channels_last)
    eye = np.eye(classes, dtype=np.float32)
    faces = Faces(np.zeros((classes, 1, 1), np.uint8), eye, eye.argmax(1), FERPLUS)
    objective = Objective(recipe, network, faces, network.pretrained_cfg, Processes("cpu"))
    images = torch.randn(batch, network.in_chans, size, size).to(memory_format=torch.channels_last)
    labels = torch.softmax(torch.randn(batch, classes), 1)
    features = torch.randn(batch, network.num_features, requires_grad=True)
    term = create_loss(loss, num_classes=classes, feat_dim=network.num_features)
    step = _median(lambda: objective.step(images, labels), repeats)
    cost = _median(lambda: term(features, labels).backward(), 100 * repeats)
    return {
        "loss": loss,
        "features": [batch, network.num_features],
        "classes": classes,
        "step": f"{model}, {size} px, {batch} faces, float32, eager",
        "threads": torch.get_num_threads(),
        "machine": platform.machine(),
        "loss_ms": round(1000 * cost, 3),
        "step_ms": round(1000 * step, 1),
        "percent": round(100 * cost / step, 4),
    }


def main() -> None:
    """Parse the arguments, measure and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m ferzoo.train.loss_cost", description=__doc__)
    parser.add_argument("--loss", default="cosine_harmony")
    parser.add_argument("--model", default="lfnsb")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--repeats", type=int, default=3)
    print(json.dumps(loss_cost(**vars(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
