"""A block under the name of the example's."""

from torch import nn

from ferzoo import register_block


@register_block("example_contrast_gate")
class Gate(nn.Sigmoid):
    """Not the example's."""
