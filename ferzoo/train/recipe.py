"""A training recipe: typed, from YAML and `key=value` overrides."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import RecipeError, nearest, no_text
from ..weights.configs import WHERE
from .recipe_checks import TUPLES, as_type, check_ranges, checked_sizes, checked_tuple
from .yaml_values import parse_yaml

__all__ = ["WHERE", "Recipe"]


@dataclass(frozen=True)
class Recipe:
    """What a training run does; every field can be given in YAML or as `key=value`.

    Attributes:
        model: Name of the network, of the zoo or of timm, without a tag: trained weights are named by `init`. Where a
            plugin has a name of timm's, `timm:NAME` is timm's own.
        dataset: Data set, a name of `ferzoo.data.readers.DATASETS`.
        data: Folder of the data set.
        train_split: Split to train on.
        validation_split: Split that measures every epoch; a data set without one, as RAF-DB, has `test`.
        strict: Refuse an incomplete copy of the data set; false takes it as it is, as `ferzoo eval --partial`.
        skip_damaged: Leave out images that cannot be decoded; every image is decoded once to find them.
        class_names: Classes of `folder`, `timm:NAME` and `hf:NAME` in order; empty for those of the data.
        columns: Image and label column of `hf:NAME`; empty to find them by type and name.
        in_memory: Decode a set once where its images are of one size and take 2 GiB at most.
            Other images, and with false all, are decoded whenever they are asked for.
        unseen: Measure also on the validation rows whose image is not among the training rows.
            False where hashing every image takes too long.
        folds: Cross-validation: this many folds of the training split, 0 for none; the validation split is not used.
        fold: The fold that validates, from 0, in a run of this fold alone; -1 for each in turn.
        out: Folder of the run: checkpoint, metrics, log and the state to resume from.
        init: Weights to start from, a name with a tag or a checkpoint folder; the head starts afresh where it is
            another or of another size (`lfn` from `lfnsb.ferplus`). Those of a backbone alone,
            `timm:resnet18.tv_in1k`, for networks that have one; empty for a fresh network.
        model_kwargs: Further arguments of `create_model`.
        epochs: Passes over the training rows.
        batch_size: Faces a step.
        sizes: Input side in pixels by first epoch; the last one is the network's from then on.
        opt: Optimiser, a name of timm's.
        opt_kwargs: Further arguments of the optimiser, `{momentum: 0.9}`.
        lr: Peak learning rate.
        sched: `onecycle`, `plateau` or `none` of torch, or timm's `cosine`, `tanh`, `step`, `multistep` or `poly`.
        sched_kwargs: Further arguments of it, `{decay_epochs: 15, decay_rate: 0.1}`; `{patience: 8}` for `plateau`.
            It lowers the rate at the ninth epoch without a better one.
        weight_decay: Weight decay of weights that are not 1-D; decoupled under `adamw`, part of the gradient under
            `adam` and `momentum`.
        warmup: Fraction of the run in which the learning rate rises; not with `plateau` and `none`. In timm's schedules
            (all but `onecycle`) it is rounded to whole epochs, one at least where it is not 0.
        loss: Sum of losses, `"ce + 1.0*cosine_harmony(alpha=0.1)"`, or a mapping from names to weights or arguments.
        soft: Train on the vote distribution; otherwise on the majority.
        grayscale: Take the colours away, as FER-2013's faces have none; false for photographs in colour.
        flip: Probability of mirroring a face.
        rotation: Largest rotation in degrees.
        translation: Largest shift as a fraction of 1.5 times the side: that with the margins around it.
        scale: Smallest and largest scale.
        erasing: Probability of random erasing.
        erasing_area: Smallest and largest share of the face that random erasing covers.
        mixup: Alpha of mixup, 0 for none.
        cutmix: Alpha of CutMix, 0 for none; with both, each batch gets one of them.
        balance: `none`, `sampler` to draw every class equally often, or `weights` to weight cross-entropy so.
        relabel: From this epoch on, counted from 1, a face whose most probable class leads its label's by more than
            `relabel_margin` gets that class as its label (SCN), with `soft=false`; 0 for never.
        relabel_margin: Difference of the probabilities.
        flood: Level under which the loss is turned around (Ishida et al. 2020), 0 for none.
        sam: Radius of sharpness-aware minimisation, 0 for none; doubles the cost of a step.
        ema: Decay of the moving average of the weights, which is then what is measured and kept; 0 for none.
        teacher: Trained network whose outputs are targets too, a name or a folder; several as ``a + b``, whose
            probabilities are averaged; empty for none.
        distill: Share of the teacher's targets in the loss, in [0, 1].
        distill_once: Ask the teacher once, before the first epoch, about every training face as it is and, with
            `flip`, mirrored, and mix its answers into the targets, rather than asking it about every batch: an epoch
            then costs what it costs without a teacher. Needs `soft`.
        temperature: Temperature of the teacher's targets.
        clip_grad: Largest gradient norm, 0 for none.
        patience: Stop after this many epochs without a better one, 0 for never.
        seed: Seed of weights, order and augmentation.
        amp: Compute in bfloat16 where `torch.autocast` does; the weights stay float32. A CPU without instructions for
            bfloat16 (AVX-512 with bfloat16, AMX, Arm's) computes in float32 all the same: it would take ten times as
            long and more.
        bf16_pointwise: Compute the 1x1 convolutions in bfloat16 and all else in float32; for CPUs with AMX, where
            `amp` is slow; a CPU without instructions for bfloat16 leaves it.
        fused_blocks: Compute MixConv bottlenecks, and with `amp` the blocks of LANMSFF and MobileFaceNet, by loops that
            numba compiles, with the widest maps in bfloat16, each on one thread, and with `amp` dense convolutions of
            small maps as matrix products; for CPUs and one process a core, in place of `compile`. Needs the extra
            `cpu`; on a GPU nothing changes.
        compile: Use `torch.compile`; each new size compiles for some minutes.
        sync_bn: BatchNorm statistics over all processes, on GPUs.
        threads: CPU threads, 0 for torch's choice.
        workers: Processes that load images, 0 for the main one. Each draws its own augmentations, so another number of
            them is another run.
        device: `auto` for a GPU where there is one, `cpu` or `cuda`.
        limit: Train on this many rows, drawn by the seed, 0 for all; for trials.
    """

    model: str = "lfnsb"
    dataset: str = "ferplus"
    data: str = "data"
    train_split: str = "train"
    validation_split: str = "validation"
    strict: bool = True
    skip_damaged: bool = False
    class_names: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    in_memory: bool = True
    unseen: bool = True
    folds: int = 0
    fold: int = -1
    out: str = "runs/lfnsb"
    init: str = ""
    model_kwargs: dict[str, Any] = field(default_factory=dict)
    epochs: int = 14
    batch_size: int = 128
    sizes: dict[int, int] = field(default_factory=lambda: {0: 64})
    opt: str = "adamw"
    opt_kwargs: dict[str, Any] = field(default_factory=dict)
    lr: float = 3e-3
    sched: str = "onecycle"
    sched_kwargs: dict[str, Any] = field(default_factory=dict)
    weight_decay: float = 0.05
    warmup: float = 0.2
    loss: Any = "ce"
    soft: bool = True
    grayscale: bool = True
    flip: float = 0.5
    rotation: float = 15.0
    translation: float = 0.05
    scale: tuple[float, float] = (0.85, 1.15)
    erasing: float = 0.25
    erasing_area: tuple[float, float] = (0.02, 0.2)
    mixup: float = 0.0
    cutmix: float = 0.0
    balance: str = "none"
    relabel: int = 0
    relabel_margin: float = 0.2
    flood: float = 0.0
    sam: float = 0.0
    ema: float = 0.0
    teacher: str = ""
    distill: float = 0.5
    distill_once: bool = False
    temperature: float = 1.0
    clip_grad: float = 1.0
    patience: int = 0
    seed: int = 0
    amp: bool = False
    bf16_pointwise: bool = False
    fused_blocks: bool = False
    compile: bool = False
    sync_bn: bool = False
    threads: int = 0
    workers: int = 0
    device: str = "auto"
    limit: int = 0

    def __post_init__(self) -> None:
        """Check ranges.

        Raises:
            RecipeError: If a value is out of range; names the key.
        """
        object.__setattr__(self, "sizes", checked_sizes(self.sizes))
        object.__setattr__(self, "out", os.path.expanduser(self.out))
        for key in TUPLES:
            object.__setattr__(self, key, checked_tuple(key, getattr(self, key)))
        check_ranges(self)

    @classmethod
    def load(cls, path: str | Path | None = None, overrides: Sequence[str] = ()) -> Recipe:
        """Read a YAML recipe and apply overrides.

        Args:
            path: The YAML file; None for the defaults.
            overrides: ``"key=value"``, each value parsed as YAML.

        Raises:
            RecipeError: If the file, a key or a value is wrong; names the nearest key.
        """
        return cls.from_dict(cls.read(path, overrides))

    @staticmethod
    def read(path: str | Path | None = None, overrides: Sequence[str] = ()) -> dict[str, Any]:
        """What `load` takes, by key; nothing is checked.

        Raises:
            RecipeError: If the file cannot be read, or something is no valid YAML.
        """
        import yaml

        values: dict[str, Any] = {}
        if path is not None:
            try:
                values = parse_yaml(Path(path).read_text(encoding="utf-8")) or {}
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
            if why := no_text(item):
                raise RecipeError(why)
            try:
                values[key] = parse_yaml(value)
            except yaml.YAMLError as error:
                raise RecipeError(f"The value of {item!r} is no valid YAML: {error}") from error
        return values

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
            checked[key] = as_type(key, value, defaults[key])
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
        return {**asdict(self), **{key: list(getattr(self, key)) for key in TUPLES}}


_DEFAULT = Recipe()
