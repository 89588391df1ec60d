"""A sound network, and broken ones that each differ from it in one thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from timm.models import build_model_with_cfg
from torch import nn

from ferzoo.blocks.conv_bn import ConvBnPReLU
from ferzoo.models.base import FerModel
from ferzoo.models.build import convert_state_dict


class AveragePool(nn.Module):
    def __init__(self, **dd: Any) -> None:
        super().__init__()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3))


class Tiny(FerModel):
    """A sound network of two stages; each broken one below differs in one thing."""

    def __init__(
        self,
        num_classes: int = 6,
        in_chans: int = 3,
        global_pool: str | None = None,
        drop_rate: float = 0.0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_classes, in_chans, global_pool, drop_rate, None, device, dtype)
        dd = {"device": device, "dtype": dtype}
        self.stem = ConvBnPReLU(in_chans, 4, 3, 2, **dd)
        self.stages = nn.Sequential(*(nn.Sequential(ConvBnPReLU(4 * i, 4 * i + 4, 3, 2, **dd)) for i in (1, 2)))
        self.feature_info = [
            {"num_chs": 4 + 4 * i, "reduction": 2 << i, "module": f"stages.{i - 1}" if i else "stem"} for i in range(3)
        ]
        self.init_head(AveragePool, 12, 12)


class TinyPlain(Tiny):
    """A sound network: recomputing a stage ends within its ReLU, whose saved tensor is the last that is needed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dd = {name: kwargs.get(name) for name in ("device", "dtype")}
        self.stages = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(4 * i, 4 * i + 4, 3, 2, 1, **dd), nn.BatchNorm2d(4 * i + 4, **dd), nn.ReLU(inplace=False)
                )
                for i in (1, 2)
            )
        )


CFG = {
    "num_classes": 6,
    "input_size": (3, 32, 32),
    "mean": (0.5,) * 3,
    "std": (0.5,) * 3,
    "interpolation": "bicubic",
    "crop_pct": 1.0,
    "classifier": "head",
    "first_conv": "stem.conv",
    "license": "mit",
}


def entrypoint(cls: type[nn.Module], filter_fn: Any = convert_state_dict, **cfg: Any) -> Callable[..., nn.Module]:
    def tiny(pretrained: bool = False, **kwargs: Any) -> nn.Module:
        return build_model_with_cfg(
            cls,
            "tiny",
            pretrained,
            pretrained_cfg={**CFG, **cfg},
            pretrained_filter_fn=filter_fn,
            feature_cfg={"out_indices": (0, 1, 2), "feature_cls": "getter"},
            **kwargs,
        )

    return tiny


class NoWidth(Tiny):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.num_features = 0


class WrongWidth(Tiny):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.feature_info[1]["num_chs"] = 99


class WrongReduction(Tiny):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.feature_info[2]["reduction"] = 16


class SingleOnly(Tiny):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **{**kwargs, "dtype": None})


class Square(Tiny):
    """A sound network: of any size, but square."""

    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[2] != x.shape[3]:
            raise ValueError(f"square maps alone: {x.shape[2]}x{x.shape[3]}")
        return super().forward_features(x)


class Turned(Tiny):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward_features(x).mT


class NoDropout(Tiny):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.head_drop = nn.Identity()


class Noisy(Tiny):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x + torch.rand_like(x))


class Centred(Tiny):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x - x.mean(0))


class Stubborn(Tiny):
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        super().reset_classifier(num_classes or 1, global_pool)


class WrongMap(Tiny):
    def forward_intermediates(self, *args: Any, **kwargs: Any) -> Any:
        out = super().forward_intermediates(*args, **kwargs)
        return [m * 2 for m in out] if isinstance(out, list) else (out[0], [m * 2 for m in out[1]])


class NeverStops(Tiny):
    def forward_intermediates(self, *args: Any, **kwargs: Any) -> Any:
        return super().forward_intermediates(*args, **{**kwargs, "stop_early": False})


class KeepsAll(Tiny):
    def prune_intermediate_layers(self, indices: Any = 1, *args: Any, **kwargs: Any) -> list[int]:
        return [0]


class Silent(Tiny):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1] != self.in_chans:
            raise ValueError("wrong batch")
        return super().forward(x)


class Careless(Tiny):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return self.stages(self.stem(x))


class ThreeChannels(Tiny):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x * torch.ones(3, 1, 1))


class Closure(Tiny):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.twice = lambda x: 2 * x


class Branches(Tiny):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if bool((x.sum() > 1e6).item()):
            return torch.zeros_like(super().forward(x))
        return super().forward(x)


class FixedBatch(Tiny):
    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = self.pool(x.reshape(int(x.shape[0]), 12, 4, 4))
        return x if pre_logits else self.head(self.head_drop(x))


class BatchInPython(Tiny):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.stack([super(BatchInPython, self).forward(image[None])[0] for image in x])


class RandomPool(AveragePool):
    def __init__(self, **dd: Any) -> None:
        super().__init__()
        self.register_buffer("mix", torch.rand(12, **dd) + 0.5, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) * self.mix


class Unsaved(Tiny):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.init_head(RandomPool, 12, 12)


class Remembers(Unsaved):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        x = super().forward_features(x)
        self.head_norm.register_buffer("seen", x.mean((0, 2, 3)))
        return x


class DropsInEval(Tiny):
    def forward_head(self, x: torch.Tensor, pre_logits: bool = False) -> torch.Tensor:
        x = nn.functional.dropout(self.pool(x), self.drop_rate, training=True)
        return x if pre_logits else self.head(x)


class Clamps(Tiny):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward_features(x.clamp_(-1.5, 1.5))


class CpuConstant(Tiny):
    def forward_features(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward_features(x) * torch.full((1,), 1.5)


class SingleHead(Tiny):
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        super().reset_classifier(num_classes, global_pool)
        self.head.float()


class CpuHead(Tiny):
    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        super().reset_classifier(num_classes, global_pool)
        self.head = nn.Linear(12, num_classes, dtype=self.stem.conv.weight.dtype) if num_classes else nn.Identity()


class Misnamed(Tiny):
    def forward_train(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        logits = self(x)
        return {"logits": logits, "features": x, "embedding": logits}


def fills_in(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """A filter that takes what is missing of the stages from the network."""
    own = {name: tensor for name, tensor in model.state_dict().items() if name.startswith("stages.")}
    return convert_state_dict({**own, **state}, model)


def drops_surplus(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """A filter that takes of the stages what the network has."""
    own = model.state_dict()
    return convert_state_dict({k: v for k, v in state.items() if k in own or not k.startswith("stages.")}, model)


def reshapes(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """A filter that takes what does not fit from the network."""
    own = model.state_dict()
    fits = {k: k not in own or own[k].shape == v.shape or k.startswith(("stem.", "head.")) for k, v in state.items()}
    return convert_state_dict({k: v if fits[k] else own[k] for k, v in state.items()}, model)


def drops_by_size(state: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """A filter that, for another class count, drops every tensor that is as large as the checkpoint's."""
    own, classes = model.state_dict(), len(state["head.bias"])
    if len(own["head.bias"]) == classes:
        return convert_state_dict(state, model)
    kept = {k: own[k] if classes in v.shape and not k.startswith("head.") else v for k, v in state.items()}
    return convert_state_dict(kept, model)
