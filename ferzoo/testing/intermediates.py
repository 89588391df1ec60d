"""Maps between the stages: forward_intermediates, pruning, features_only."""

from __future__ import annotations

import copy
from typing import Any

import torch

from .report import Check, Report
from .subject import ModelSubject

__all__ = ["INTERMEDIATES_CHECKS"]


@torch.no_grad()
def _hooked(model: Any, run: Any) -> dict[int, torch.Tensor]:
    """Outputs of the modules that feature_info names, by index, while `run` runs."""
    outputs: dict[int, torch.Tensor] = {}

    def hook(index: int) -> Any:
        return lambda module, args, output: outputs.__setitem__(index, output)

    handles = [
        model.get_submodule(info["module"]).register_forward_hook(hook(i)) for i, info in enumerate(model.feature_info)
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return outputs


def _compare(report: Report, maps: Any, expected: list[torch.Tensor], what: str) -> None:
    if not report.expect(isinstance(maps, list | tuple), f"{what} gives a {type(maps).__name__}, no list of maps"):
        return
    if report.expect(len(maps) == len(expected), f"{what} gives {len(maps)} maps, expected {len(expected)}"):
        for i, (actual, wanted) in enumerate(zip(maps, expected, strict=True)):
            report.same(actual, wanted, f"map {i} of {what}")


@torch.no_grad()
def _intermediates(subject: ModelSubject, report: Report) -> None:
    model, x = subject.model, subject.x
    hooked = _hooked(model, lambda: model.forward_features(x))
    reference = [hooked[i] for i in range(len(model.feature_info))]
    for i, (info, tensor) in enumerate(zip(model.feature_info, reference, strict=True)):
        report.expect(
            tensor.shape[1] == info["num_chs"],
            f"feature_info[{i}] says {info['num_chs']} channels, {info['module']} gives {tensor.shape[1]}",
        )
        for side, length in zip(subject.size, tensor.shape[2:], strict=True):
            exact = side / info["reduction"]
            report.expect(
                abs(length - exact) < 1,
                f"feature_info[{i}] says reduction {info['reduction']}, but {side} px become {length}",
            )
    last, maps = model.forward_intermediates(x)
    report.same(last, model.forward_features(x), "the first value of forward_intermediates")
    _compare(report, maps, reference, "forward_intermediates(x)")
    only = model.forward_intermediates(x, intermediates_only=True)
    _compare(report, only, reference, "forward_intermediates(intermediates_only=True)")
    _compare(report, model.forward_intermediates(x, indices=2)[1], reference[-2:], "indices=2")
    ends = model.forward_intermediates(x, indices=[0, -1], intermediates_only=True)
    _compare(report, ends, [reference[0], reference[-1]], "indices=[0, -1]")
    early: list[Any] = []
    for flag in (True, False):
        ran = _hooked(
            model,
            lambda flag=flag: early.append(
                model.forward_intermediates(x, indices=[0], stop_early=True, intermediates_only=flag)
            ),
        )
        report.expect(len(reference) - 1 not in ran, "stop_early=True runs the last stage although index 0 is wanted")
    _compare(report, early[0], reference[:1], "stop_early=True")
    _compare(report, early[1][1], reference[:1], "stop_early=True with intermediates_only=False")


@torch.no_grad()
def _prune(subject: ModelSubject, report: Report) -> None:
    x = subject.x
    reference = subject.model.forward_intermediates(x, intermediates_only=True)
    for wanted in (0, len(reference) - 1):
        model = copy.deepcopy(subject.model)
        kept = model.prune_intermediate_layers([wanted])
        report.expect(list(kept) == [wanted], f"prune_intermediate_layers([{wanted}]) returns {kept}")
        maps = model.forward_intermediates(x, indices=kept, intermediates_only=True)
        _compare(report, maps, [reference[wanted]], f"the network pruned to index {wanted}")
        left = sum(p.numel() for p in model.get_classifier().parameters())
        report.expect(left == 0, f"prune_intermediate_layers keeps a classifier of {left} parameters")
        model(x)
    model = copy.deepcopy(subject.model)
    model.prune_intermediate_layers([0])
    sizes = [sum(p.numel() for p in m.parameters()) for m in (model, subject.model)]
    report.expect(sizes[0] < sizes[1], "prune_intermediate_layers([0]) drops no stage")


@torch.no_grad()
def _features_only(subject: ModelSubject, report: Report) -> None:
    x = subject.x
    # Not the shared network: a features_only one is built with the same seed and so has the same weights.
    reference = subject.build().eval().forward_intermediates(x, intermediates_only=True)
    everything = tuple(range(len(reference)))
    for indices in (None, (everything[-1],), everything[:2]):
        kwargs: dict[str, Any] = {} if indices is None else {"out_indices": indices}
        features = subject.build(features_only=True, **kwargs).eval()
        maps, info = features(x), features.feature_info
        wanted = everything if indices is None else indices
        what = f"features_only=True, out_indices={indices}" if indices else "features_only=True"
        _compare(report, maps, [reference[i] for i in wanted], what)
        report.expect(
            info.channels() == [reference[i].shape[1] for i in wanted],
            f"feature_info.channels() of {what} is {info.channels()}",
        )
        report.expect(
            info.reduction() == [subject.model.feature_info[i]["reduction"] for i in wanted],
            f"feature_info.reduction() of {what} is {info.reduction()}",
        )


INTERMEDIATES_CHECKS = (
    Check(
        "intermediates",
        "forward_intermediates gives the outputs of the modules in feature_info, and obeys its arguments.",
        _intermediates,
    ),
    Check("prune", "prune_intermediate_layers drops what the wanted maps do not need.", _prune),
    Check("features_only", "features_only=True gives the maps that feature_info describes.", _features_only),
)
