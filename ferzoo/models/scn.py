"""SCN, the self-cure network (Wang et al. 2020, CVPR, arXiv 2002.10392)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..registry.register import register_model
from .build import StateDict, build_model, convert_state_dict, default_cfgs_for
from .pools import AveragePool
from .resnet18 import ResNet18, layer_renames

__all__ = ["SCN", "checkpoint_filter_fn", "scn"]


class WeightedLinear(nn.Linear):
    """A classifier whose logits are multiplied by the importance of the face, a sigmoid of one more Linear."""

    def __init__(self, in_features: int, out_features: int, **dd: Any) -> None:
        """Take the widths, and `device` and `dtype`."""
        super().__init__(in_features, out_features, **dd)
        self.importance = nn.Linear(in_features, 1, **dd)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, out_features)."""
        return torch.sigmoid(self.importance(x)) * F.linear(x, self.weight, self.bias)


class SCN(ResNet18):
    """ResNet-18 whose logits are weighed by how sure the network is of the face.

    Takes (N, in_chans, H, W) of any size from 32 px up, by default 224 px. `forward_train` gives the `importance` (N,)
    in (0, 1) beside the rest; the loss `rank_regularisation` takes it. `reset_classifier` keeps what makes it from
    one class count to another; after 0 classes it is fresh.

    Args:
        num_classes: Classes; 0 for the 512-d vector.
        in_chans: Channels of the input.
        global_pool: ``"avg"``, or ``""`` for the 4-D map (N, 512, h, w).
        drop_rate: Dropout before the classifier; the paper has none.
        img_size: Taken as timm's tools pass it; any size works, whatever is said here.
        device: Device of the parameters.
        dtype: Type of the parameters.
    """

    def __init__(
        self,
        num_classes: int = 8,
        in_chans: int = 3,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        img_size: int | tuple[int, int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        super().__init__(num_classes, in_chans, global_pool, drop_rate, img_size, device, dtype)
        self.init_head(AveragePool, self.widths[-1], self.widths[-1])

    def make_head(self) -> tuple[nn.Module, nn.Module]:
        """A fresh classifier, and the importance of the one before it: that knows no classes."""
        head = WeightedLinear(self.head_hidden_size, self.num_classes, **self._dd)
        before = getattr(self, "head", None)
        if isinstance(before, WeightedLinear):
            head.importance = before.importance
        return head, nn.Identity()

    @torch.jit.ignore
    def head_outputs(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """The `importance` (N,) of each face."""
        return {"importance": torch.sigmoid(self.head.importance(vector)).squeeze(1)}


#: The release keeps ResNet-18 in one Sequential, with its activation, max-pool and average pool.
_RENAMES = [
    *layer_renames([rf"features\.{i}" for i in (0, 1, 4, 5, 6, 7)]),
    (r"^fc\.", "head."),
    (r"^alpha\.0\.", "head.importance."),
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
    {"scn": {}},
    input_size=(3, 224, 224),
    first_conv="stem.conv1",
    pool_size=(7, 7),
    paper_name="Suppressing Uncertainties for Large-Scale Facial Expression Recognition",
    paper_ids="arXiv:2002.10392",
    origin_url="https://github.com/kaiwang960112/Self-Cure-Network",
    license="apache-2.0",
)


@register_model
def scn(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """SCN: ResNet-18 whose logits are weighed by the importance of the face."""
    return build_model(SCN, "scn", pretrained, checkpoint_filter_fn, maps=5, **kwargs)
