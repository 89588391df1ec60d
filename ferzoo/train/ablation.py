"""Which loss helps: the same network, seeds and batches under one loss after another, as paired differences.

Run `python -m ferzoo.train.ablation docs/recipes/losses.yaml --data FOLDER --out RUNS` in a checkout. It goes on where
it was stopped, and `--report FILE` writes what has finished so far.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import platform
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from ..data.faces import FaceDataset, Faces
from ..data.fer2013 import read_ferplus
from ..data.separation import class_distances
from ..data.transforms import eval_transform
from ..errors import RecipeError, UnknownNameError
from ..weights.configs import checkpoints
from .checkpoint import other_keys, write_json
from .loop import Run
from .recipe import WHERE, Recipe

__all__ = ["BASELINE", "PAIRED", "SINGLE", "interval", "run_arm", "summarise"]

BASELINE = "cross-entropy"
_HARMONY = "ce + 1.0*cosine_harmony(form={form!r}, alpha={alpha})"
#: Arms that are run with every seed.
PAIRED: dict[str, str] = {
    BASELINE: "ce",
    "released": _HARMONY.format(form="released", alpha=0.1),
    "equation": _HARMONY.format(form="equation", alpha=0.1),
    "separating": _HARMONY.format(form="separating", alpha=0.1),
}
#: Arms that are run with the first seed alone.
SINGLE: dict[str, str] = {
    **{f"released, alpha {a}": _HARMONY.format(form="released", alpha=a) for a in (0.2, 0.3, 0.4, 0.5)},
    "center": "ce + 0.003*center",
    "affinity": "ce + 1.0*affinity",
    "separate": "ce + 0.1*separate",
    "arcface": "ce + 0.01*arcface(majority=True)",
}
ARMS = {**PAIRED, **SINGLE}
#: Two-sided 95 % quantiles of Student's t distribution by degrees of freedom, from 1.
_T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)


def interval(differences: Iterable[float]) -> dict[str, float]:
    """Mean of paired differences with its 95 % confidence interval by Student's t.

    Args:
        differences: 2 to 11 of them.

    Returns:
        `mean`, `low` and `high`.

    Raises:
        ValueError: If there are fewer or more.
    """
    values = np.array(list(differences), dtype=np.float64)
    if not 2 <= len(values) <= len(_T95) + 1:
        raise ValueError(f"An interval needs 2 to {len(_T95) + 1} differences, got {len(values)}.")
    half = _T95[len(values) - 2] * values.std(ddof=1) / math.sqrt(len(values))
    return {"mean": float(values.mean()), "low": float(values.mean() - half), "high": float(values.mean() + half)}


@torch.inference_mode()
def _features(run: Run, faces: Faces) -> np.ndarray:
    """The last map's averages (N, D), which the losses see."""
    network = (run.ema.module if run.ema else run.model).eval()
    transform = eval_transform(run.cfg, run.recipe.final_size, run.recipe.grayscale)
    loader = DataLoader(FaceDataset(faces, transform), batch_size=256)
    maps = (network.forward_features(images.to(run.processes.device)) for images, _ in loader)
    return torch.cat([x.float().mean((2, 3)).cpu() for x in maps]).numpy()


def run_arm(recipe: Recipe, faces: Mapping[str, Faces]) -> dict[str, Any]:
    """Train under one loss, from where it was stopped, and measure the last epoch; a finished run is read.

    The last epoch counts and not the best one, so that no arm gains by a lucky epoch.

    Args:
        recipe: What to do; its folder belongs to this arm and seed.
        faces: The splits ``"train"`` and ``"validation"``.

    Returns:
        `accuracy` and `accuracy_unseen` in percent on validation, `loss` terms of the last epoch, the features'
        `intra`, `inter` and `ratio`, `faces_seen` and `seconds`.
    """
    folder = Path(recipe.out)
    result = folder / "ablation.json"
    if result.is_file():
        before = json.loads((folder / "recipe.json").read_text(encoding="utf-8"))
        if changed := other_keys(recipe, before):
            raise RecipeError(
                f"{folder} was run with another recipe; different: {', '.join(changed)}. Use another --out."
            )
        return dict(json.loads(result.read_text(encoding="utf-8")))
    torch._dynamo.reset()  # many networks of one class in a process: each has its own compiled code
    run = Run(recipe, dict(faces))
    if (folder / "state.pt").is_file():
        run.resume()
    write_json(folder / "recipe.json", recipe.to_dict())
    while run.epoch < recipe.epochs:
        entry = run.step_epoch()
        print(f"{folder.name}: epoch {run.epoch}/{recipe.epochs}, validation {entry['accuracy']} %", flush=True)
    last = run.history[-1]
    validation = run.validation
    found = {
        "accuracy": last["accuracy"],
        "accuracy_unseen": last["accuracy_unseen"],
        "best_accuracy": run.best,
        "terms": last["terms"],
        **class_distances(_features(run, validation), validation.labels),
        "faces_seen": recipe.epochs * run.steps * recipe.batch_size,
        "seconds": round(sum(entry["seconds"] for entry in run.history)),
    }
    write_json(result, found)
    return found


def summarise(results: Mapping[str, Mapping[int, Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """One row an arm: means over its seeds, and the paired difference to cross-entropy alone.

    Args:
        results: What `run_arm` returned, by arm and seed.
    """
    base = results.get(BASELINE, {})
    rows = []
    for arm, by_seed in results.items():
        if not by_seed:
            continue
        row: dict[str, Any] = {"arm": arm, "loss": ARMS[arm], "seeds": sorted(by_seed)}
        for key in ("accuracy", "accuracy_unseen", "intra", "inter", "ratio"):
            row[key] = float(np.mean([found[key] for found in by_seed.values()]))
        shared = sorted(set(by_seed) & set(base)) if arm != BASELINE else []
        differences = [by_seed[s]["accuracy"] - base[s]["accuracy"] for s in shared]
        row["differences"] = dict(zip(map(str, shared), differences, strict=True))
        if len(differences) > 1:
            row["paired"] = interval(differences)
        rows.append(row)
    return rows


def main() -> None:
    """Parse the arguments, run what is missing, and report."""
    parser = argparse.ArgumentParser(prog="python -m ferzoo.train.ablation", description=__doc__)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*", metavar="key=value")
    parser.add_argument("--data", required=True, help="folder with FERPlus' parquet files")
    parser.add_argument("--out", type=Path, required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, default=5, help="seeds of the paired arms (default 5)")
    parser.add_argument("--arms", nargs="*", metavar="ARM", help=f"some of: {'; '.join(ARMS)} (default all)")
    parser.add_argument("--report", type=Path, help="write what has finished so far here as JSON")
    parser.add_argument("--report-only", action="store_true", help="train nothing")
    args = parser.parse_args()
    for arm in args.arms or ():
        if arm not in ARMS:
            raise UnknownNameError("arm", arm, ARMS, f"The arms are: {'; '.join(ARMS)}.")
    if not 1 <= args.seeds <= len(_T95) + 1:
        raise RecipeError(f"--seeds must be 1 to {len(_T95) + 1}, got {args.seeds}.")
    base = Recipe.load(args.recipe, args.overrides)
    faces = {} if args.report_only else {s: read_ferplus(args.data, s, base.soft) for s in ("train", "validation")}
    # Seeds outside, arms inside: a run that is stopped leaves whole pairs.
    plan = [(arm, seed) for seed in range(args.seeds) for arm in PAIRED] + [(arm, 0) for arm in SINGLE]
    results: dict[str, dict[int, dict[str, Any]]] = {arm: {} for arm in ARMS}
    for arm, seed in plan:
        if args.arms and arm not in args.arms:
            continue
        folder = args.out / f"{arm.replace(', ', '-').replace(' ', '-')}-seed{seed}"
        recipe = dataclasses.replace(base, loss=ARMS[arm], seed=seed, data=args.data, out=str(folder))
        if args.report_only and not (folder / "ablation.json").is_file():
            continue
        results[arm][seed] = run_arm(recipe, faces)
        if args.report:
            _report(args.report, base, results, args.seeds)
    for row in summarise(results):
        print(json.dumps(row))


def _report(path: Path, recipe: Recipe, results: Mapping[str, Mapping[int, Mapping[str, Any]]], seeds: int) -> None:
    where = (*WHERE, "loss", "seed")
    begun = checkpoints().get(recipe.init)
    write_json(
        path,
        {
            "command": "python -m ferzoo.train.ablation docs/recipes/losses.yaml --data FOLDER --out RUNS "
            f"--seeds {seeds}",
            # A later version may ship other weights under this name.
            "init_sha256": begun.sha256 if begun else None,
            "recipe": {k: v for k, v in recipe.to_dict().items() if k not in where},
            "torch": torch.__version__,
            "python": platform.python_version(),
            "summary": summarise(results),
            "runs": {arm: {str(s): dict(found) for s, found in by.items()} for arm, by in results.items() if by},
        },
    )


if __name__ == "__main__":
    main()
