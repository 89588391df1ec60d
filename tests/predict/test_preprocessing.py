"""Preprocessing without torch gives the values that training had, to the last bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from ferzoo.data.transforms import eval_transform
from ferzoo.deploy import export as module
from ferzoo.errors import CheckpointError
from ferzoo.predict.preprocessing import Preprocessing

PHOTO = Path(module.__file__).with_name("face.jpg")


def cfg_of(channels: int, **changes: Any) -> dict[str, Any]:
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    return {"input_size": (channels, 48, 48), "mean": mean[:channels], "std": std[:channels], **changes}


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("grayscale", [False, True])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"interpolation": "bilinear", "crop_pct": 0.875},
        {"interpolation": "lanczos", "crop_pct": 0.9, "sides": (50, 44)},
        {"interpolation": None, "crop_pct": None, "sides": (31, 112)},
        {"mean": [0.5], "std": [0.5]},
        {"crop_pct": 1.05, "sides": (48, 41)},  # black around the picture, 3 pixels a side and 2
    ],
)
def test_it_gives_what_training_had(channels: int, grayscale: bool, changes: dict[str, Any]) -> None:
    cfg = cfg_of(channels, **changes)
    cfg["input_size"] = (channels, *cfg.pop("sides", (48, 48)))
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 256, size, dtype=np.uint8) for size in ((48, 48, 3), (71, 60), (20, 33, 4))]
    pictures = [Image.open(PHOTO).resize((101, 90)), *map(Image.fromarray, noise)]
    preprocessing = Preprocessing(cfg, grayscale, "it")
    pixels = [preprocessing.pixels(picture) for picture in pictures]
    assert {(one.dtype, one.ndim) for one in pixels} == {(np.dtype(np.uint8), 2 if grayscale or channels == 1 else 3)}
    expected = np.stack([eval_transform(cfg, grayscale=grayscale)(picture).numpy() for picture in pictures])
    found = preprocessing.batch(pixels)
    assert found.dtype == np.float32 and found.flags.c_contiguous
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"interpolation": "cubic"}, "it wants the interpolation 'cubic'; there is nearest, bilinear, bicubic"),
        ({"interpolation": "mks2013"}, "there is nearest"),  # Pillow's, and none of timm's
        ({"std": [0.5, 0.5]}, "it has 2 values of std for 3 channels"),
        ({"std": [0.5, 0.0, 0.5]}, "it has a std that is not above 0: 0.5, 0, 0.5"),
        ({"mean": None}, "The cfg of it does not state mean"),
        ({"input_size": (4, 48, 48)}, "it takes 4 channels"),
    ],
)
def test_a_cfg_that_cannot_be_followed_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(CheckpointError, match=message):
        Preprocessing(cfg_of(3, **changes), False, "it")
