"""The preprocessing inside a file is that of training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn

import ferzoo
from ferzoo.data.transforms import eval_transform
from ferzoo.deploy.export import FACE
from ferzoo.deploy.whole import Whole
from ferzoo.errors import FerzooError


def cfg_of(height: int, width: int, crop_pct: float, channels: int = 1) -> dict[str, Any]:
    return {
        "input_size": (channels, height, width), "mean": (0.5,) * channels, "std": (0.25,) * channels,
        "interpolation": "bicubic", "crop_pct": crop_pct,
    }  # fmt: skip


@pytest.mark.parametrize("crop_pct", [0.8, 1.0, 1.2, 1.43])
@pytest.mark.parametrize(("height", "width"), [(48, 48), (49, 49), (48, 57)])
@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_that_of_training(height: int, width: int, crop_pct: float, channels: int) -> None:
    cfg = cfg_of(height, width, crop_pct, channels)
    face = Image.open(FACE).convert("RGB")
    expected = eval_transform(cfg, grayscale=channels == 1)(face)
    whole = Whole(nn.Identity(), cfg, preprocess=True)
    found = whole(torch.from_numpy(np.array(face))[None])[0]
    assert found.shape == expected.shape == (channels, height, width)
    steps = (found - expected).abs() * 255 * cfg["std"][0]
    assert steps.max() <= 4.01 and steps.mean() <= 0.5


def test_pictures_have_one_channel_or_three() -> None:
    with pytest.raises(FerzooError, match="takes 4 channels; pictures have 1 or 3"):
        Whole(nn.Identity(), cfg_of(48, 48, 1.0, 4), preprocess=True)
    Whole(nn.Identity(), cfg_of(48, 48, 1.0, 4))


def test_no_picture_is_the_input_of_four_channels(tmp_path: Path) -> None:
    model = timm.create_model("test_resnet", in_chans=4, num_classes=3)
    with pytest.raises(FerzooError, match="pictures have 1 or 3: export without preprocessing"):
        ferzoo.export(model, tmp_path / "p.pt", preprocess=True)
    with pytest.raises(
        FerzooError, match="int8 is calibrated on faces, which have 1 or 3 channels; the network takes 4"
    ):
        ferzoo.export(model, tmp_path / "p.onnx", int8=[Image.open(FACE)] * 16)
    done = ferzoo.export(model, tmp_path / "p.pt", size=32, faces=[Image.open(FACE)])
    assert done.faces == 0 and done.input == "faces (N, 4, 32, 32), float32" and done.relative < 1e-3
    x = torch.randn(2, 4, 32, 32)
    with torch.no_grad():
        assert torch.allclose(torch.jit.load(done.path)(x), model.eval()(x), atol=1e-5)
