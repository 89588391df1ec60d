"""An epoch's randomness, a function of the seed and the epoch alone."""

from __future__ import annotations

import random

import numpy as np
import torch

__all__ = ["seed_epoch"]


def seed_epoch(seed: int, epoch: int, rank: int) -> int:
    """Seed everything but the order of the rows, each process differently from the first epoch on.

    Args:
        seed: The run's seed.
        epoch: Epoch, from 0; -1 for what comes before them.
        rank: Number of this process.

    Returns:
        The seed of the order of the rows, the same in every process.
    """
    shared = (seed * 10007 + epoch + 1) % 2**31
    own = shared if epoch < 0 else (shared + 7919 * rank) % 2**31
    random.seed(own)
    np.random.seed(own)
    torch.manual_seed(own)
    return shared
