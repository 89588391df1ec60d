"""Random tensors for networks, and whether a network has them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

#: Architecture to the channels of its weights and its first convolution.
NETWORKS = {"lfnsb": (3, "stem.conv.c.weight"), "lanmsff": (1, "stem.conv1.conv.weight")}
Save = Callable[..., Path]
Tensors = dict[str, torch.Tensor]


def assert_loaded(model: torch.nn.Module, expected: Tensors, but: tuple[str, ...] = ()) -> None:
    """Every tensor of the network is the checkpoint's, but for those that begin with `but`."""
    own = model.state_dict()
    counters = [key for key in own if key.endswith("num_batches_tracked") and key not in expected]
    checked = [key for key in own if key not in counters and not (but and key.startswith(but))]
    assert checked
    for key in checked:
        torch.testing.assert_close(own[key], expected[key], rtol=0, atol=0, msg=key)
