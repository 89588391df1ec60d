"""DDAMFN, the dual-direction attention mixed feature network (Zhang et al. 2023, Electronics 12(17):3595)."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from torch import nn

from ..blocks.dual_direction import DualDirectionAttention
from ..blocks.gdconv import GDConvHead
from ..registry.register import register_model
from .backbone import take_backbone
from .build import StateDict, build_model, convert_state_dict, default_cfgs_for
from .mfn import MFN
from .released import backbone_renames

__all__ = ["DDAMFN", "checkpoint_filter_fn", "ddamfn"]


class DualDirectionPool(nn.Module):
    """The map times the largest attention of several heads, through a global depthwise convolution.

    Shape: (N, channels, *map_size) to (N, channels).
    """

    def __init__(self, channels: int, map_size: tuple[int, int], num_heads: int, **dd: Any) -> None:
        """Take the map's channels and size, the number of heads, and `device` and `dtype`."""
        super().__init__()
        self.heads = nn.ModuleList(DualDirectionAttention(channels, map_size, **dd) for _ in range(num_heads))
        self.gdconv = GDConvHead(channels, map_size, 0, **dd)

    def attend(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The vector, and the heads' attention (N, heads, channels, *map_size)."""
        maps: list[torch.Tensor] = []
        for head in self.heads:
            maps.append(head(x))
        attention = torch.stack(maps, dim=1)
        return self.gdconv(x * attention.amax(1)), attention

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the vector."""
        return self.attend(x)[0]


class DDAMFN(MFN):
    """MFN with dual-direction attention heads, of which the largest counts at every position.

    Takes (N, in_chans, *img_size). `forward_train` gives the heads' `attention` (N, num_heads, 512, h, w), which the
    loss `attention_diversity` takes.

    Args:
        num_heads: Attention heads; the paper also tries 4.
        num_classes: Classes; 0 for the 512-d vector.
        in_chans: Channels of the input.
        global_pool: ``"head"`` for the network's own head, ``""`` for the 4-D map (N, 512, h, w).
        drop_rate: Dropout before the classifier.
        img_size: Input height and width, which the head has to know.
        device: Device of the parameters.
        dtype: Type of the parameters.

    Raises:
        ValueError: If there is no head.
    """

    def __init__(
        self,
        num_heads: int = 2,
        num_classes: int = 8,
        in_chans: int = 3,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        img_size: int | tuple[int, int] = 112,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """See the class."""
        if num_heads < 1:
            raise ValueError(f"num_heads must be 1 or more, got {num_heads}.")
        super().__init__(num_classes, in_chans, global_pool, drop_rate, img_size, device=device, dtype=dtype)
        # In the place of MFN's embedding.
        width = self.num_features
        self.init_head(partial(DualDirectionPool, width, self.map_size, num_heads), width, width)

    @torch.jit.ignore
    def load_backbone(self, backbone: nn.Module) -> None:
        """Take over the weights of an `MFN`, such as one that was trained on faces; its head plays no part.

        Raises:
            CheckpointError: If it is another network; names what does not fit.
        """
        head = ("pool.", "head.")
        needed = [name for name in self.state_dict() if not name.startswith(head)]
        take_backbone(self, backbone.state_dict(), type(backbone).__name__, needed, unused=head)

    @torch.jit.ignore
    def pool_outputs(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """The `embedding`, and the `attention` of each head."""
        embedding, attention = self.pool.attend(features)
        return {"embedding": embedding, "attention": attention}


_RENAMES = [
    *backbone_renames([f"features.{i}" for i in range(9)]),
    (r"^cat_head(\d+)\.CoordAtt\.", r"pool.heads.\1."),
    (r"^(pool\.heads\.\d+)\.Linear_h\.conv\.", r"\1.rows.c."),
    (r"^(pool\.heads\.\d+)\.Linear_w\.conv\.", r"\1.columns.c."),
    (r"^(pool\.heads\.\d+)\.Linear_h\.", r"\1.rows."),
    (r"^(pool\.heads\.\d+)\.Linear_w\.", r"\1.columns."),
    (r"^(pool\.heads\.\d+)\.conv2\.", r"\1.conv_h."),
    (r"^(pool\.heads\.\d+)\.conv3\.", r"\1.conv_w."),
    (r"^Linear\.conv\.", "pool.gdconv.conv.c."),
    (r"^Linear\.", "pool.gdconv.conv."),
    (r"^fc\.", "head."),
]
#: Of MFN's bottlenecks, of the heads and over the classes: layers that the release's forward never calls.
_UNUSED = (r"\.conv_dw\.(bn|prelu)\.", r"^cat_head\d+\.CoordAtt\.Linear\.", r"^bn\.")


def checkpoint_filter_fn(state_dict: StateDict, model: nn.Module) -> dict[str, torch.Tensor]:
    """Take this network's names and the authors' released ones; check that nothing else differs.

    Args:
        state_dict: Tensors by name.
        model: The network that they are for.

    Raises:
        CheckpointError: If names are missing or unexpected, or a shape differs; lists them.
    """
    return convert_state_dict(state_dict, model, _RENAMES, unused=_UNUSED)


default_cfgs = default_cfgs_for(
    {"ddamfn": {}},
    fixed_input_size=True,
    first_conv="stem.conv.conv",
    pool_size=(7, 7),
    paper_name="A Dual-Direction Attention Mixed Feature Network for Facial Expression Recognition",
    origin_url="https://github.com/SainingZhang/DDAMFN",
    license="apache-2.0",
)


@register_model
def ddamfn(pretrained: bool = False, **kwargs: Any) -> nn.Module:
    """DDAMFN: the mixed feature network with two heads of dual-direction attention."""
    return build_model(DDAMFN, "ddamfn", pretrained, checkpoint_filter_fn, **kwargs)
