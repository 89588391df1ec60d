"""The timm contract, once for every network of the zoo."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from numbers import Integral
from typing import Any

import torch
import torch.fx
from timm.models import checkpoint_seq
from torch import nn

from ..errors import InputSizeError
from .inputs import MIN_SIZE, check_input, whole
from .intermediates import Intermediates

__all__ = ["FerModel"]

# A leaf for symbolic tracing: the check looks at sizes that a trace does not know.
torch.fx.wrap("check_input")


class FerModel(Intermediates):
    """Base of every network: stem, stages and final convolution, pool to a vector, classifier.

    A subclass's constructor calls `super().__init__`, sets `stem`, `stages` (an `nn.Sequential`),
    `final_conv` and `pool` (a map to a vector (N, head_hidden_size)), fills `feature_info`, and calls
    `init_head`. The forward pass takes (N, in_chans, H, W) and returns logits (N, num_classes).

    Attributes:
        num_classes: Classes of the classifier, 0 where there is none.
        num_features: Channels of the map that `forward_features` returns.
        head_hidden_size: Width of the vector that the classifier takes.
        feature_info: Channels, stride and module name of the stem and of each stage.
        loss_only_parameters: Names of parameters whose gradient comes from a loss on the attention alone.
    """

    #: The network's own pooling; `''` gives the 4-D map instead.
    native_pool = "avg"
    #: By how much the last map is smaller than the input.
    map_reduction = 16
    #: Whether the rest of a side that it does not divide is cut off; else the map is one larger.
    map_is_cut = False
    #: Pictures of one face that the network also takes, (N, num_regions, in_chans, H, W); 0 for none.
    num_regions = 0
    loss_only_parameters: tuple[str, ...] = ()

    def __init__(
        self,
        num_classes: int,
        in_chans: int,
        global_pool: str | None,
        drop_rate: float,
        img_size: int | tuple[int, int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        fixed_size: bool = True,
    ) -> None:
        """Keep the arguments that every network shares.

        Args:
            num_classes: Classes; 0 for features alone.
            in_chans: Channels of the input.
            global_pool: The class's `native_pool`, or `''` for none; None for the native one.
            drop_rate: Dropout before the classifier, in [0, 1).
            img_size: Input height and width.
            device: Device of the parameters.
            dtype: Type of the parameters.
            fixed_size: The network works at `img_size` alone; otherwise at any size.

        Raises:
            ValueError: If an argument is out of its range.
        """
        super().__init__()
        if not 0 <= drop_rate < 1:
            raise ValueError(f"drop_rate must lie in [0, 1), got {drop_rate}.")
        self.in_chans = whole("in_chans", in_chans, 1)
        self.drop_rate = drop_rate
        self.grad_checkpointing = False
        self.img_size: tuple[int, int] | None = None
        # Height and width of the last map; not known where any input size is taken. No property: TorchScript
        # reads those of a base class while it looks for methods.
        self.map_size: tuple[int, int] = (0, 0)
        if img_size is not None:
            sides = img_size if isinstance(img_size, Sequence) else (img_size, img_size)
            if len(sides) != 2 or not all(isinstance(side, Integral) for side in sides):
                raise InputSizeError(f"img_size is a side in pixels, or (height, width), got {img_size!r}.")
            height, width = map(int, sides)
            if min(height, width) < MIN_SIZE:
                raise InputSizeError(f"img_size must be {MIN_SIZE} px or more a side, got {height}x{width}.")
            if fixed_size:
                self.img_size = (height, width)
                self.map_size = self.map_size_at(height, width)
        self._dd: dict[str, Any] = {"device": device, "dtype": dtype}
        self.feature_info: list[dict[str, Any]] = []
        self.stem: nn.Module = nn.Identity()
        self.stages: nn.Sequential = nn.Sequential()
        self.final_conv: nn.Module = nn.Identity()
        self.num_features = 0
        self.head_hidden_size = 0
        self.global_pool = self.native_pool
        self._check_head(num_classes, global_pool)
        self.num_classes = int(num_classes)
        self.global_pool = self.native_pool if global_pool is None else global_pool

    @classmethod
    def map_size_at(cls, height: int, width: int) -> tuple[int, int]:
        """Height and width of the last map, timm's `pool_size`, of an input of this height and width in pixels."""
        rest = 0 if cls.map_is_cut else cls.map_reduction - 1
        return (height + rest) // cls.map_reduction, (width + rest) // cls.map_reduction

    def _check_head(self, num_classes: int, global_pool: str | None) -> None:
        whole("num_classes", num_classes, 0)
        if global_pool not in (None, "", self.native_pool):
            raise ValueError(
                f"global_pool of {type(self).__name__} is {self.native_pool!r}, or '' for the map, got {global_pool!r}."
            )

    def add_stage(self, blocks: Iterable[nn.Module], width: int) -> None:
        """Append a stage that halves the map, and its line in `feature_info`; the stem's comes before.

        Args:
            blocks: The stage's blocks in order.
            width: Channels of its map.
        """
        index = len(self.stages)
        self.stages.append(nn.Sequential(*blocks))
        self.feature_info.append({"num_chs": width, "reduction": 4 * 2**index, "module": f"stages.{index}"})

    def init_head(self, make_pool: Callable[..., nn.Module], num_features: int, head_hidden_size: int) -> None:
        """Set the pool and the classifier, once the subclass knows their widths.

        Args:
            make_pool: Builds, from `device` and `dtype`, the module that makes a vector
                (N, head_hidden_size) of the map (N, num_features, H, W).
            num_features: Channels of the map.
            head_hidden_size: Width of the vector.
        """
        self.num_features, self.head_hidden_size = num_features, head_hidden_size
        self._make_pool = make_pool
        self.pool = make_pool(**self._dd) if self.global_pool else nn.Identity()
        self.head_drop = nn.Dropout(self.drop_rate)
        self._set_head()

    def _set_head(self) -> None:
        """Set a fresh classifier, or Identities where there are no classes or no vector."""
        wanted = self.num_classes and self.global_pool
        head, norm = self.make_head() if wanted else (nn.Identity(), nn.Identity())
        self.head, self.head_norm = head.train(self.training), norm.train(self.training)

    def make_head(self) -> tuple[nn.Module, nn.Module]:
        """A fresh classifier, from (N, head_hidden_size) to (N, num_classes), and what follows it."""
        return nn.Linear(self.head_hidden_size, self.num_classes, **self._dd), nn.Identity()

    @torch.jit.ignore
    def no_weight_decay(self) -> set[str]:
        """PReLU slopes: decay would pull them to zero (He et al. 2015, section 2.1)."""
        return {f"{name}.weight" if name else "weight" for name, m in self.named_modules() if isinstance(m, nn.PReLU)}

    @torch.jit.ignore
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        """Patterns that put every parameter in a group, for layer-wise learning rates."""
        return {
            "stem": r"^stem",
            "blocks": [
                (r"^stages\.(\d+)" if coarse else r"^stages\.(\d+)\.(\d+)", None),
                (r"^stages\.(\d+)", (0,)),
                (r"^final_conv", (99999,)),
            ],
            "head": r"^(?:pool|head)",
        }

    @torch.jit.ignore
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        """Recompute each stage in the backward pass, to save memory."""
        self.grad_checkpointing = enable

    @torch.jit.ignore
    def get_classifier(self) -> nn.Module:
        """The classifier, an Identity where there is none."""
        return self.head

    @torch.jit.ignore
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Replace the classifier by a fresh one.

        Args:
            num_classes: Classes; 0 for features alone.
            global_pool: The class's `native_pool`, `''` for the 4-D map, None to leave it.

        Raises:
            ValueError: If the class count is negative or the pool unknown.
        """
        self._check_head(num_classes, global_pool)
        reference = next(self.parameters())
        self._dd = {"device": reference.device, "dtype": reference.dtype}
        if global_pool is not None and global_pool != self.global_pool:
            self.pool = self._make_pool(**self._dd) if global_pool else nn.Identity()
            self.pool.train(self.training)  # a pool may hold BatchNorms
            self.global_pool = global_pool
        self.num_classes = int(num_classes)
        self._set_head()

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        """Return the map (N, num_features, h, w) that the head takes."""
        if not torch.jit.is_scripting():
            # The head alone has to know the size.
            x = check_input(x, self.in_chans, self.img_size if self.global_pool else None, self.num_regions)
        x = self.stem(x)
        maps = [x]
        for stage in self.stages:
            if self.grad_checkpointing and not torch.jit.is_scripting():
                x = checkpoint_seq(stage, x)
            else:
                x = stage(x)
            maps.append(x)
        return self.fuse_stages(maps)

    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        """Return logits, or the vector before the classifier, from `forward_features`' map."""
        x = self.head_drop(self.pool(x))
        return x if pre_logits else self.head_norm(self.head(x))

    @torch.jit.ignore
    def forward_train(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        """Outputs that losses take.

        Args:
            x: Batch (N, in_chans, H, W).

        Returns:
            `logits` (N, C), `features` (N, F, h, w), `embedding` (N, D); and where the network has any, `heads`
            (N, k, ...), `attention`, and `importance` of each face (N,) or of each of its regions (N, R).
        """
        features = self.forward_features(x)
        outputs = self.pool_outputs(features) if self.global_pool else {"embedding": features}
        vector = self.head_drop(outputs["embedding"])
        logits = self.head_norm(self.head(vector))  # first, so that random numbers are those of `forward`
        if self.num_classes and self.global_pool:
            outputs |= self.head_outputs(vector)
        return {"logits": logits, "features": features, **outputs}

    @torch.jit.ignore
    def pool_outputs(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """The `embedding` of a map, and what else the pool makes that losses take."""
        return {"embedding": self.pool(features)}

    @torch.jit.ignore
    def head_outputs(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the classifier makes beside the logits that losses take."""
        return {}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, num_classes), or the vector or map where there is no classifier."""
        return self.forward_head(self.forward_features(x))
