"""The training loop: one process, resumable after any epoch, the best epoch kept."""

from __future__ import annotations

import math
import random
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from ..data.faces import FaceDataset, Faces
from ..data.fer2013 import read_ferplus
from ..data.transforms import train_transform
from ..errors import CheckpointError, LossError, RecipeError
from ..hub.load import load_model
from ..registry.factory import create_model
from .checkpoint import load_state, save_state, write_checkpoint, write_json
from .evaluate import evaluate
from .objective import Objective
from .recipe import Recipe

__all__ = ["train"]


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


class Run:
    """One run: data, network, optimiser, schedule and where it stands.

    An epoch's randomness is a function of the seed and the epoch alone, so that a resumed run repeats what
    an unbroken one would have done.
    """

    def __init__(self, recipe: Recipe, faces: dict[str, Faces] | None = None) -> None:
        """Read the data and build everything.

        Args:
            recipe: What to do.
            faces: The splits ``"train"`` and ``"validation"``, read from the recipe's folder where None.
        """
        self.recipe, self.folder = recipe, Path(recipe.out)
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        splits = faces or {s: read_ferplus(recipe.data, s, recipe.soft) for s in ("train", "validation")}
        train_faces, self.validation = splits["train"], splits["validation"]
        if recipe.limit:
            train_faces = train_faces.take(slice(recipe.limit))
        if len(train_faces) < recipe.batch_size:
            raise RecipeError(f"batch_size {recipe.batch_size} is more than the {len(train_faces)} training rows.")
        self.faces, self.unseen = train_faces, self.validation.unseen(train_faces)
        self._seed(-1)
        classes = len(train_faces.class_names)
        kwargs = {"num_classes": classes, **recipe.model_kwargs}
        # timm's attributes and methods are no part of nn.Module's type.
        try:
            self.model: Any = create_model(recipe.model, **kwargs)
        except TypeError as error:
            raise RecipeError(f"{recipe.model} does not take model_kwargs={recipe.model_kwargs}: {error}") from error
        if recipe.init:
            self._start_from(recipe.init)
        try:
            self.model.to(recipe.device)
        except (RuntimeError, AssertionError) as error:
            raise RecipeError(f"The device {recipe.device!r} cannot be used, take cpu: {error}") from error
        self.model.to(memory_format=torch.channels_last)
        self.cfg = self._cfg()
        self.objective = Objective(recipe, self.model, classes)
        self.steps = len(train_faces) // recipe.batch_size
        # OneCycleLR divides by the steps that it rises and falls: neither may be none.
        total = max(4, recipe.epochs * self.steps)
        rise = min(max(recipe.warmup, 1.5 / total), 1 - 1.5 / total)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.objective.optimizer, recipe.lr, total, pct_start=rise, cycle_momentum=False
        )
        self.epoch = 0
        self.history: list[dict[str, Any]] = []

    def _start_from(self, name: str) -> None:
        """Take over the weights of a trained network of the same architecture, but for another classifier."""
        state = load_model(name).state_dict()
        mine = self.model.state_dict()
        shared = {k: v for k, v in state.items() if k in mine and v.shape == mine[k].shape}
        lacking = [k for k in mine if k not in shared and not k.startswith("head.")]
        if lacking:
            raise RecipeError(f"init={name} does not fit {self.recipe.model}: it lacks {', '.join(lacking[:5])}.")
        self.model.load_state_dict({**mine, **shared})

    def _seed(self, epoch: int) -> None:
        seed = (self.recipe.seed * 10007 + epoch + 1) % 2**31
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)

    def _cfg(self) -> dict[str, Any]:
        """The cfg of the weights to come: this network at the recipe's last size and the data's classes."""
        base = {k: v for k, v in self.model.pretrained_cfg.items() if k not in ("file", "hf_hub_id", "url", "tag")}
        size = self.recipe.final_size
        names = self.faces.class_names
        channels = self.model.in_chans
        return {**base, "input_size": (channels, size, size), "num_classes": len(names), "label_names": names}

    @property
    def best(self) -> float:
        """Best validation accuracy so far, in percent."""
        return max((entry["accuracy"] for entry in self.history), default=-math.inf)

    def resume(self) -> None:
        """Continue from the folder's last finished epoch.

        Raises:
            CheckpointError: If there is no state, it is damaged, or it belongs to another recipe.
        """
        path = self.folder / "state.pt"
        if not path.is_file():
            raise CheckpointError(f"There is no run to resume: {path} does not exist. Start it without --resume.")
        state = load_state(path)
        mine, other = self.recipe.to_dict(), state["recipe"]
        # Where it runs and where it lies may change; what it computes may not.
        free = {"out", "data", "threads", "device", "compile"}
        defaults = Recipe().to_dict()
        changed = [k for k in mine if k not in free and mine[k] != other.get(k, defaults[k])]
        if changed:
            raise CheckpointError(f"{path} was started with another recipe; different: {', '.join(changed)}.")
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        self.schedule.load_state_dict(state["schedule"])
        self.epoch, self.history = state["epoch"], state["history"]

    def _save(self) -> None:
        state = {
            "recipe": self.recipe.to_dict(),
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "schedule": self.schedule.state_dict(),
            "epoch": self.epoch,
            "history": self.history,
        }
        save_state(self.folder / "state.pt", state)

    def _epoch(self) -> dict[str, float]:
        recipe, size = self.recipe, self.recipe.size_at(self.epoch)
        self._seed(self.epoch)
        self.model.train()
        transform = train_transform(self.cfg, size, recipe.rotation, recipe.translation, recipe.scale, recipe.erasing)
        dataset = FaceDataset(self.faces, transform, recipe.soft)
        loader = DataLoader(dataset, recipe.batch_size, shuffle=True, drop_last=True)
        terms = dict.fromkeys(self.objective.loss.names, 0.0)
        total, start = 0.0, time.monotonic()
        for step, (images, targets) in enumerate(loader, start=1):
            images = images.to(recipe.device, memory_format=torch.channels_last)
            try:
                loss = self.objective(images, targets.to(recipe.device))
            except LossError as error:
                raise RecipeError(f"loss={recipe.loss!r} does not fit: {error}") from error
            if not torch.isfinite(loss):
                raise CheckpointError(
                    f"The loss became {loss.item()} in epoch {self.epoch + 1}, step {step}. The last finished epoch "
                    f"is kept in {self.folder}; lower lr ({recipe.lr}) or set clip_grad."
                )
            self.objective.step(loss)
            self.schedule.step()
            total += loss.item()
            for name, value in self.objective.loss.last.items():
                terms[name] += value.item()
            if step % 25 == 0 or step == self.steps:
                rate = step * recipe.batch_size / (time.monotonic() - start)
                _say(
                    f"epoch {self.epoch + 1}/{recipe.epochs} step {step}/{self.steps} "
                    f"loss {total / step:.4f} {size} px {rate:.0f} faces/s"
                )
        return {"loss": total / self.steps, **{name: value / self.steps for name, value in terms.items()}}

    def step_epoch(self) -> dict[str, Any]:
        """Train an epoch, measure it, keep it where it is the best, and save the state."""
        start = time.monotonic()
        losses = self._epoch()
        size = self.recipe.size_at(self.epoch)
        result = evaluate(self.model, self.validation, self.cfg, self.unseen, size)
        self.epoch += 1
        entry = {
            "epoch": self.epoch,
            **{"loss": round(losses.pop("loss"), 5), "terms": {k: round(v, 5) for k, v in losses.items()}},
            "accuracy": result["accuracy"],
            "accuracy_unseen": result["unseen"]["accuracy"],
            "macro_f1": result["macro_f1"],
            "seconds": round(time.monotonic() - start, 1),
            "size": size,
        }
        # Weights of a smaller size are not what the run is for, unless it ends there.
        if size == self.cfg["input_size"][1] and result["accuracy"] > self._best_at(size):
            extra = {"grayscale": True, "labels": "ferplus", "epoch": self.epoch}
            write_checkpoint(self.folder, self.model, self.cfg, extra, self.recipe.model_kwargs)
            write_json(self.folder / "metrics.json", {"split": "validation", "epoch": self.epoch, **result})
        self.history.append(entry)
        self._save()
        write_json(self.folder / "history.json", self.history)
        return entry

    def _best_at(self, size: int) -> float:
        return max((e["accuracy"] for e in self.history if e["size"] == size), default=-math.inf)


def train(recipe: Recipe, resume: bool = False, faces: dict[str, Faces] | None = None) -> Path:
    """Train a network and write a checkpoint folder.

    Args:
        recipe: What to do.
        resume: Continue the run in the recipe's folder.
        faces: The splits ``"train"`` and ``"validation"``, read from the recipe's folder where None.

    Returns:
        The folder: `model.safetensors` and `config.json` of the best epoch by validation accuracy,
        `metrics.json`, `history.json`, `recipe.json`, and `state.pt` to resume from.

    Raises:
        CheckpointError: If the folder holds a run and `resume` is false, or cannot be resumed.
        DataError: If the data is missing or incomplete.
    """
    folder = Path(recipe.out)
    if not resume and (folder / "state.pt").exists():
        raise CheckpointError(f"{folder} already holds a run: continue it with --resume, or choose another out=.")
    run = Run(recipe, faces)
    if resume:
        run.resume()
        _say(f"resuming after epoch {run.epoch}/{recipe.epochs}")
    write_json(folder / "recipe.json", recipe.to_dict())
    while run.epoch < recipe.epochs:
        entry = run.step_epoch()
        _say(
            f"epoch {entry['epoch']}/{recipe.epochs} done in {entry['seconds']} s: validation accuracy "
            f"{entry['accuracy']} % (unseen {entry['accuracy_unseen']} %), best {run.best} %"
        )
    return folder
