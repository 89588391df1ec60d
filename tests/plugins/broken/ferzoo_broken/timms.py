"""A network under a name that timm owns."""

from typing import Any

from timm.models import generate_default_cfgs
from torch import nn

from ferzoo import register_model

__all__ = ["resnet18"]

default_cfgs = generate_default_cfgs({"resnet18": {"num_classes": 8}})


@register_model
def resnet18(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """Not timm's."""
    return nn.Flatten()
