"""Training images per second beside a plain timm loop: `python -m ferzoo.train.throughput`.

Three loops over the same faces, augmentation, network, batch, size, optimiser and loss are timed in turn, so that
whatever else the machine does meets them alike: ferzoo's own (`Run`), a plain loop of timm and PyTorch as its
documentation writes it, and the loader alone.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from timm.optim import create_optimizer_v2
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader

from ..data.faces import FaceDataset, Faces
from ..data.processors import processor
from ..data.transforms import train_transform
from ..labels import FERPLUS
from ..registry.factory import create_model
from .bfloat16 import autocast, is_native
from .loop import Run
from .memory import asked_for
from .recipe import Recipe

__all__ = ["throughput"]


def throughput(
    model: str = "lfnsb",
    size: int = 112,
    batch_size: int = 128,
    steps: int = 8,
    repeats: int = 3,
    workers: int = 0,
    threads: int = 0,
    device: str = "auto",
    amp: bool = False,
    bf16_pointwise: bool = False,
    fused_blocks: bool = False,
    compile: bool = False,
    side: int = 48,
    model_kwargs: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Measure training images per second, on faces of random pixels.

    Args:
        model: The network, with 8 classes.
        size: Input side in pixels.
        batch_size: Faces a step.
        steps: Steps of one timing.
        repeats: Timings of each loop, after one to warm up; the median counts.
        workers: Processes that load images, 0 for the main one.
        threads: CPU threads, 0 for torch's choice.
        device: `auto` for a GPU where there is one, or `cpu`.
        amp: As the recipe's `amp`, in both loops.
        bf16_pointwise: Compute the 1x1 convolutions in bfloat16, in ferzoo's loop alone.
        fused_blocks: As the recipe's `fused_blocks`, in ferzoo's loop alone.
        compile: Use `torch.compile`, in both loops.
        side: Side of the stored images in pixels, 48 as FER-2013's.
        model_kwargs: Further arguments of `create_model`.

    Returns:
        The setting, and images per second: `ferzoo`, `plain` and `loading`; `ratio`, the first over the second, the
        median of the repeats; `loading_ratio`, the third over the first: above 1, loading is not the bottleneck.
    """
    rng = np.random.default_rng(0)
    labels = np.arange(steps * batch_size) % len(FERPLUS)
    images = rng.integers(0, 256, (len(labels), side, side), dtype=np.uint8)
    faces = Faces(images, np.eye(len(FERPLUS), dtype=np.float32)[labels], labels.astype(np.int64), FERPLUS)
    with tempfile.TemporaryDirectory() as folder:
        recipe = Recipe(
            model=model,
            out=folder,
            epochs=2 * (repeats + 1),
            batch_size=batch_size,
            sizes={0: size},
            workers=workers,
            threads=threads,
            device=device,
            amp=amp,
            bf16_pointwise=bf16_pointwise,
            fused_blocks=fused_blocks,
            compile=compile,
            model_kwargs=model_kwargs or {},
        )
        run = Run(recipe, {"train": faces, "validation": faces.take(slice(batch_size))})
        loops = {"ferzoo": _ferzoo(run), "plain": _plain(run, recipe, faces), "loading": _loading(run, recipe, faces)}
        times: dict[str, list[float]] = {name: [] for name in loops}
        for repeat in range(repeats + 1):
            for name, loop in loops.items():
                start = time.perf_counter()
                loop()
                if run.processes.device.type == "cuda":
                    torch.cuda.synchronize()
                if repeat:
                    times[name].append(time.perf_counter() - start)
    rates = {name: len(faces) / statistics.median(taken) for name, taken in times.items()}
    pairs = [plain / own for own, plain in zip(times["ferzoo"], times["plain"], strict=True)]
    gpu = torch.cuda.get_device_name() if run.processes.device.type == "cuda" else None
    return {
        "model": model,
        "size": size,
        "batch_size": batch_size,
        "steps": steps,
        "repeats": repeats,
        "workers": workers,
        "threads": torch.get_num_threads(),
        "device": gpu or processor(),
        "dtype": "bfloat16 autocast" if amp and is_native(run.processes.device.type) else "float32",
        "bf16_pointwise": bf16_pointwise,
        "fused_blocks": fused_blocks,
        "compile": compile,
        "asked_for_huge_pages": asked_for(),
        **{name: round(rate, 1) for name, rate in rates.items()},
        "ratio": round(statistics.median(pairs), 3),
        "loading_ratio": round(rates["loading"] / rates["ferzoo"], 2),
    }


def _ferzoo(run: Run) -> Callable[[], object]:
    """An epoch of ferzoo's loop, without the measurement and the files that follow it."""

    def epoch() -> None:
        run._epoch()
        run.epoch += 1

    return epoch


def _loader(run: Run, recipe: Recipe, faces: Faces) -> DataLoader[Any]:
    transform = train_transform(
        run.cfg, recipe.size_at(0), recipe.rotation, recipe.translation, recipe.scale, recipe.erasing, recipe.flip
    )
    return DataLoader(
        FaceDataset(faces, transform, recipe.soft),
        recipe.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=recipe.workers,
        pin_memory=run.processes.device.type == "cuda",
    )


def _plain(run: Run, recipe: Recipe, faces: Faces) -> Callable[[], object]:
    """An epoch of a loop of timm and PyTorch alone."""
    device = run.processes.device
    network: Any = create_model(recipe.model, num_classes=len(faces.class_names), **recipe.model_kwargs)
    network = network.to(device, memory_format=torch.channels_last).train()
    optimizer = create_optimizer_v2(network, opt=recipe.opt, lr=recipe.lr, weight_decay=recipe.weight_decay)
    forward = torch.compile(network) if recipe.compile else network
    loader = _loader(run, recipe, faces)

    def epoch() -> None:
        for images, targets in loader:
            images = images.to(device, non_blocking=True, memory_format=torch.channels_last)
            targets = targets.to(device, non_blocking=True)
            with autocast(device.type, recipe.amp):
                logits = forward(images)
            loss = cross_entropy(logits.float(), targets)
            optimizer.zero_grad()
            loss.backward()
            if recipe.clip_grad:
                torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip_grad)
            optimizer.step()

    return epoch


def _loading(run: Run, recipe: Recipe, faces: Faces) -> Callable[[], object]:
    """An epoch of the loader alone."""
    loader = _loader(run, recipe, faces)
    return lambda: sum(len(targets) for _, targets in loader)


def main() -> None:
    """Parse the arguments, measure and print JSON."""
    parser = argparse.ArgumentParser(prog="python -m ferzoo.train.throughput", description=__doc__)
    parser.add_argument("--model", default="lfnsb")
    parser.add_argument("--size", type=int, default=112, help="input side in pixels")
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--steps", type=int, default=8, help="steps of one timing")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, default=0, help="processes that load images")
    parser.add_argument("--threads", type=int, default=0, help="CPU threads")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--amp", action="store_true", help="bfloat16 autocast")
    parser.add_argument("--bf16-pointwise", action="store_true", help="1x1 convolutions in bfloat16, in ferzoo's loop")
    parser.add_argument("--fused-blocks", action="store_true", help="as the recipe says, in ferzoo's loop")
    parser.add_argument("--compile", action="store_true", help="torch.compile, in both loops")
    parser.add_argument("--side", type=int, default=48, help="side of the stored images")
    print(json.dumps(throughput(**vars(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
