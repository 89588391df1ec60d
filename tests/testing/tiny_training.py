"""Networks that each differ from a sound one in how they train."""

from __future__ import annotations

from typing import Any

import torch
from tiny_networks import Tiny
from torch import nn


class TwoViews(Tiny):
    """A sound network: it looks at the vector twice while it trains, by chance anew each time."""

    def head_outputs(self, vector: torch.Tensor) -> dict[str, torch.Tensor]:
        return {
            "heads": torch.stack([self.head(nn.functional.dropout(vector, 0.2, self.training)) for _ in range(2)], 1)
        }

    def make_head(self) -> tuple[nn.Module, nn.Module]:
        head, _ = super().make_head()
        return head, nn.Dropout(0.2)


class ZeroHead(Tiny):
    """A sound network: its classifier starts at zero."""

    def make_head(self) -> tuple[nn.Module, nn.Module]:
        head, norm = super().make_head()
        for parameter in head.parameters():
            nn.init.zeros_(parameter)
        return head, norm


class ZeroBranch(ZeroHead):
    """A sound network: so does the last BatchNorm of its residual branch, as timm's ResNets have it."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dd = {name: kwargs.get(name) for name in ("device", "dtype")}
        self.stages[1].append(Residual(12, **dd))


class Residual(nn.Module):
    def __init__(self, channels: int, **dd: Any) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False, **dd)
        self.bn = nn.BatchNorm2d(channels, **dd)
        nn.init.zeros_(self.bn.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bn(self.conv(x))


class ZeroCut(ZeroHead):
    """Its classifier starts at zero, and what lies before it gets no gradient in forward_train."""

    def forward_train(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.forward_features(x).detach()
        return {"logits": self.forward_head(features), "features": features}


class LogitsAlone(Tiny):
    def forward_train(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self(x)}


class Pretends(Tiny):
    loss_only_parameters = ("head.bias",)


class Unused(Tiny):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.extra = nn.Parameter(torch.zeros(3, 3, device=kwargs.get("device"), dtype=kwargs.get("dtype")))


class Cut(Unused):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + 0 * self.extra.sum()


class NoRecompute(Tiny):
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        pass


class OneGroup(Tiny):
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        return {"stem": "^stem"}


class WrongDecay(Tiny):
    def no_weight_decay(self) -> set[str]:
        return {"no.such.weight"}


class Detached(Tiny):
    def forward_train(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.forward_features(x).detach()
        return {"logits": self.forward_head(features), "features": features}


class Softened(Tiny):
    def forward_train(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = super().forward_train(x)
        return {**outputs, "logits": outputs["logits"].softmax(1)} if self.training else outputs


class Undropped(Tiny):
    def forward_train(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"logits": self.head(self.pool(self.forward_features(x)))}


class FrozenNorms(Tiny):
    def train(self, mode: bool = True) -> FrozenNorms:
        super().train(mode)
        for part in self.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.training = False
        return self


class AlwaysRecomputes(Tiny):
    def set_grad_checkpointing(self, enable: bool = True) -> None:
        self.grad_checkpointing = self.grad_checkpointing or enable


class HeadFirst(Tiny):
    def group_matcher(self, coarse: bool = False) -> dict[str, Any]:
        return {"head": "^head", "blocks": r"^stages\.(\d+)", "stem": "^stem"}


class NoDecay(Tiny):
    def no_weight_decay(self) -> set[str]:
        return {name for name, _ in self.named_parameters()}
