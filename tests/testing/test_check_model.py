"""check_model sees what is broken, says so, and takes what is sound."""

from __future__ import annotations

from typing import Any

import pytest
import tiny_networks as tiny
import tiny_training as training
import torch
from timm.models import _registry
from tiny_networks import Tiny, entrypoint
from torch import nn

from ferzoo.errors import FerzooError, UnknownNameError
from ferzoo.testing import ConformanceError, check_model
from ferzoo.testing.models import MODEL_CHECKS

NAMES = [check.name for check in MODEL_CHECKS]


def only(*names: str) -> list[str]:
    return [name for name in NAMES if name not in names]


@pytest.mark.parametrize("cls", [Tiny, training.ZeroHead, training.ZeroBranch])
def test_a_sound_network_passes(cls: type[nn.Module]) -> None:
    assert check_model(entrypoint(cls)) == NAMES


def test_a_network_may_take_squares_alone() -> None:
    assert check_model(entrypoint(tiny.Square), skip=only("forward")) == ["forward"]


def test_chance_may_have_a_part_in_training() -> None:
    assert check_model(entrypoint(training.TwoViews), skip=only("forward", "gradients"))


def test_recomputing_may_stop_within_a_layer() -> None:
    assert check_model(entrypoint(tiny.TinyPlain), skip=only("gradients", "checkpointing", "groups"))


def test_arguments_reach_the_network() -> None:
    check_model(entrypoint(Tiny), img_size=(32, 40), in_chans=1, num_classes=4, skip=only("forward", "intermediates"))


def test_checks_leave_the_random_numbers_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    check_model(entrypoint(Tiny), skip=only("forward", "gradients"))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("cls", "check", "message"),
    [
        (tiny.NoWidth, "attributes", "num_features is 0, expected a positive number"),
        (tiny.SingleOnly, "constructor", "dtype=torch.float64 leaves stem.conv.weight in torch.float32"),
        (tiny.NoDropout, "constructor", "drop_rate=0.9 drops nothing"),
        (tiny.Noisy, "forward", "two calls in eval mode give different logits"),
        (tiny.Centred, "forward", r"forward_head\(forward_features\(x\)\) differs by a relative error"),
        (tiny.Centred, "batches", "image 0 alone differs"),
        (tiny.Stubborn, "classifier", r"after reset_classifier\(0\) num_classes is 1"),
        (tiny.WrongWidth, "intermediates", r"feature_info\[1\] says 99 channels, stages.0 gives 8"),
        (tiny.WrongReduction, "intermediates", r"feature_info\[2\] says reduction 16, but 32 px become 4"),
        (tiny.WrongMap, "intermediates", r"map 0 of forward_intermediates\(x\) differs"),
        (tiny.NeverStops, "intermediates", "stop_early=True runs the last stage"),
        (tiny.KeepsAll, "prune", "keeps a classifier of 78 parameters"),
        (training.Pretends, "gradients", "loss_only_parameters names head.bias, which reaches the logits"),
        (training.Unused, "gradients", "extra gets no gradient"),
        (training.Cut, "gradients", "the gradient of extra is all zero at 4 initialisations"),
        (training.NoRecompute, "checkpointing", "recomputes nothing"),
        (training.OneGroup, "groups", r"group_matcher\(coarse=False\) matches no head.bias"),
        (training.WrongDecay, "weight_decay", "no_weight_decay names no.such.weight"),
        (tiny.Silent, "inputs", "does not name 3, 4: wrong batch"),
        (tiny.Careless, "inputs", "a batch of 4 channels where 3 are expected raised RuntimeError, no ValueError"),
        (tiny.ThreeChannels, "channels", "InputSizeError|RuntimeError"),
        (tiny.Closure, "copies", "pickle"),
        (tiny.Branches, "fx", "symbolically traced"),
        (tiny.Branches, "compile", "fullgraph|[Dd]ata-dependent|Unsupported|graph"),
        (tiny.BatchInPython, "script", "super"),
        (tiny.FixedBatch, "trace", "shape"),
        (tiny.Unsaved, "copies", "the output after a safetensors round trip differs"),
        (tiny.Remembers, "forward", "in eval mode a forward pass changes head_norm.seen"),
        (tiny.DropsInEval, "constructor", "drop_rate=0.9 drops something in eval mode"),
        (training.Undropped, "constructor", "drop_rate=0.9 drops nothing in forward_train"),
        (tiny.Clamps, "forward", "it changes its batch in place"),
        (tiny.Clamps, "gradients", "in training mode it changes its batch in place"),
        (tiny.CpuConstant, "device", "RuntimeError: .*device"),
        (tiny.SingleHead, "head_place", "with dtype=torch.float64 leaves head.weight in torch.float32"),
        (
            tiny.CpuHead,
            "head_place",
            "reset_classifier of a network with device='meta' leaves head.weight on cpu",
        ),
        (training.Detached, "gradients", "forward_train's logits give stem.conv.weight, .* no gradient"),
        (training.ZeroCut, "gradients", "forward_train's logits give stem.conv.weight, .* no gradient"),
        (training.Softened, "gradients", "in training mode forward_train's logits differs"),
        (training.LogitsAlone, "forward", "forward_train gives no 'features'"),
        (tiny.Turned, "forward", "forward_features gives 8x4 for 32x64 px"),
        (tiny.Misnamed, "forward", r"forward_train's features has shape \(3, 3, 32, 32\), expected \(3, 12, 4, 4\)"),
        (tiny.Misnamed, "forward", r"forward_train's embedding has shape \(3, 6\), expected \(3, 12\)"),
        (training.FrozenNorms, "gradients", r"train\(\) leaves stem.bn, .* in eval mode"),
        (training.AlwaysRecomputes, "checkpointing", r"set_grad_checkpointing\(False\) goes on recomputing"),
        (
            training.HeadFirst,
            "groups",
            r"group_matcher\(coarse=True\) puts the classifier no higher",
        ),
        (training.NoDecay, "weight_decay", "no_weight_decay names every weight"),
    ],
)
def test_a_broken_network_is_told(cls: type[nn.Module], check: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message) as caught:
        check_model(entrypoint(cls), skip=only(check))
    assert all(failure.startswith(f"{check}: ") for failure in caught.value.failures)
    assert f"- {check}. Wanted: " in str(caught.value)


@pytest.mark.parametrize(
    ("cfg", "message"),
    [
        ({"license": None}, "pretrained_cfg has no license"),
        ({"first_conv": "conv1"}, "first_conv names conv1, but the state dict has no conv1.weight"),
        ({"mean": (0.5,)}, "mean has 1 values for 3 channels"),
        ({"std": (0.5, 0, 0.5)}, r"std is \(0.5, 0, 0.5\), expected finite numbers above 0"),
        ({"std": (0.5, -0.5, 0.5)}, r"std is \(0.5, -0.5, 0.5\), expected finite numbers above 0"),
        ({"std": (0.5, float("inf"), 0.5)}, r"std is \(0.5, inf, 0.5\), expected finite numbers above 0"),
        ({"mean": (0.5, None, 0.5)}, r"mean is \(0.5, None, 0.5\), expected finite numbers"),
        ({"mean": (0.5, float("nan"), 0.5)}, r"mean is \(0.5, nan, 0.5\), expected finite numbers"),
        ({"label_names": ["a", "b", "c", "b", "e", "f"]}, "label_names has 'b' more than once"),
        ({"label_names": ["happy"]}, "1 label_names for 6 classes"),
    ],
)
def test_a_wrong_cfg_is_told(cfg: dict[str, Any], message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_model(entrypoint(Tiny, **cfg), skip=only("cfg"))


@pytest.mark.parametrize(
    ("filter_fn", "message"),
    [
        (lambda state, model: state, "without stem.conv.weight was accepted"),
        (lambda state, model: state, "with a surplus surplus.weight was accepted"),
        (tiny.fills_in, "without stages.1.0.conv.weight was accepted"),
        (tiny.drops_surplus, "with a surplus stages.1.0.conv.weight_surplus was accepted"),
        (tiny.reshapes, "with twice the rows of stages.1.0.conv.weight was accepted"),
        (tiny.drops_by_size, "of another class count loads without stem.conv.weight"),
    ],
)
def test_a_lenient_checkpoint_filter_is_told(filter_fn: Any, message: str) -> None:
    with pytest.raises(ConformanceError) as caught:
        check_model(entrypoint(Tiny, filter_fn), skip=only("checkpoint"))
    assert any(failure.startswith(f"checkpoint: a checkpoint {message}") for failure in caught.value.failures)


def test_an_entrypoint_that_returns_no_network_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing_of_the_tests(**kwargs: Any) -> Any:
        return None

    monkeypatch.setitem(_registry._model_entrypoints, "nothing_of_the_tests", nothing_of_the_tests)
    for target in (nothing_of_the_tests, "nothing_of_the_tests"):
        with pytest.raises(ConformanceError, match="nothing_of_the_tests cannot be built.* a torch.nn.Module"):
            check_model(target)


def test_no_cfg_at_all_is_told() -> None:
    with pytest.raises(ConformanceError, match="has no pretrained_cfg with an input_size"):
        check_model(lambda pretrained=False, **kwargs: Tiny(**kwargs))


def test_every_failure_is_in_one_error() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_model(entrypoint(training.WrongDecay, license=None), skip=only("cfg", "weight_decay", "forward"))
    assert [failure.partition(":")[0] for failure in caught.value.failures] == ["cfg", "weight_decay"]
    assert isinstance(caught.value, AssertionError) and isinstance(caught.value, FerzooError)


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UnknownNameError, match="Unknown check 'scripts'. Did you mean 'script'"):
        check_model(entrypoint(Tiny), skip=["scripts"])
    with pytest.raises(UnknownNameError, match="lfnsb"):
        check_model("lfnbs")
