"""DAN, "Distract Your Attention" (Wen et al. 2023, Biomimetics 8(2):199, arXiv 2109.07270)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from ..blocks.cross_attention import CrossAttentionHead
from ..registry.register import register_model
from .build import StateDict, build_model, convert_state_dict, default_cfgs_for
from .resnet18 import ResNet18, layer_renames

__all__ = ["DAN", "checkpoint_filter_fn", "dan"]


class CrossAttention(nn.Module):
    """Several cross-attention heads on one map; the log-softmax over the heads makes them compete.

    Shape: (N, channels, H, W) to (N, channels).
    """

    def __init__(self, channels: int, num_heads: int, **dd: Any) -> None:
        """Take the map's channels, the number of heads, and `device` and `dtype`."""
        super().__init__()
        self.heads = nn.ModuleList(CrossAttentionHead(channels, **dd) for _ in range(num_heads))
        self.several = num_heads > 1

    def attend(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Vectors (N, heads, channels) of the heads, and their spatial attention (N, heads, 1, H, W)."""
        maps: list[torch.Tensor] = []
        vectors: list[torch.Tensor] = []
        for head in self.heads:
            attention = head.attention(x)  # type: ignore[operator]
            maps.append(attention)
            vectors.append(head.vector(x, attention))  # type: ignore[operator]
        heads = torch.stack(vectors, dim=-1)
        if self.several:
            # Over an axis that is not the last, torch 2.6 overflows in bfloat16 on a CPU.
            heads = torch.log_softmax(heads, dim=-1)
        return heads.transpose(1, 2), torch.stack(maps, dim=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum over the heads."""
        return self.attend(x)[0].sum(1)


class DAN(ResNet18):
    """ResNet-18 with heads of spatial and channel attention, which are pulled apart and summed.

    Takes (N, in_chans, H, W) of any size from 32 px up, by default 224 px. `forward_train` gives the `heads`
    (N, num_heads, 512) after the log-softmax, which the loss `partition` takes, and their spatial `attention`
    (N, num_heads, 1, h, w).

    Args:
        num_heads: Attention heads.
        num_classes: Classes; 0 for the 512-d vector.
        in_chans: Channels of the input.
        global_pool: ``"head"`` for the network's own head, ``""`` for the 4-D map (N, 512, h, w).
        drop_rate: Dropout before the classifier; the paper has none.
        img_size: Taken as timm's tools pass it; any size works, whatever is said here.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: If there is no head.
    """

    native_pool = "head"

    def __init__(
        self,
        num_heads: int = 4,
        num_classes: int = 8,
        in_chans: int = 3,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        img_size: int | tuple[int, int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        if num_heads < 1:
            raise ValueError(f"num_heads must be 1 or more, got {num_heads}.")
        super().__init__(num_classes, in_chans, global_pool, drop_rate, img_size, device, dtype)
        width = self.widths[-1]
        self.init_head(partial(CrossAttention, width, num_heads), width, width)

    def make_head(self) -> tuple[nn.Module, nn.Module]:
        """The classifier, and a BatchNorm over the classes."""
        head = nn.Linear(self.head_hidden_size, self.num_classes, **self._dd)
        return head, nn.BatchNorm1d(self.num_classes, **self._dd)

    @torch.jit.ignore
    def pool_outputs(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """The `embedding`, the `heads` that it sums, and their `attention`."""
        heads, attention = self.pool.attend(features)
        return {"embedding": heads.sum(1), "heads": heads, "attention": attention}


#: The release keeps ResNet-18 in one Sequential, with its activation and max-pool.
_RENAMES = [
    *layer_renames([rf"features\.{i}" for i in (0, 1, 4, 5, 6, 7)]),
    (r"^cat_head(\d+)\.", r"pool.heads.\1."),
    (r"^(pool\.heads\.\d+)\.sa\.conv1x1\.", r"\1.reduce."),
    (r"^(pool\.heads\.\d+)\.sa\.conv_3x3\.", r"\1.square."),
    (r"^(pool\.heads\.\d+)\.sa\.conv_1x3\.", r"\1.flat."),
    (r"^(pool\.heads\.\d+)\.sa\.conv_3x1\.", r"\1.upright."),
    (r"^(pool\.heads\.\d+)\.ca\.attention\.", r"\1.gate."),
    (r"^fc\.", "head."),
    (r"^bn\.", "head_norm."),
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
    {"dan": {}},
    input_size=(3, 224, 224),
    first_conv="stem.conv1",
    pool_size=(7, 7),
    paper_name="Distract Your Attention: Multi-head Cross Attention Network for Facial Expression Recognition",
    paper_ids="arXiv:2109.07270",
    origin_url="https://github.com/yaoing/DAN",
    license="apache-2.0",
)


@register_model
def dan(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """DAN: ResNet-18 and four heads of cross attention."""
    return build_model(DAN, "dan", pretrained, checkpoint_filter_fn, maps=5, **kwargs)
