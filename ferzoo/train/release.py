"""From a training run to weights that ship: float16, their sha256, and the YAML that states both.

Run `python -m ferzoo.train.release RUN --tag ferplus --data FOLDER` in a checkout, then
`python docs/hooks.py README.md`, which brings its tables up to date.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from ..data.fer2013 import read_ferplus
from ..errors import CheckpointError
from ..registry.factory import create_model
from ..weights.configs import config_folder, wheel_folder
from ..weights.files import write_atomically
from ..weights.resolve import sha256_of
from .evaluate import evaluate
from .recipe import WHERE

__all__ = ["release"]

#: Fields of timm's cfg that a checkpoint may change; the rest is the architecture's.
_CFG = ("input_size", "pool_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")


def release(run: Path, tag: str, data: Path, size: int | None = None, note: str = "") -> Path:
    """Write the weights of a run to the package and their facts to hub_configs.

    The metrics are measured here, on the float16 weights as they ship; nothing is written before.

    Args:
        run: Folder that `ferzoo train` wrote.
        tag: Tag of the checkpoint.
        data: Folder with FERPlus' parquet files.
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
    config = json.loads((run / "config.json").read_text(encoding="utf-8"))
    recipe = json.loads((run / "recipe.json").read_text(encoding="utf-8"))
    architecture = config["architecture"]
    name = f"{architecture}.{tag}"
    # The counter of seen batches is no weight; torch fills it in where it is absent.
    tensors = {
        key: tensor.half()
        for key, tensor in load_file(run / "model.safetensors").items()
        if not key.endswith("num_batches_tracked")
    }
    if wide := [key for key, tensor in tensors.items() if not tensor.isfinite().all()]:
        raise CheckpointError(f"{run}: not finite in float16: {', '.join(wide[:5])}.")

    model: Any = create_model(architecture, num_classes=config["num_classes"], **config.get("model_args", {}))
    model.load_state_dict({key: tensor.float() for key, tensor in tensors.items()}, strict=True)
    cfg = dict(config["pretrained_cfg"])
    if size:
        cfg["input_size"] = [cfg["input_size"][0], size, size]
    features = model.eval().forward_features(torch.zeros(1, *cfg["input_size"]))
    cfg |= {"pool_size": list(features.shape[2:]), "crop_mode": "squash"}
    faces = read_ferplus(data, "validation")
    unseen = faces.unseen(read_ferplus(data, "train"))
    command = f"ferzoo eval {name} --data FOLDER"
    metrics = {
        "validation": {"command": command, **evaluate(model, faces, cfg, unseen)},
        "validation_flip": {
            "title": "validation, with test-time flip",
            "command": f"{command} --flip",
            **evaluate(model, faces, cfg, unseen, flip=True),
        },
    }

    target = wheel_folder() / f"{name}.safetensors"
    metadata = {"format": "pt", "architecture": architecture, "tag": tag}
    write_atomically(target, lambda path: save_file(tensors, path, metadata=metadata))
    facts: dict[str, Any] = {
        "architecture": architecture,
        "tag": tag,
        "sha256": sha256_of(target),
        "labels": "ferplus",
        "license": "research use, see ferzoo/weights/LICENSE.md",
        "description": f"{architecture} trained on the vote distributions of FERPlus",
        "cfg": {key: _plain(cfg[key]) for key in _CFG},
        "ferzoo": {"grayscale": True},
        "metrics": metrics,
        "training": {
            "epoch": config["ferzoo"]["epoch"],
            "recipe": {key: value for key, value in recipe.items() if key not in WHERE},
            "note": note,
        },
    }
    text = yaml.safe_dump(facts, sort_keys=False, default_flow_style=None, width=120)
    path = config_folder() / f"{name}.yaml"
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))
    return path


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def main() -> None:
    """Parse the arguments and release."""
    parser = argparse.ArgumentParser(prog="python -m ferzoo.train.release", description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--tag", default="ferplus")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--size", type=int)
    parser.add_argument("--note", default="", help="what the recipe does not say of the training")
    args = parser.parse_args()
    with torch.inference_mode():
        path = release(args.run, args.tag, args.data, args.size, args.note)
    print(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
