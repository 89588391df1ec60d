"""DACL, the deep attentive center loss network (Farzaneh & Qi 2021, WACV)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from ..errors import InputSizeError
from ..registry.register import register_model
from .build import StateDict, build_model, convert_state_dict, default_cfgs_for
from .resnet18 import ResNet18

__all__ = ["DACL", "checkpoint_filter_fn", "dacl"]


class AttentivePool(nn.Module):
    """Average pool to (N, channels), and a network that says how much each channel of a face is to count.

    Its Linear layers take the whole map, flattened.
    """

    def __init__(self, channels: int, map_size: tuple[int, int], **dd: Any) -> None:
        """Take the map's channels and size, and `device` and `dtype`."""
        super().__init__()
        height, width = map_size
        if min(map_size) < 1:
            raise InputSizeError(
                f"DACL's attention takes the whole map, and must know its size; got {tuple(map_size)}. "
                "Build the network with img_size, the input's height and width."
            )
        widths = (channels * height * width, 3584, 512, 64)
        layers: list[nn.Module] = []
        for taken, given in zip(widths, widths[1:], strict=False):
            last = given == widths[-1]
            layers += [nn.Linear(taken, given, **dd), nn.BatchNorm1d(given, **dd), nn.Tanh() if last else nn.ReLU()]
        self.attention = nn.Sequential(*layers, nn.Linear(widths[-1], 2 * channels, **dd))

    def attend(self, x: torch.Tensor) -> torch.Tensor:
        """Attention (N, channels) in (0, 1) of a map."""
        return self.attention(x.flatten(1)).unflatten(1, (-1, 2)).softmax(2)[:, :, 1]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean over space."""
        return x.mean((2, 3))


class DACL(ResNet18):
    """ResNet-18 and, for the loss alone, an attention over its features.

    Takes (N, in_chans, *img_size): the attention has to know the last map's size. `forward_train` gives the
    `attention` (N, 512) in (0, 1), which the loss `sparse_center` takes. The logits do not depend on it.

    Args:
        num_classes: Classes; 0 for the 512-d vector.
        in_chans: Channels of the input.
        global_pool: ``"head"`` for the network's own head, ``""`` for the 4-D map (N, 512, h, w).
        drop_rate: Dropout before the classifier; the paper has none.
        img_size: Input height and width, which the attention has to know.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    native_pool = "head"

    def __init__(
        self,
        num_classes: int = 8,
        in_chans: int = 3,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        img_size: int | tuple[int, int] = 224,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__(num_classes, in_chans, global_pool, drop_rate, img_size, device, dtype, fixed_size=True)
        width = self.widths[-1]
        self.init_head(partial(AttentivePool, width, self.map_size), width, width)

    def _set_head(self) -> None:
        """Set the classifier, and say which parameters no logit depends on."""
        super()._set_head()
        names = (f"pool.{name}" for name, _ in self.pool.named_parameters())
        self.loss_only_parameters = tuple(names)

    @torch.jit.ignore
    def pool_outputs(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """The `embedding`, and the `attention` on it."""
        return {"embedding": self.pool(features), "attention": self.pool.attend(features)}


_RENAMES = [
    *ResNet18.backbone_renames,
    (r"^attention_heads\.", "attention.9."),
    (r"^attention\.", "pool.attention."),
    (r"^fc\.", "head."),
]


def checkpoint_filter_fn(state_dict: StateDict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Take this network's names and the authors' released ones; check that nothing else differs.

    Args:
        state_dict: Tensors by name.
        model: The network that they are for.

    Raises:
        CheckpointError: If names are missing or unexpected, or a shape differs; lists them.
    """
    return convert_state_dict(state_dict, model, _RENAMES)


default_cfgs = default_cfgs_for(
    {"dacl": {}},
    input_size=(3, 224, 224),
    fixed_input_size=True,
    first_conv="stem.conv1",
    pool_size=(7, 7),
    paper_name="Facial Expression Recognition in the Wild via Deep Attentive Center Loss",
    origin_url="https://github.com/amirhfarzaneh/dacl",
    license="apache-2.0",
)


@register_model
def dacl(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """DACL: ResNet-18 with an attention that weighs its features in the center loss."""
    return build_model(DACL, "dacl", pretrained, checkpoint_filter_fn, maps=5, **kwargs)
