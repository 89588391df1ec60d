"""A step and a run, for one process or for several that torchrun starts; the test compares what they write."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from timm.models import build_model_with_cfg, generate_default_cfgs, register_model
from torch import nn

from ferzoo.data.faces import Faces
from ferzoo.labels import FERPLUS
from ferzoo.train.batches import make_loader
from ferzoo.train.checkpoint import write_checkpoint
from ferzoo.train.loop import train
from ferzoo.train.network import build_network
from ferzoo.train.objective import Objective
from ferzoo.train.processes import Processes
from ferzoo.train.recipe import Recipe
from ferzoo.train.teacher import mixed_targets

#: As a recipe has it that says nothing, but for GPUs, of which there may be fewer than processes.
DEVICE = "cpu" if torch.cuda.is_available() else "auto"


class WithoutBatchNorm(nn.Module):
    """A network whose outputs of a face do not depend on the other faces."""

    def __init__(self, num_classes: int = 8, in_chans: int = 3, **_: Any) -> None:
        super().__init__()
        self.num_classes, self.in_chans, self.num_features, self.head_hidden_size = num_classes, in_chans, 12, 12
        self.body = nn.Sequential(nn.Conv2d(in_chans, 12, 3, 4), nn.GroupNorm(3, 12), nn.GELU(), nn.Conv2d(12, 12, 3))
        self.head = nn.Linear(12, num_classes)

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = x.mean((2, 3))
        return x if pre_logits else self.head(x)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.forward_head(self.forward_features(x))


default_cfgs = generate_default_cfgs(
    {"without_batch_norm": {"input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 1.0,
                            "interpolation": "bicubic"}}
)  # fmt: skip


@register_model
def without_batch_norm(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    return build_model_with_cfg(WithoutBatchNorm, "without_batch_norm", pretrained, **kwargs)


def faces(count: int, seed: int) -> Faces:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 8, count)
    targets = rng.dirichlet(np.ones(8), count).astype(np.float32)
    return Faces(rng.integers(0, 256, (count, 48, 48), dtype=np.uint8), targets, labels, FERPLUS)


def taught(out: Path, recipe: Recipe, processes: Processes) -> np.ndarray:
    """Targets of as many faces as two processes cannot share evenly, mixed with a teacher's."""
    if processes.is_main:
        torch.manual_seed(1)
        teacher = build_network(recipe, 8)
        cfg = {**teacher.pretrained_cfg, "num_classes": 8, "label_names": FERPLUS}
        write_checkpoint(out / "teacher", teacher, cfg, {})
    processes.wait()
    asking = dataclasses.replace(recipe, teacher=str(out / "teacher"), distill=0.5, distill_once=True)
    return mixed_targets(faces(7, 2), asking, processes)


def main(out: Path) -> None:
    torch.set_num_threads(1)
    recipe = Recipe(
        model="without_batch_norm", out=str(out / "run"), epochs=2, batch_size=8, sizes={0: 32}, lr=1e-2, device=DEVICE,
        loss="ce + 0.5*cosine_harmony(form='separating') + 0.1*center + affinity", flip=0.0, rotation=0.0,
        translation=0.0, scale=(1.0, 1.0), erasing=0.0, clip_grad=0.0,
    )  # fmt: skip
    splits = {"train": faces(24, 0), "validation": faces(8, 1)}
    processes = Processes(DEVICE)
    torch.manual_seed(0)
    model = build_network(recipe, 8)
    cfg = model.pretrained_cfg
    objective = Objective(recipe, model, splits["train"], cfg, processes)
    images, targets = next(iter(processes.share(make_loader(recipe, splits["train"], cfg, 32, 5))))
    assert len(images) == 8 // processes.count
    loss = objective(images, targets)
    loss.backward()
    parameters = [*model.named_parameters(), *objective.loss.named_parameters()]
    gradients = {name: p.grad for name, p in parameters} | {"loss": loss.detach()}
    gradients["taught"] = torch.from_numpy(taught(out, recipe, processes))
    torch.save(gradients, out / f"gradients{processes.rank}.pt")
    folder = train(dataclasses.replace(recipe), faces=splits)
    assert (folder / "state.pt").is_file()
    if processes.count > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
