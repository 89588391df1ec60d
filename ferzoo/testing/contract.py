"""What a network is: its constructor, attributes, forward pass, classifier and preprocessing."""

from __future__ import annotations

import contextlib
import copy
import math
from numbers import Real
from typing import Any

import torch
from torch import nn

from .report import Check, Report, randomise
from .subject import ModelSubject, batch

__all__ = ["CONTRACT_CHECKS"]

METHODS = (
    "forward_features",
    "forward_head",
    "forward_intermediates",
    "forward_train",
    "prune_intermediate_layers",
    "reset_classifier",
    "get_classifier",
    "set_grad_checkpointing",
    "group_matcher",
    "no_weight_decay",
)
CFG_FIELDS = (
    "num_classes",
    "input_size",
    "mean",
    "std",
    "interpolation",
    "crop_pct",
    "classifier",
    "first_conv",
    "license",
)


def _attributes(subject: ModelSubject, report: Report) -> None:
    model = subject.model
    for name in ("num_classes", "num_features", "head_hidden_size"):
        value = getattr(model, name, None)
        report.expect(isinstance(value, int) and value > 0, f"{name} is {value!r}, expected a positive number")
    for name in METHODS:
        report.expect(callable(getattr(model, name, None)), f"there is no method {name}")
    info = getattr(model, "feature_info", None)
    if not isinstance(info, list) or not info:
        report.fail(f"feature_info is {info!r}, no list of dicts")
        return
    for i, entry in enumerate(info):
        absent = {"num_chs", "reduction", "module"} - set(entry)
        if report.expect(not absent, f"feature_info[{i}] has no {', '.join(sorted(absent))}"):
            model.get_submodule(entry["module"])


@torch.no_grad()
def _constructor(subject: ModelSubject, report: Report) -> None:
    meta = subject.build(num_classes=3, global_pool=None, drop_rate=0.1, device="meta", dtype=torch.float64)
    report.placed(meta)
    double = subject.build(dtype=torch.float64).eval()
    output = double(subject.batch(2, dtype=torch.float64))
    report.expect(output.dtype == torch.float64, f"a float64 network returns {output.dtype}")
    dropping: Any = randomise(subject.build(drop_rate=0.9)).train()
    for part in dropping.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.eval()
    features = subject.model.forward_features(subject.x)
    twice = [dropping.forward_head(features) for _ in range(2)]
    report.expect(not torch.equal(*twice), "drop_rate=0.9 drops nothing before the classifier in training mode")
    twice = [dropping.forward_train(subject.x)["logits"] for _ in range(2)]
    report.expect(not torch.equal(*twice), "drop_rate=0.9 drops nothing in forward_train in training mode")
    dropping.eval()
    twice = [dropping(subject.x) for _ in range(2)]
    report.expect(torch.equal(*twice), "drop_rate=0.9 drops something in eval mode")
    bare = subject.build(num_classes=0, global_pool="").eval()
    shape = tuple(bare(subject.x).shape)
    report.expect(len(shape) == 4, f"num_classes=0, global_pool='' gives a tensor of shape {shape}, no 4-D map")


@torch.no_grad()
def _device(subject: ModelSubject, report: Report) -> None:
    # 'meta' refuses a tensor of the CPU as a GPU does, and computes nothing.
    model, x = subject.build(device="meta"), subject.x.to("meta")
    outputs = {"forward": model.eval()(x)}
    if hasattr(model, "forward_train"):  # that it is there, `attributes` sees to
        outputs["forward_train"] = model.train().forward_train(x)["logits"]
    for what, output in outputs.items():
        report.expect(output.is_meta, f"{what} on device='meta' gives a tensor on {output.device}")


@torch.no_grad()
def _forward(subject: ModelSubject, report: Report) -> None:
    model, x, output = subject.model, subject.x, subject.output
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if not report.expect(isinstance(output, torch.Tensor), f"forward returns a {type(output).__name__}, no tensor"):
        return
    expected = (len(x), model.num_classes)
    report.expect(tuple(output.shape) == expected, f"the logits have shape {tuple(output.shape)}, expected {expected}")
    report.expect(bool(output.isfinite().all()), "the logits are not finite")
    report.expect(torch.equal(model(x), output), "two calls in eval mode give different logits")
    features = model.forward_features(x)
    wide = features.dim() == 4 and features.shape[:2] == (len(x), model.num_features)
    report.expect(wide, f"forward_features gives {tuple(features.shape)}, expected (3, {model.num_features}, h, w)")
    report.same(model.forward_head(features), output, "forward_head(forward_features(x))")
    vector = model.forward_head(features, pre_logits=True)
    expected = (len(x), model.head_hidden_size)
    report.expect(
        tuple(vector.shape) == expected,
        f"forward_head(pre_logits=True) gives {tuple(vector.shape)}, expected {expected}, its head_hidden_size",
    )
    trained = model.forward_train(x)
    if report.expect(isinstance(trained, dict) and "logits" in trained, "forward_train gives no dict with 'logits'"):
        report.expect("features" in trained, "forward_train gives no 'features', the map that many losses take")
        for key, wanted in (("logits", output), ("features", features), ("embedding", vector)):
            if key in trained:
                report.same(trained[key], wanted, f"forward_train's {key}")
    if wide and not subject.fixed_size:  # a square map does not show which of its sides is which
        height, width = subject.size
        with contextlib.suppress(ValueError):  # of a network that takes squares alone
            rows, columns = model.forward_features(batch((1, subject.in_chans, height, 2 * width))).shape[2:]
            turned = rows > features.shape[2] and columns == features.shape[3]
            found = f"forward_features gives {rows}x{columns} for {height}x{2 * width} px"
            report.expect(not turned, f"{found}, not (N, C, h, w)")
    report.expect(torch.equal(x, subject.x), "it changes its batch in place")
    # What is kept of a batch shows at another one.
    report.expect(bool(subject.other_output.isfinite().all()), "the logits of another batch are not finite")
    changed = [k for k, v in model.state_dict().items() if k not in state or not torch.equal(v, state[k])]
    report.expect(not changed, f"in eval mode a forward pass changes {', '.join(changed[:4])}")


@torch.no_grad()
def _classifier(subject: ModelSubject, report: Report) -> None:
    model, x = copy.deepcopy(subject.model), subject.x
    features = model.forward_features(x)
    vector = model.forward_head(features, pre_logits=True)
    named = model.get_submodule(str(subject.cfg.get("classifier", "")))
    report.expect(model.get_classifier() is named, "get_classifier() is not the module that the cfg's classifier names")
    pool = getattr(model, "global_pool", None)

    def look(what: str, classes: int, expected: torch.Size | tuple[int, ...]) -> torch.Tensor:
        out = model(x)
        report.expect(model.num_classes == classes, f"after {what} num_classes is {model.num_classes}")
        report.expect(out.shape == expected, f"after {what} the output is {tuple(out.shape)}, not {tuple(expected)}")
        return out

    model.reset_classifier(5)
    look("reset_classifier(5)", 5, (len(x), 5))
    report.same(model.forward_head(features, pre_logits=True), vector, "after reset_classifier(5) the vector")
    model.reset_classifier(0)
    report.same(look("reset_classifier(0)", 0, vector.shape), vector, "after reset_classifier(0) the output")
    model.reset_classifier(0, "")
    report.same(look("reset_classifier(0, '')", 0, features.shape), features, "after reset_classifier(0, '') the map")
    if pool is not None:
        model.reset_classifier(4, pool)
        look(f"reset_classifier(4, {pool!r})", 4, (len(x), 4))
        modes = {name for name, part in model.named_modules() if part.training}
        report.expect(not modes, f"reset_classifier in eval mode leaves {sorted(modes)[:3]} in training mode")


def _head_place(subject: ModelSubject, report: Report) -> None:
    model = subject.build().to("meta", torch.float64)
    model.reset_classifier(3)
    report.placed(model, "after reset_classifier of a network with ")


def _cfg(subject: ModelSubject, report: Report) -> None:
    cfg, model = subject.cfg, subject.model
    for name in CFG_FIELDS:
        report.expect(cfg.get(name) is not None, f"pretrained_cfg has no {name}")
    names = set(model.state_dict())
    for key in ("first_conv", "classifier"):
        for module in [cfg[key]] if isinstance(cfg.get(key), str) else cfg.get(key) or ():
            found = f"{module}.weight" in names
            report.expect(found, f"{key} names {module}, but the state dict has no {module}.weight")
    size: tuple[int, ...] = cfg.get("input_size") or ()
    if report.expect(len(size) == 3, f"input_size is {size!r}, expected (channels, height, width)"):
        for key in ("mean", "std"):
            values = cfg.get(key) or ()
            report.expect(len(values) == size[0], f"{key} has {len(values)} values for {size[0]} channels")
            finite = all(isinstance(value, Real) and math.isfinite(value) for value in values)
            usable = finite and (key == "mean" or all(value > 0 for value in values))
            report.expect(usable, f"{key} is {values}, expected finite numbers{' above 0' if key == 'std' else ''}")
    labels = cfg.get("label_names")
    if labels:
        report.expect(len(labels) == cfg["num_classes"], f"{len(labels)} label_names for {cfg['num_classes']} classes")
        twice = sorted({label for label in labels if list(labels).count(label) > 1})
        report.expect(not twice, f"label_names has {', '.join(map(repr, twice))} more than once")


CONTRACT_CHECKS = (
    Check("attributes", "timm's attributes and methods are there.", _attributes),
    Check(
        "constructor",
        "num_classes, in_chans, global_pool, drop_rate (in training mode only), device and dtype are taken and obeyed.",
        _constructor,
    ),
    Check("device", "a forward pass makes its tensors on the device of the batch.", _device),
    Check(
        "forward",
        "forward, forward_features (N, C, h, w), forward_head and forward_train (logits, features, and embedding where "
        "there is one) agree, and change neither the batch nor, in eval mode, the state dict.",
        _forward,
    ),
    Check(
        "classifier",
        "reset_classifier takes any class count, 0, and '' for the 4-D map.",
        _classifier,
    ),
    Check(
        "head_place", "reset_classifier follows the network's device and type; older heads of timm do not.", _head_place
    ),
    Check("cfg", f"pretrained_cfg states {', '.join(CFG_FIELDS)}, and names what exists.", _cfg),
)
