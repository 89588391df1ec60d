"""From a training run to weights that ship: float16, their sha256, the YAML that states both, and the run's log.

Run `python -m ferzoo.train.release RUN --data FOLDER` in a checkout, then `python docs/hooks.py README.md`, which
brings its tables up to date. A checkpoint of a new name gets its line in pyproject.toml.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from ..data.readers import find_dataset
from ..errors import CheckpointError
from ..registry.factory import create_model
from ..weights.configs import Checkpoint, config_folder, recipe_facts, wheel_folder
from ..weights.files import write_atomically, write_tensors
from ..weights.folders import sha256_of
from .checkpoint import write_json
from .evaluate import evaluate
from .measured import read_measured
from .records import write_history_csv

__all__ = ["IN_WHEEL", "release"]

#: Weights that the package carries; all others lie in hub_configs/weights, in a checkout alone.
IN_WHEEL = ("lfnsb.ferplus", "lanmsff.ferplus", "lanmsff.fer2013")

#: Fields of timm's cfg that a checkpoint may change; the rest is the architecture's.
_CFG = ("input_size", "pool_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")


def release(run: Path, data: Path, tag: str = "", size: int | None = None, note: str = "") -> Path:
    """Write the weights of a run, and their facts and the run's log to hub_configs.

    The metrics are measured here, on the float16 weights as they ship; nothing is written before. Of the recipe stands
    there what `ferzoo.weights.configs.recipe_facts` keeps: no path of the machine that trained.

    Args:
        run: Folder that `ferzoo train` wrote.
        data: Folder of the data set that it was trained on.
        tag: Tag of the checkpoint, the name of the data set where empty.
        size: Input side in pixels, that of the run's best epoch where None.
        note: What the recipe does not say of the training.

    Returns:
        The YAML.

    Raises:
        CheckpointError: If the run has no checkpoint, or its weights do not fit float16.
    """
    import yaml

    if not (run / "config.json").is_file():
        raise CheckpointError(f"{run} holds no finished epoch at its last size: there is no config.json.")
    config, recipe, history = (
        json.loads((run / f"{name}.json").read_text(encoding="utf-8")) for name in ("config", "recipe", "history")
    )
    dataset = recipe.get("dataset", "ferplus")
    architecture, tag = config["architecture"], tag or dataset
    name = f"{architecture}.{tag}"
    tensors = _half(run)

    model: Any = create_model(architecture, num_classes=config["num_classes"], **config.get("model_args", {}))
    model.load_state_dict({key: tensor.float() for key, tensor in tensors.items()}, strict=True)
    cfg = dict(config["pretrained_cfg"])
    if size:
        cfg["input_size"] = [cfg["input_size"][0], size, size]
    features = model.eval().forward_features(torch.zeros(1, *cfg["input_size"]))
    cfg |= {"pool_size": list(features.shape[2:]), "crop_mode": "squash"}
    command = f"ferzoo eval {name} --data FOLDER" + (f" --dataset {dataset}" if dataset != "ferplus" else "")
    measured = read_measured(data, dataset)
    metrics = {
        "validation": {"command": command, **evaluate(model, measured, cfg)},
        "validation_flip": {
            "title": "validation, with test-time flip",
            "command": f"{command} --flip",
            **evaluate(model, measured, cfg, flip=True),
        },
    }

    folder = wheel_folder() if name in IN_WHEEL else config_folder() / "weights"
    target = folder / f"{name}.safetensors"
    write_tensors(target, tensors, {"architecture": architecture, "tag": tag})
    soft = recipe.get("soft", True) and dataset == "ferplus"
    facts: dict[str, Any] = {
        "architecture": architecture,
        "tag": tag,
        "sha256": sha256_of(target),
        "labels": dataset,
        "license": "research use, see ferzoo/weights/LICENSE.md",
        "description": f"{architecture} trained on {'the vote distributions of ' * soft}{find_dataset(dataset).title}",
        "cfg": {key: _plain(cfg[key]) for key in _CFG},
        "ferzoo": {"grayscale": recipe.get("grayscale", True)},
        "metrics": metrics,
        "training": {
            "epoch": config["ferzoo"]["epoch"],
            "recipe": recipe_facts(recipe),
            "note": note,
        },
    }
    text = yaml.safe_dump(facts, sort_keys=False, default_flow_style=None, width=120)
    path = config_folder() / f"{name}.yaml"
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))
    write_history_csv(config_folder() / "logs" / f"{name}.csv", history)
    if name not in IN_WHEEL:  # the pair that FERZOO_WEIGHTS and `ferzoo pull --from` read
        whole = {key: value for key, value in Checkpoint(**facts).pretrained_cfg().items() if key != "file"}
        write_json(target.with_suffix(".json"), {"sha256": facts["sha256"], "cfg": whole, "ferzoo": facts["ferzoo"]})
    return path


def _half(run: Path) -> dict[str, torch.Tensor]:
    """A run's weights in float16, without the counter of seen batches, which torch fills in where it is absent."""
    tensors = {
        key: tensor.half()
        for key, tensor in load_file(run / "model.safetensors").items()
        if not key.endswith("num_batches_tracked")
    }
    if wide := [key for key, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise CheckpointError(f"{run}: not finite in float16: {', '.join(wide[:5])}.")
    return tensors


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def main() -> None:
    """Parse the arguments and release."""
    parser = argparse.ArgumentParser(prog="python -m ferzoo.train.release", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--tag", default="", help="tag of the checkpoint (default: the data set)")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data set")
    parser.add_argument("--size", type=int, help="input side in pixels (default: that of the best epoch)")
    parser.add_argument("--note", default="", help="what the recipe does not say of the training")
    args = parser.parse_args()
    with torch.inference_mode():
        path = release(args.run, args.data, args.tag, args.size, args.note)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
