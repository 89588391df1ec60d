"""What a network must bear: other inputs, any batch, copies, other memory layouts, other checkpoints."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import torch
from safetensors.torch import load, save

from ..registry.config import classifier_prefixes
from .report import Check, Report
from .subject import ModelSubject, batch

__all__ = ["ROBUSTNESS_CHECKS"]


@torch.no_grad()
def _inputs(subject: ModelSubject, report: Report) -> None:
    model, chans, (height, width) = subject.model, subject.in_chans, subject.size
    report.refuses(
        lambda: model(subject.batch(2, chans + 1)),
        f"a batch of {chans + 1} channels where {chans} are expected",
        (chans, chans + 1),
    )
    if subject.fixed_size:
        other = height + 16
        report.refuses(lambda: model(batch((2, chans, other, width))), f"{other}x{width} px", (height, other, width))
        return
    try:
        report.expect(bool(model(batch((2, chans, 8, 8))).isfinite().all()), "8x8 px give an output that is not finite")
    except ValueError as error:
        report.expect("8" in str(error), f"the error for 8x8 px does not name the size: {error}")


@torch.no_grad()
def _channels(subject: ModelSubject, report: Report) -> None:
    for chans in {1, 2, 3, 5} - {subject.in_chans}:
        model = subject.build(in_chans=chans).eval()
        output = model(subject.batch(2, chans))
        expected = (2, model.num_classes)
        report.expect(output.shape == expected, f"with in_chans={chans} the logits are {tuple(output.shape)}")


@torch.no_grad()
def _batches(subject: ModelSubject, report: Report) -> None:
    for i in range(len(subject.x)):
        alone = subject.model(subject.x[i : i + 1])
        report.same(alone, subject.output[i : i + 1], f"image {i} alone")


@torch.no_grad()
def _copies(subject: ModelSubject, report: Report) -> None:
    model, x, output = subject.model, subject.x, subject.output
    report.same(copy.deepcopy(model)(x), output, "the deep copy's output")
    report.same(pickle.loads(pickle.dumps(model))(x), output, "the pickled copy's output")
    fresh = subject.build(seed=1).eval()
    fresh.load_state_dict(load(save(dict(model.state_dict()))), strict=True)
    report.same(fresh(x), output, "the output after a safetensors round trip")
    last = copy.deepcopy(model).to(memory_format=torch.channels_last)
    report.same(last(x.to(memory_format=torch.channels_last)), output, "the output in channels_last")


def _first_and_inner(cfg: dict[str, Any], state: dict[str, torch.Tensor]) -> tuple[str, str]:
    """Names of the first layer's weight, and of one half-way through the network, before the classifier."""
    ends = tuple(prefix for key in ("first_conv", "classifier") for prefix in classifier_prefixes(cfg[key]))
    names = [name for name, tensor in state.items() if tensor.dim() > 1 and not name.startswith(ends)]
    first = f"{ends[0]}weight"
    return first, names[len(names) // 2] if names else first


def _checkpoint(subject: ModelSubject, report: Report) -> None:
    chans, state = int(subject.cfg["input_size"][0]), subject.model.state_dict()
    first, inner = _first_and_inner(subject.cfg, state)
    # As many classes as the first layer has channels: not every tensor that holds the number is the classifier's.
    classes = len(state[first])
    state = subject.build(num_classes=classes, in_chans=chans).state_dict()

    def loaded(source: dict[str, torch.Tensor], num_classes: int, in_chans: int) -> dict[str, torch.Tensor]:
        return subject.build(
            seed=1,  # what is not loaded must not look as if it were
            pretrained=True,
            num_classes=num_classes,
            in_chans=in_chans,
            pretrained_cfg_overlay={"state_dict": dict(source), "num_classes": classes, "label_names": None},
        ).state_dict()

    cases = (
        (classes, chans, "the same class count"),
        (classes + 2, chans, "another class count"),
        (classes, 1 if chans != 1 else 3, "another channel count"),
    )
    for n, c, what in cases:
        target = loaded(state, n, c)
        lost = [
            name
            for name, tensor in target.items()
            # Only tensors of another shape may differ.
            if tensor.shape == state[name].shape and not torch.equal(tensor, state[name])
        ]
        report.expect(not lost, f"a checkpoint of {what} loads without {', '.join(lost[:4])}")
    broken = {f"without {name}": {k: v for k, v in state.items() if k != name} for name in (first, inner)}
    broken |= {f"with a surplus {k}": {**state, k: torch.zeros(1)} for k in ("surplus.weight", f"{inner}_surplus")}
    broken[f"with twice the rows of {inner}"] = {**state, inner: torch.cat([state[inner], state[inner]])}
    for what, source in broken.items():
        try:
            # With another class count timm's builder no longer loads strictly by itself.
            loaded(source, classes + 2, chans)
        except (RuntimeError, ValueError, KeyError):
            continue
        report.fail(f"a checkpoint {what} was accepted")


ROBUSTNESS_CHECKS = (
    Check("inputs", "a wrong channel count or size raises a ValueError that names both sizes.", _inputs),
    Check("channels", "in_chans may be any number.", _channels),
    Check("batches", "in eval mode an image's logits do not depend on the batch, and a batch of one works.", _batches),
    Check("copies", "deepcopy, pickle, safetensors and channels_last keep the output.", _copies),
    Check(
        "checkpoint",
        "another class or channel count drops or adapts only the tensors whose shape it changes; "
        "anything else missing, surplus or of another shape is an error (checkpoint_filter_fn checks it).",
        _checkpoint,
    ),
)
