"""Takes the name of the example's loss, and then fails to import."""

from torch import nn

from ferzoo import register_loss


@register_loss("example_focal")
class Focal(nn.Module):
    """Never to be built."""


raise RuntimeError("ferzoo_broken is broken on purpose")
