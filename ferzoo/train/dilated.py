"""Dilated convolutions in bfloat16 whose gradient oneDNN may get wrong.

Of maps in channels_last, with a dilation between rows, no stride and over 28 columns of output, its gradient of the
weight holds what happened to lie in memory, NaN among it, on CPUs that have AVX-512 with bfloat16 and no AMX (seen with
PyTorch 2.14, oneDNN 3.12). Without a dilation between the rows it is right, and it was for some numbers of channels,
such as 64 of 64, which nobody promises: those are not told apart here.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .bfloat16 import is_autocast, make_convolutions

__all__ = ["RowFoldedConv2d", "use_folded_rows"]

#: Columns of output up to which the gradient is right.
SOUND_COLUMNS = 28


class RowFoldedConv2d(nn.Conv2d):
    """A dilated convolution that takes every d-th row of a map for a map of its own, where its gradient would be wrong.

    That is so on a CPU under autocast to bfloat16. The function is the same, and so are names and weights.

    Shape: (N, in_channels, H, W) to (N, out_channels, H', W').
    """

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002 (PyTorch's name)
        """Return (N, out_channels, H', W') of (N, in_channels, H, W)."""
        wrong = input.dim() == 4 and input.device.type == "cpu" and torch.is_grad_enabled() and is_autocast()
        if not wrong or self._columns(input) <= SOUND_COLUMNS:
            return super().forward(input)
        # In the other format it is right; the output has that of the maps or, failing these, of the weight.
        last = _is_channels_last(input) or _is_channels_last(self.weight)
        return self.folded(input).contiguous(memory_format=torch.channels_last) if last else super().forward(input)

    def folded(self, x: torch.Tensor) -> torch.Tensor:
        """Return the same (N, out_channels, H', W'), computed with no dilation between the rows."""
        number, height, step, pad = len(x), x.shape[2], self.dilation[0], _padding(self)
        assert pad is not None  # see `fits`
        above, inside = (pad[0], 0) if pad[0] % step else (0, pad[0] // step)
        below = above + -(height + 2 * above) % step
        rows = F.pad(x.permute(0, 2, 3, 1), (0, 0, 0, 0, above, below)).unflatten(1, (-1, step))
        maps = rows.permute(2, 0, 1, 3, 4).flatten(0, 1).permute(0, 3, 1, 2)
        out = F.conv2d(maps, self.weight, self.bias, 1, (inside, pad[1]), (1, self.dilation[1]), self.groups)
        rows = out.permute(0, 2, 3, 1).unflatten(0, (step, number)).permute(1, 2, 0, 3, 4).flatten(1, 2)
        return rows[:, : height + 2 * pad[0] - step * (self.kernel_size[0] - 1)].permute(0, 3, 1, 2)

    def _columns(self, x: torch.Tensor) -> int:
        pad = _padding(self)
        assert pad is not None
        return x.shape[3] + 2 * pad[1] - self.dilation[1] * (self.kernel_size[1] - 1)

    @classmethod
    def fits(cls, conv: nn.Conv2d) -> bool:
        """Whether a convolution may be one of these."""
        plain = conv.stride == (1, 1) and conv.padding_mode == "zeros" and _padding(conv) is not None
        return plain and conv.dilation[0] > 1


def _padding(conv: nn.Conv2d) -> tuple[int, int] | None:
    """Rows and columns before and behind a map; None where there are more on one side, as padding="same" may have."""
    given: Any = conv.padding
    if given == "valid":
        return (0, 0)
    if given != "same":
        return given
    down, right = (step * (taps - 1) for step, taps in zip(conv.dilation, conv.kernel_size, strict=True))
    return None if down % 2 or right % 2 else (down // 2, right // 2)


def _is_channels_last(x: torch.Tensor) -> bool:
    """Whether PyTorch takes a map or weight for one in channels_last: by its strides, also where it is a part."""
    beyond = 0
    for i in (1, 3, 2, 0):
        if x.stride(i) < beyond or (i == 0 and beyond == x.stride(1)):
            return False
        beyond = x.stride(i) * max(x.shape[i], 1)
    return x.stride(1) > 0


def use_folded_rows(model: nn.Module) -> int:
    """Make every plain dilated convolution of a network a `RowFoldedConv2d`, in place; names and weights stay.

    Args:
        model: A network in training; subclasses of `nn.Conv2d` are left alone.

    Returns:
        How many there were.
    """
    return make_convolutions(model, RowFoldedConv2d)
