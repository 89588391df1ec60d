"""Augmentation of sources larger than the input: the same geometry, no rim, and no cost that grows with them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from image_trees import pixels
from PIL import Image
from torchvision import transforms as T

from ferzoo.data.transforms import train_transform

CFG = {"input_size": (3, 40, 40), "mean": (0.0,) * 3, "std": (1.0,) * 3}


@pytest.mark.parametrize("shape", [(48, 48), (100, 100, 3), (224, 224, 3), (762, 562, 3)], ids=str)
@pytest.mark.parametrize(
    "options", [{}, {"rotation": 15, "translation": 0.042, "scale": (1.0, 1.0)}], ids=["default", "LANMSFF"]
)
def test_there_is_no_rim(options: dict[str, Any], shape: tuple[int, ...]) -> None:
    transform = train_transform(CFG, 64, erasing=0.0, **options)
    white = Image.fromarray(np.full(shape, 255, np.uint8))
    torch.manual_seed(0)
    dark = sum(bool(transform(white).min() < 0.9) for _ in range(60))
    assert dark <= (0 if options else 1)  # the largest rotation, shift and reduction together reach past the margin


@pytest.mark.parametrize("shape", [(224, 224, 3), (762, 562, 3), (1524, 1124, 3)], ids=str)
def test_what_is_augmented_does_not_grow_with_the_source(
    shape: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    turn = T.RandomAffine.forward

    def watched(self: T.RandomAffine, image: Image.Image) -> Image.Image:
        seen.append(image.size)
        return turn(self, image)

    monkeypatch.setattr(T.RandomAffine, "forward", watched)
    out = train_transform(CFG, 64)(Image.fromarray(pixels(0, *shape[:2], colour=True)))
    height, width = shape[:2]
    reduced = 80 * height / min(height, width), 80 * width / min(height, width)
    [(wide, tall)] = seen
    margins = 2 * round(max(reduced) / 4)
    assert out.shape == (3, 64, 64)
    assert abs(tall - margins - reduced[0]) <= 1 and abs(wide - margins - reduced[1]) <= 1


def test_a_reduced_source_looks_the_same() -> None:
    """Smooth, so that only geometry can differ: against the augmentation of the whole source."""
    rows, columns = np.mgrid[0:448, 0:320] / 448
    smooth = (255 * (0.5 + 0.5 * np.sin(5 * rows) * np.cos(4 * columns))).astype(np.uint8)
    reference = T.Compose(
        [
            T.RandomHorizontalFlip(0.5),
            T.Pad(112, padding_mode="edge"),
            T.RandomAffine(15, (0.05, 0.05), (0.85, 1.15), interpolation=T.InterpolationMode.BILINEAR),
            T.CenterCrop((448, 320)),
            T.Resize((64, 64), T.InterpolationMode.BICUBIC),
            T.ToTensor(),
        ]
    )
    for seed in range(6):
        torch.manual_seed(seed)
        ours = train_transform(CFG, 64, erasing=0.0)(Image.fromarray(smooth))[:1]
        torch.manual_seed(seed)
        theirs = reference(Image.fromarray(smooth))
        assert (ours - theirs).abs().mean() < 0.02


@pytest.mark.parametrize("area", [(0.1, 0.1), (0.4, 0.4)])
def test_erasing_covers_the_given_share(area: tuple[float, float]) -> None:
    plain: dict[str, Any] = {"rotation": 0, "translation": 0, "scale": (1, 1), "flip": 0}
    transform = train_transform(CFG, 64, erasing=1.0, erasing_area=area, **plain)
    white = Image.fromarray(np.full((64, 64), 255, np.uint8))
    torch.manual_seed(0)
    shares = [(transform(white) == 0).float().mean().item() for _ in range(10)]
    assert shares == pytest.approx([area[0]] * 10, abs=0.02)
