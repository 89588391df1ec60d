"""The training loop: resumable after any epoch, the best epoch kept, one process or many."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.utils import ModelEmaV3

from ..data.faces import Faces
from ..errors import CheckpointError, LossError, RecipeError, reworded
from .batches import make_loader, make_mixing
from .checkpoint import (
    alone,
    check_free,
    check_resumable,
    clear_unfinished,
    digests,
    load_state,
    save_state,
    write_checkpoint,
    write_json,
)
from .convergence import out_of_patience
from .evaluate import evaluate
from .network import build_network, cfg_to_come, try_sizes
from .objective import Objective
from .processes import Processes
from .readme import write_readme
from .recipe import Recipe
from .records import checkpoint_facts, environment, write_history_csv, write_tensorboard
from .relabel import Relabelling
from .schedule import Schedule
from .seeds import seed_epoch
from .splits import KEYS, measured_split, read_splits
from .teacher import mixed_targets

__all__ = ["Run", "train"]


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

        Raises:
            DataError, RecipeError, UnknownNameError: As `train` says.
        """
        self.recipe, self.folder = recipe, Path(recipe.out)
        if recipe.threads:
            torch.set_num_threads(recipe.threads)
        self.processes = Processes(recipe.device)
        self.faces, self.validation = read_splits(recipe, faces)
        #: What the state remembers of the rows, to know them again; labels and targets of those trained on may change.
        with reworded(KEYS):
            self.rows, self.measured_rows = digests(self.faces), digests(self.validation)
        #: Mask of the validation rows that are not trained on, which the first measurement finds.
        self.unseen: np.ndarray | None = None
        seed_epoch(recipe.seed, -1, self.processes.rank)
        classes = len(self.faces.class_names)
        # timm's attributes and methods are no part of nn.Module's type.
        self.model: Any = build_network(recipe, classes)
        self.model.to(self.processes.device, memory_format=torch.channels_last)
        self.cfg = cfg_to_come(recipe, self.model, self.faces.class_names)
        try_sizes(recipe, self.model, self.cfg)
        self.ema = ModelEmaV3(self.model, decay=recipe.ema, use_warmup=True) if recipe.ema else None
        self.steps = len(self.faces) // recipe.batch_size
        self.objective = Objective(recipe, self.model, self.faces, self.cfg, self.processes)
        self.schedule = Schedule(self.objective.optimizer, recipe, self.steps)
        self.mixing = make_mixing(recipe, classes)
        self.relabelling = Relabelling(recipe) if recipe.relabel else None
        self.epoch = 0
        self.history: list[dict[str, Any]] = []

    @property
    def scores(self) -> list[float]:
        """Validation accuracies in percent at the last size, which a run is for: others neither count nor are kept."""
        return [entry["accuracy"] for entry in self.history if entry["size"] == self.recipe.final_size]

    @property
    def best(self) -> float:
        """Best of these so far; of all epochs where none has the last size yet."""
        return max(self.scores or (entry["accuracy"] for entry in self.history), default=-math.inf)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or none was better for `patience` of them."""
        return self.epoch >= self.recipe.epochs or out_of_patience(self.scores, self.recipe.patience)

    def resume(self) -> None:
        """Continue from the folder's last finished epoch.

        Raises:
            CheckpointError: If there is no state, it is damaged, or it belongs to another recipe.
        """
        path = self.folder / "state.pt"
        if not path.is_file():
            raise CheckpointError(f"There is no run to resume: {path} does not exist. Start it without --resume.")
        state = load_state(path)
        if note := check_resumable(path, state, self.recipe, self.processes.count, self.rows):
            self.processes.say(note)
        self.model.load_state_dict(state["model"])
        if self.ema:
            self.ema.module.load_state_dict(state["ema"])
        self.objective.load_state_dict(state["objective"])
        self.schedule.load_state_dict(state["schedule"])
        if "labels" in state:
            self.faces = replace(self.faces, labels=state["labels"].numpy())
        if "targets" in state:
            self.faces = replace(self.faces, targets=state["targets"].numpy())
        if "unseen" in state and self.recipe.unseen and state.get("measured") == self.measured_rows:
            self.unseen = state["unseen"].numpy()
        self.epoch, self.history = state["epoch"], state["history"]

    def _save(self) -> None:
        state = {
            "recipe": self.recipe.to_dict(),
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "schedule": self.schedule.state_dict(),
            "processes": self.processes.count,
            **self.rows,
            "epoch": self.epoch,
            "history": self.history,
        }
        if self.ema:
            state["ema"] = self.ema.module.state_dict()
        if self.relabelling:
            state["labels"] = torch.from_numpy(self.faces.labels)
        if self.recipe.distill_once:
            state["targets"] = torch.from_numpy(self.faces.targets)
        if self.unseen is not None:
            state["unseen"], state["measured"] = torch.from_numpy(self.unseen), self.measured_rows
        save_state(self.folder / "state.pt", state)

    def _epoch(self) -> dict[str, Any]:
        recipe, size = self.recipe, self.recipe.size_at(self.epoch)
        seed = seed_epoch(recipe.seed, self.epoch, self.processes.rank)
        self.model.train()
        loader = self.processes.share(make_loader(recipe, self.faces, self.cfg, size, seed, self.processes.rank))
        terms: dict[str, float] = {}
        total, start = 0.0, time.monotonic()
        for step, (images, targets, *rows) in enumerate(loader, start=1):
            images = images.to(self.processes.device, memory_format=torch.channels_last)
            targets = targets.to(self.processes.device)
            if self.mixing:
                images, targets = self.mixing(images, targets)
            try:
                loss = self.objective.step(images, targets).item()
            except LossError as error:
                raise RecipeError(f"loss={recipe.loss!r} does not fit: {error}") from error
            if not math.isfinite(loss):
                raise self._diverged(f"The loss or its gradient became {loss} in epoch {self.epoch + 1}, step {step}.")
            if self.relabelling:
                seen = self.processes.gather({"rows": rows[0].to(self.processes.device), "targets": targets})
                self.relabelling.look(self.epoch, seen["rows"], seen["targets"], self.objective.logits)
            rate = self.objective.optimizer.param_groups[0]["lr"]
            self.schedule.after_step(self.epoch, step)
            if self.ema:
                self.ema.update(self.model, step=self.epoch * self.steps + step)
            total += loss
            for name, value in self.objective.loss.last.items():
                terms[name] = terms.get(name, 0.0) + value.item()
            if step % 25 == 0 or step == self.steps:
                speed = step * recipe.batch_size / (time.monotonic() - start)
                self.processes.say(
                    f"epoch {self.epoch + 1}/{recipe.epochs} step {step}/{self.steps} "
                    f"loss {total / step:.4f} {size} px {speed:.0f} faces/s"
                )
        averages = {name: round(value / self.steps, 5) for name, value in terms.items()}
        entry: dict[str, Any] = {"loss": round(total / self.steps, 5), "terms": averages, "lr": rate}
        if self.relabelling:
            self.faces, entry["relabelled"] = self.relabelling.apply(self.faces)
        return entry

    def _diverged(self, what: str) -> CheckpointError:
        kept = f"The last finished epoch is kept in {self.folder}" if self.epoch else "No epoch was finished"
        return CheckpointError(f"{what} {kept}; lower lr ({self.recipe.lr}) or set clip_grad.")

    @reworded(KEYS)
    def step_epoch(self) -> dict[str, Any]:
        """Train an epoch, measure it, keep it where it is the best, and save the state.

        Returns:
            The epoch's entry of `history.json`.

        Raises:
            CheckpointError: If the loss, its gradient or the network's outputs are not finite.
            DataError: If an image is missing or damaged.
        """
        start = time.monotonic()
        if self.recipe.distill_once and self.epoch == 0:
            self.faces = replace(self.faces, targets=mixed_targets(self.faces, self.recipe, self.processes))
        losses = self._epoch()
        size = self.recipe.size_at(self.epoch)
        measured = self.ema.module if self.ema else self.model
        result: dict[str, Any] = {}
        if self.processes.is_main:
            if self.recipe.unseen and self.unseen is None:
                self.unseen = self.validation.unseen(self.faces)
            grey = self.recipe.grayscale
            try:
                result = evaluate(measured, self.validation, self.cfg, self.unseen, size, grayscale=grey)
            except CheckpointError as error:
                raise self._diverged(f"The outputs became NaN or infinity in epoch {self.epoch + 1}.") from error
        result = self.processes.broadcast(result)
        self.epoch += 1
        self.schedule.after_epoch(result["accuracy"])
        entry = {
            "epoch": self.epoch,
            **losses,
            "accuracy": result["accuracy"],
            "accuracy_unseen": result.get("unseen", {}).get("accuracy"),
            "macro_f1": result["macro_f1"],
            "nll": result["nll"],
            "faces_seen": self.epoch * self.steps * self.recipe.batch_size,
            "seconds": round(time.monotonic() - start, 1),
            "size": size,
        }
        self.history.append(entry)
        if self.processes.is_main:
            self._write(entry, result, measured)
        self.processes.wait()
        return entry

    def _write(self, entry: dict[str, Any], result: dict[str, Any], measured: Any) -> None:
        if entry["size"] == self.recipe.final_size and result["accuracy"] > max(self.scores[:-1], default=-math.inf):
            facts = checkpoint_facts(self.recipe, self.epoch)
            write_checkpoint(self.folder, measured, self.cfg, facts, self.recipe.model_kwargs)
            metrics = {"split": measured_split(self.recipe), "epoch": self.epoch, **result}
            write_json(self.folder / "metrics.json", metrics)
        self._save()
        self.write_history()
        write_tensorboard(self.folder / "tensorboard", entry)

    def write_history(self) -> None:
        """Write what every epoch brought; a killed run may lack its last line."""
        write_json(self.folder / "history.json", self.history)
        write_history_csv(self.folder / "history.csv", self.history)


def train(recipe: Recipe, resume: bool = False, faces: dict[str, Faces] | None = None) -> Path:
    """Train a network and write a checkpoint folder.

    Args:
        recipe: What to do.
        resume: Continue the run in the recipe's folder.
        faces: The splits ``"train"`` and ``"validation"``, read from the recipe's folder where None.

    Returns:
        The folder: weights, config and metrics of the best epoch, `recipe.json`, history, `state.pt` and the rest.

    Raises:
        CheckpointError: If the folder holds a run or weights and `resume` is false, or cannot be resumed, or another
            process trains into it; if the loss or its gradient is not finite any more, and what is kept then.
        DataError: If the data is missing or incomplete.
        RecipeError: If loss, network, teacher and data do not fit each other; names the key.
        UnknownNameError: If there is no such network, data set, loss or optimiser; names the nearest.
    """
    folder = Path(recipe.out)
    if not resume:
        check_free(folder, recipe)
    run = Run(recipe, faces)
    with alone(folder, run.processes.is_main and (folder.is_dir() or not resume)):
        if resume:
            run.resume()
            run.processes.say(f"resuming after epoch {run.epoch}/{recipe.epochs}")
        else:
            check_free(folder, recipe)  # another run may have begun meanwhile
        if run.processes.is_main:
            clear_unfinished(folder)
            write_json(folder / "recipe.json", recipe.to_dict())
            # The first start's versions made the weights; a later one's stand beside them.
            write_json(folder / f"environment{f'-after-{run.epoch}' if resume else ''}.json", environment())
            if resume:
                run.write_history()
        while not run.finished:
            entry = run.step_epoch()
            unseen = "" if entry["accuracy_unseen"] is None else f" (unseen {entry['accuracy_unseen']} %)"
            run.processes.say(
                f"epoch {entry['epoch']}/{recipe.epochs} done in {entry['seconds']} s: validation accuracy "
                f"{entry['accuracy']} %{unseen}, best {run.best} %"
            )
        if run.processes.is_main and (why := write_readme(folder)):
            run.processes.say(why)
    return folder
