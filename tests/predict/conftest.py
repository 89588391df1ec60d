"""A network whose answer can be worked out by hand, and a checkpoint folder of a small real one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mean_colour import MeanColour
from torch import nn

ASTRONAUT = Path(__file__).parents[2] / "docs" / "images" / "astronaut.jpg"


@pytest.fixture
def colours() -> MeanColour:
    """The network above."""
    return MeanColour()


@pytest.fixture(scope="session")
def astronaut() -> Path:
    """NASA's portrait of Eileen Collins, 512x512, public domain: one face."""
    return ASTRONAUT


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an untrained lfnsb with three classes at 32 px, as training writes it."""
    from ferzoo import create_model
    from ferzoo.train.checkpoint import write_checkpoint

    torch.manual_seed(0)
    model = create_model("lfnsb", num_classes=3)
    # Statistics of some input, without which an untrained network of this depth answers the same to everything.
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.randn(32, 3, 32, 32))
    model.head.weight.data.normal_(0, 0.05)
    cfg = {k: v for k, v in model.pretrained_cfg.items() if k not in ("file", "hf_hub_id", "url", "tag")}
    cfg |= {"input_size": (3, 32, 32), "num_classes": 3, "label_names": ("calm", "cross", "glad")}
    folder = tmp_path_factory.mktemp("checkpoint")
    write_checkpoint(folder, model, cfg, {"grayscale": True, "labels": "none"})
    return folder


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], checkpoint: Path) -> Callable[..., tuple[int, str, str]]:
    """Run `ferzoo predict` with the small checkpoint; gives exit code, stdout, stderr."""
    from ferzoo.cli.main import main

    def call(*arguments: object, model: object = checkpoint) -> tuple[int, str, str]:
        try:
            code = main(["predict", *map(str, arguments), "--model", str(model)])
        except SystemExit as stop:
            code = int(stop.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call
