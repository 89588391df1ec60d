"""Widths and sizes that a block cannot take are refused by name."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import ferzoo


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("mass_att", {"channels": 3}, "ratio from 1 to its 3 channels"),
        ("two_path", {"in_chs": 5, "out_chs": 8}, "even, got 5 and 8"),
        ("two_path", {"in_chs": 6, "out_chs": 7}, "even, got 6 and 7"),
        ("mixconv", {"splits": (4, 4), "kernel_sizes": (3, 4)}, r"odd kernels alone, got \[4\]"),
        ("mixconv", {"splits": (4, 4), "kernel_sizes": (3,)}, "got 2 and 1"),
        ("gdconv_head", {"channels": 4, "map_size": (0, 3)}, "must know its size"),
        (
            "mixconv_bottleneck",
            {"in_chs": 4, "out_chs": 8, "splits": (8,), "kernel_sizes": (3,), "residual": True},
            "equal widths",
        ),
    ],
)
def test_constructors(name: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ferzoo.create_block(name, **kwargs)


@pytest.mark.parametrize(
    ("name", "kwargs", "shape", "message"),
    [
        ("pwfs", {}, (2, 5, 4, 4), "multiple of 3 channels, got 5"),
        ("gdconv_head", {"channels": 4, "map_size": (3, 3), "embed_dim": 0}, (2, 4, 5, 5), r"3x3.*\(5, 5\)"),
    ],
)
def test_forwards(name: str, kwargs: dict[str, Any], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ferzoo.create_block(name, **kwargs)(torch.zeros(shape))
