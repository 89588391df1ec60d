"""A training recipe: typed, from YAML and `key=value` overrides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import RecipeError, nearest

__all__ = ["Recipe"]


@dataclass(frozen=True)
class Recipe:
    """What a training run does; every field can be given in YAML or as `key=value`.

    Attributes:
        model: Name of the network.
        data: Folder with FERPlus' train.parquet and validation.parquet.
        out: Folder of the run: checkpoint, metrics, log and the state to resume from.
        init: Weights to start from, a name with a tag or a checkpoint folder; empty for a fresh network.
        model_kwargs: Further arguments of `create_model`.
        epochs: Passes over the training rows.
        batch_size: Faces a step.
        sizes: Input side in pixels by first epoch; the last one is the network's from then on.
        opt: Optimiser, a name of timm's.
        lr: Peak learning rate of the one-cycle schedule.
        weight_decay: Decoupled weight decay of weights that are not 1-D.
        warmup: Fraction of the steps that the learning rate rises.
        loss: Sum of losses, `"ce + 1.0*cosine_harmony(alpha=0.1)"`, or a mapping from names to weights or arguments.
        soft: Train on the vote distribution; otherwise on the majority.
        rotation: Largest rotation in degrees.
        translation: Largest shift as a fraction of the side.
        scale: Smallest and largest scale.
        erasing: Probability of random erasing.
        clip_grad: Largest gradient norm, 0 for none.
        seed: Seed of weights, order and augmentation.
        amp: Compute in bfloat16 where `torch.autocast` does; the weights stay float32.
        compile: Use `torch.compile`; each new size compiles for some minutes.
        threads: CPU threads, 0 for torch's choice.
        device: Device, for example ``"cpu"`` or ``"cuda"``.
        limit: Train on the first rows only, 0 for all; for trials.
    """

    model: str = "lfnsb"
    data: str = "data"
    out: str = "runs/lfnsb"
    init: str = ""
    model_kwargs: dict[str, Any] = field(default_factory=dict)
    epochs: int = 14
    batch_size: int = 128
    sizes: dict[int, int] = field(default_factory=lambda: {0: 64})
    opt: str = "adamw"
    lr: float = 3e-3
    weight_decay: float = 0.05
    warmup: float = 0.2
    loss: Any = "ce"
    soft: bool = True
    rotation: float = 15.0
    translation: float = 0.05
    scale: tuple[float, float] = (0.85, 1.15)
    erasing: float = 0.25
    clip_grad: float = 1.0
    seed: int = 0
    amp: bool = False
    compile: bool = False
    threads: int = 0
    device: str = "cpu"
    limit: int = 0

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            RecipeError: If a value is out of range; names the key.
        """
        try:
            sizes = {int(first): int(side) for first, side in dict(self.sizes).items()}
        except (TypeError, ValueError):
            raise RecipeError(f"sizes maps first epochs to sides in pixels, {{0: 48}}; got {self.sizes}.") from None
        object.__setattr__(self, "sizes", dict(sorted(sizes.items())))
        object.__setattr__(self, "scale", tuple(self.scale))
        positive = {"epochs": self.epochs, "batch_size": self.batch_size, "lr": self.lr}
        for key, value in positive.items():
            if not value > 0:
                raise RecipeError(f"{key} must be above 0, got {value!r}.")
        if 0 not in self.sizes:
            raise RecipeError(f"sizes must say the size from epoch 0 on, got {self.sizes}.")
        if min(self.sizes.values()) < 32:
            raise RecipeError(f"sizes must be 32 px or more, got {self.sizes}.")
        if late := [first for first in self.sizes if first >= self.epochs]:
            raise RecipeError(f"sizes names epoch {late[0]}, but there are only {self.epochs}, counted from 0.")
        numbers = all(isinstance(v, int | float) for v in self.scale)
        if not numbers or not 0 < self.scale[0] <= self.scale[1]:
            raise RecipeError(f"scale is the smallest and the largest factor, both above 0; got {list(self.scale)}.")
        for key in ("threads", "limit", "weight_decay", "clip_grad", "rotation"):
            if not getattr(self, key) >= 0:
                raise RecipeError(f"{key} must be 0 or more, got {getattr(self, key)!r}.")
        for key in ("erasing", "warmup", "translation"):
            if not 0 <= getattr(self, key) <= 1:
                raise RecipeError(f"{key} must lie in [0, 1], got {getattr(self, key)!r}.")
        if not isinstance(self.loss, str | Mapping) or not self.loss:
            raise RecipeError(f"loss is a sum such as 'ce + 0.5*center', or a mapping; got {self.loss!r}.")
        if self.batch_size < 2:
            raise RecipeError("batch_size must be 2 or more: BatchNorm needs two faces.")

    @classmethod
    def load(cls, path: str | Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
        """Read a YAML recipe and apply overrides.

        Args:
            path: The YAML file; None for the defaults.
            overrides: ``"key=value"``, each value parsed as YAML.

        Raises:
            RecipeError: If the file, a key or a value is wrong; names the nearest key.
        """
        import yaml

        values: dict[str, Any] = {}
        if path is not None:
            try:
                values = yaml.safe_load(Path(path).read_text(encoding="utf-8")) or {}
            except OSError as error:
                raise RecipeError(f"The recipe {path} cannot be read: {error.strerror or error}.") from error
            except (yaml.YAMLError, UnicodeDecodeError) as error:
                raise RecipeError(f"The recipe {path} is no valid YAML: {error}") from error
            if not isinstance(values, Mapping):
                raise RecipeError(f"The recipe {path} must be a mapping of keys to values.")
            values = dict(values)
        for item in overrides:
            key, found, value = item.partition("=")
            if not found:
                raise RecipeError(f"An override is written key=value, got {item!r}.")
            try:
                values[key] = yaml.safe_load(value)
            except yaml.YAMLError as error:
                raise RecipeError(f"The value of {item!r} is no valid YAML: {error}") from error
        return cls.from_dict(values)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Build a recipe from a mapping, checking names and types.

        Raises:
            RecipeError: If a key is unknown or a value has the wrong type.
        """
        defaults = {f.name: getattr(_DEFAULT, f.name) for f in fields(cls)}
        checked = {}
        for key, value in values.items():
            if key not in defaults:
                close = nearest(str(key), defaults)
                offer = f"Did you mean {' or '.join(close)}?" if close else f"Known: {', '.join(defaults)}."
                raise RecipeError(f"Unknown recipe key {key!r}. {offer}")
            checked[key] = _as_type(key, value, defaults[key])
        return cls(**checked)

    def size_at(self, epoch: int) -> int:
        """Input side in pixels during an epoch."""
        return [size for first, size in self.sizes.items() if first <= epoch][-1]

    @property
    def final_size(self) -> int:
        """Input side in pixels of the last epoch: that of the weights to come."""
        return self.size_at(self.epochs - 1)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for YAML and JSON."""
        return {**asdict(self), "scale": list(self.scale)}


def _as_type(key: str, value: Any, default: Any) -> Any:
    wanted = type(default)
    if wanted is float and isinstance(value, str | int) and not isinstance(value, bool):
        try:
            return float(value)  # YAML reads 3e-3 as text
        except ValueError:
            pass
    if wanted is tuple and isinstance(value, list) and len(value) == len(default):
        return tuple(value)
    if key == "loss" and isinstance(value, Mapping):
        return dict(value)
    if not isinstance(value, wanted) or (wanted is int and isinstance(value, bool)):
        raise RecipeError(f"{key} must be {wanted.__name__}, got {value!r}.")
    return value


_DEFAULT = Recipe()
