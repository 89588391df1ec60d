"""Weighted sums of losses: how they are written, what they give, and who moves their centres."""

from __future__ import annotations

import os
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import nn

import ferzoo
from ferzoo.errors import FerzooError, LossError, UnknownNameError
from ferzoo.registry import composite
from ferzoo.registry.composite import CompositeLoss, Term, loss_parameter_groups, parse_terms
from ferzoo.registry.register import Registered

#: Every loss of features that needs no other package.
ALL = "ce + cosine_harmony + center + affinity + separate + dda + coco"


def make(spec: Any, num_classes: int | None = 4, feat_dim: Any = 6) -> Any:
    torch.manual_seed(0)
    return ferzoo.create_loss(spec, num_classes=num_classes, feat_dim=feat_dim)


@pytest.fixture
def outputs() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    sizes = {"logits": 4, "features": 6, "embedding": 3}
    return {key: torch.randn(5, width, generator=generator) for key, width in sizes.items()}


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.tensor([0, 3, 1, 1, 2])


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Put a loss under a name for one test."""
    found = composite.find_registered

    def put(name: str, loss: Any) -> None:
        def find(kind: str, wanted: str) -> Registered:
            return Registered("loss", name, loss) if wanted == name else found(kind, wanted)

        monkeypatch.setattr(composite, "find_registered", find)

    return put


# Reading


@pytest.mark.parametrize(
    ("spec", "terms"),
    [
        ("ce+center", [Term("ce"), Term("center")]),
        ("ce\n+ 0.5*center", [Term("ce"), Term("center", 0.5)]),
        (" \n ce  +\t.5 *center( center_lr = 0.1 ,)\n", [Term("ce"), Term("center", 0.5, {"center_lr": 0.1})]),
        ("center*0.5 + 2*ce()", [Term("center", 0.5), Term("ce", 2.0)]),
        ("-1e-3*ce", [Term("ce", -0.001)]),
        ("ce + (center + 3*dda)", [Term("ce"), Term("center"), Term("dda", 3.0)]),
        (
            "ce(class_weights=[1, 2.5]) + cosine_harmony(form='equation')",
            [Term("ce", 1.0, {"class_weights": [1, 2.5]}), Term("cosine_harmony", 1.0, {"form": "equation"})],
        ),
        ("center(center_lr=None) + center", [Term("center", 1.0, {"center_lr": None}), Term("center")]),
        ({"ce": 1, "center": {"weight": 0.5, "center_lr": 0.1}}, [Term("ce"), Term("center", 0.5, {"center_lr": 0.1})]),
        ({"ce": {}, "center": "1e-3"}, [Term("ce"), Term("center", 0.001)]),
    ],
)
def test_text_and_mappings_are_read(spec: Any, terms: list[Term]) -> None:
    assert parse_terms(spec) == terms


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "is no sum such as"),
        ("ce +", "is no sum such as"),
        ("ce + * center", r"is no sum such as .*: invalid syntax at '\* center'"),
        ("ce; center", "is no sum such as"),
        ("ce\0", "is no sum such as"),
        ("(" * 5000 + "ce" + ")" * 5000, "is no sum such as"),
        ("ce - center", "'ce - center' is no name of a loss"),
        ("-ce", r"'-ce' is no name of a loss. .*a difference is '\+ -0.1\*name'"),
        ("ce(smoothing=0.0, smoothing=0.9)", "gives smoothing twice|keyword argument repeated"),
        (None, "A loss is a name, a sum as text .* got NoneType"),
        (["ce"], "got list"),
        ("0.5", "'0.5' is no name of a loss"),
        ("'ce'", "is no name of a loss"),
        ("ce*center", r"'ce \* center' is no number times a loss: write each term as number\*name"),
        ("2*3*ce", r"'2 \* 3 \* ce' is no number times a loss"),
        ("True*ce", "is no number"),
        ("{[]: 1}*ce", "is no number"),
        ("0.5*(ce + center)", r"'ce \+ center' is no name of a loss"),
        ("center(ce)", "write the arguments of 'center\\(ce\\)' as name=value"),
        ("center(**{'center_lr': 1})", "as name=value"),
        ("center(center_lr=ce)", "center_lr=ce is no plain value"),
        ("center(center_lr=0.5*2)", "is no plain value"),
        ("center(center_lr={[]: 1})", "is no plain value"),
        ("1e999*ce", "'ce' must be a finite number, got inf"),
        ("1" + "0" * 400 + "*ce", "'ce' must be a finite number"),
        ({}, "one term or more"),
        ({"ce": True}, "'ce' must be a finite number, got True"),
        ({"ce": "much"}, "'ce' must be a finite number, got 'much'"),
        ({"ce": None}, "'ce' must be a finite number, got None"),
        ({"ce": {"weight": float("nan")}}, "'ce' must be a finite number, got nan"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_what_is_no_sum_is_refused_and_shown(spec: Any, message: str) -> None:
    with pytest.raises(LossError, match=message):
        parse_terms(spec)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('x')",
        "ce + __import__('os').system('x')",
        "ce(smoothing=__import__('os').system('x'))",
        "__import__('os').system('x')*ce",
        "(lambda: __import__('os').system('x'))()",
        "ce.__class__",
        "[ce for _ in [__import__('os').system('x')]]",
        "ce if __import__('os').system('x') else ce",
        "(ce := __import__('os').system('x'))",
        "ce(smoothing=f\"{__import__('os').system('x')}\")",
    ],
)
def test_code_is_refused_and_never_run(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(os, "system", calls.append)
    with pytest.raises(LossError):
        ferzoo.create_loss(text, num_classes=4, feat_dim=6)
    assert calls == []


def test_a_very_long_sum_is_read_or_refused() -> None:
    try:
        terms = parse_terms("+".join(["ce"] * 20_000))
    except LossError as error:
        assert "is no sum" in str(error)  # where the interpreter's parser gives up
    else:
        assert len(terms) == 20_000


@pytest.mark.parametrize("spec", ["ce + centre", {"ce": 1.0, "centre": 0.5}])
def test_an_unknown_name_is_answered_with_the_nearest(spec: Any) -> None:
    with pytest.raises(UnknownNameError, match="Unknown loss 'centre'. Did you mean 'center'"):
        make(spec)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ce + center(rate=1)", "'center' cannot be built: .*'rate'.*Its arguments: center_lr"),
        ("ce + cosine_harmony(alpha='much')", "alpha must be a number, got 'much'"),
        ("ce + cosine_harmony(alpha=2)", r"alpha must lie in \[0, 1\], got 2"),
    ],
)
def test_wrong_arguments_are_named(spec: str, message: str) -> None:
    with pytest.raises(LossError, match=message):
        make(spec)


def test_a_loss_that_needs_sizes_says_so_without_them() -> None:
    with pytest.raises(LossError, match="'center' cannot be built: .*num_classes.*feat_dim"):
        make("ce + center", None, None)


# Values


def test_text_and_mapping_give_the_same_value(outputs: dict[str, torch.Tensor], labels: torch.Tensor) -> None:
    text = make("ce + 0.5*cosine_harmony(alpha=0.3, form='separating') + 0.01*center")
    mapping = make({"ce": 1, "cosine_harmony": {"weight": 0.5, "alpha": 0.3, "form": "separating"}, "center": 0.01})
    assert torch.equal(text(outputs, labels), mapping(outputs, labels))


@pytest.mark.parametrize("soft", [False, True])
def test_the_sum_is_that_of_its_weighted_terms(
    outputs: dict[str, torch.Tensor], labels: torch.Tensor, soft: bool
) -> None:
    target = torch.eye(4)[labels] * 0.8 + 0.05 if soft else labels
    loss = make("2*ce(smoothing=0.1) + 0.5*affinity + -0.25*separate(inter_weight=3.0)")
    smoothed, affinity, separate = loss.losses
    assert (smoothed.smoothing, separate.inter_weight) == (0.1, 3.0)
    terms = {
        "ce": smoothed(outputs["logits"], target),
        "affinity": affinity(outputs["features"], target),
        "separate": separate(outputs["features"], target),
    }
    expected = 2 * terms["ce"] + 0.5 * terms["affinity"] - 0.25 * terms["separate"]
    torch.testing.assert_close(loss(outputs, target), expected)
    assert loss.last == terms
    assert not any(value.requires_grad for value in loss.last.values())


def test_a_loss_may_occur_twice(outputs: dict[str, torch.Tensor], labels: torch.Tensor) -> None:
    loss = make("coco(scale=1.0) + ce + coco(scale=9.0)")
    loss(outputs, labels)
    assert loss.names == list(loss.last) == ["coco_1", "ce", "coco_2"]
    assert loss.last["coco_1"] != loss.last["coco_2"]
    assert not torch.equal(loss.losses[0].centers, loss.losses[2].centers)


def test_it_takes_what_its_terms_take(outputs: dict[str, torch.Tensor], labels: torch.Tensor) -> None:
    loss = make("ce + center + sparse_center + partition + coco")
    assert loss.takes == ("logits", "features", "attention", "heads")
    with pytest.raises(LossError, match="'sparse_center' takes attention .* gives only logits, features, embedding"):
        loss(outputs, labels)
    outputs |= {"attention": torch.ones(5, 6), "heads": torch.randn(5, 2, 3)}
    loss(outputs, labels)
    # With attention of 1 it is center loss, whose centres differ only by the draw.
    loss.losses[2].load_state_dict(loss.losses[1].state_dict())
    loss(outputs, labels)
    assert loss.last["sparse_center"] == loss.last["center"]


def test_it_takes_a_dict_alone(outputs: dict[str, torch.Tensor], labels: torch.Tensor) -> None:
    with pytest.raises(LossError, match=r"takes the dict .* \(logits, features\); got Tensor"):
        make("ce + center")(outputs["features"], labels)


# Sizes, plugins


def test_widths_go_by_the_output_that_a_term_takes(outputs: dict[str, torch.Tensor], labels: torch.Tensor) -> None:
    loss = make("ce + center", 4, {"features": 6, "embedding": 3})
    assert loss.losses[1].centers.shape == (4, 6)
    loss(outputs, labels)


class Plain(nn.Module):
    """A plugin's loss that knows nothing of ferzoo."""

    def __init__(self, power: float = 1.0) -> None:
        super().__init__()
        if power < 0:
            raise ValueError(f"power must be 0 or more, got {power}")
        self.power = power

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        if target.max() > 3:
            raise ValueError("no such class")
        return logits.abs().pow(self.power).mean()


def test_a_plugin_s_loss_without_takes_gets_the_logits(
    outputs: dict[str, torch.Tensor], labels: torch.Tensor, register: Any
) -> None:
    register("plain", Plain)
    loss = make("ce + plain(power=2.0)")
    assert loss.takes == ("logits",)
    loss(outputs, labels)
    torch.testing.assert_close(loss.last["plain"], outputs["logits"].square().mean())


class Returns(nn.Module):
    """A plugin's loss that returns what no loss is."""

    def __init__(self, what: str = "") -> None:
        super().__init__()
        self.what = what

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> Any:
        return {"vector": logits.mean(1), "tuple": (logits.mean(),), "float": 0.5}[self.what]


@pytest.mark.parametrize(
    ("what", "got"), [("vector", r"shape \(\d+,\)"), ("tuple", "tuple"), ("float", "float")], ids=str
)
def test_a_plugin_s_loss_returns_one_number(
    outputs: dict[str, torch.Tensor], labels: torch.Tensor, register: Any, what: str, got: str
) -> None:
    register("returns", Returns)
    with pytest.raises(LossError, match=f"The loss 'returns' must return one number in a tensor, got {got}"):
        make(f"returns(what='{what}') + ce")(outputs, labels)


def test_a_plugin_s_function_returns_a_module(register: Any) -> None:
    register("function", lambda: 3)
    with pytest.raises(LossError, match="The loss 'function' must be an nn.Module, its function returns int"):
        make("function + ce")


def test_a_plugin_s_own_error_names_the_loss(
    outputs: dict[str, torch.Tensor], labels: torch.Tensor, register: Any
) -> None:
    register("plain", Plain)
    with pytest.raises(LossError, match="'plain' cannot be built: power must be 0 or more, got -1. .*: power"):
        make("plain(power=-1)+ce")
    with pytest.raises(LossError, match="The loss 'plain': no such class"):
        make("plain+ce")(outputs, labels + 9)


def test_a_plugin_s_loss_needs_no_constructor(
    outputs: dict[str, torch.Tensor], labels: torch.Tensor, register: Any
) -> None:
    class Bare(nn.Module):
        def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
            return logits.square().sum()

    register("bare", Bare)
    loss = make("ce + bare")
    loss(outputs, labels)
    torch.testing.assert_close(loss.last["bare"], outputs["logits"].square().sum())


def test_sizes_reach_only_those_that_take_them(register: Any) -> None:
    seen: list[dict[str, Any]] = []

    def anything(**kwargs: Any) -> nn.Module:
        seen.append(kwargs)
        return Plain()

    register("anything", anything)
    make("anything + ce")
    register("plain", Plain)
    make("plain + ce", 4, {"features": 6, "logits": 4})
    assert seen == [{"num_classes": 4, "feat_dim": 6}]


def test_a_function_s_loss_gets_the_width_that_its_module_takes(register: Any) -> None:
    def near(num_classes: int, feat_dim: int) -> nn.Module:
        return ferzoo.create_loss("center", num_classes, feat_dim)

    register("near", near)
    assert make("near + ce", 4, {"features": 6, "logits": 4}).losses[0].centers.shape == (4, 6)


def test_takes_may_be_one_name(outputs: dict[str, torch.Tensor], labels: torch.Tensor, register: Any) -> None:
    class Embedded(Plain):
        takes = "embedding"

    register("embedded", Embedded)
    loss = make("embedded + ce")
    assert loss.takes == ("embedding", "logits")
    loss(outputs, labels)
    torch.testing.assert_close(loss.last["embedded"], outputs["embedding"].abs().mean())


# Centres


def test_the_centres_of_every_term_are_parameters(outputs: dict[str, torch.Tensor], labels: torch.Tensor) -> None:
    loss = make("ce + affinity + 0.1*coco")
    before = [p.detach().clone() for p in loss.parameters()]
    assert [tuple(p.shape) for p in before] == [(4, 6), (4, 6)]
    optimizer = torch.optim.SGD(loss.parameters(), lr=0.1)
    first = loss(outputs, labels)
    first.backward()
    optimizer.step()
    assert not any(torch.equal(a, b) for a, b in zip(before, loss.parameters(), strict=True))
    assert loss(outputs, labels) < first


def test_parameters_go_to_the_network_s_optimiser_or_have_a_rate_of_their_own() -> None:
    spec = "ce + 0.01*center + 4*sparse_center(center_lr=0.2) + center(center_lr=None) + 0*center + -2*center + coco"
    loss = make(spec)
    shared, own = loss_parameter_groups(loss)
    centers = [part.centers for part in loss.losses[1:]]
    assert [id(p) for p in shared] == [id(centers[i]) for i in (2, 3, 5)]
    assert [[id(p) for p in group["params"]] for group in own] == [[id(centers[i])] for i in (0, 1, 4)]
    assert [group["lr"] for group in own] == pytest.approx([50.0, 0.05, 0.25])
    torch.optim.SGD(own)  # which refuses negative rates


def test_groups_of_a_single_loss() -> None:
    loss = make("center")
    assert loss_parameter_groups(loss) == ([], [{"params": [loss.centers], "lr": 0.5}])
    loss = make("coco")
    assert loss_parameter_groups(loss) == ([loss.centers], [])


@pytest.mark.parametrize("weight", [0.001, 1.0, 20.0])
def test_centres_move_as_in_the_paper_whatever_the_weight(
    weight: float, outputs: dict[str, torch.Tensor], labels: torch.Tensor
) -> None:
    loss = make(f"ce + {weight}*center")
    before = loss.losses[1].centers.detach().clone()
    optimizer = torch.optim.SGD(loss_parameter_groups(loss)[1])
    loss(outputs, labels).backward()
    optimizer.step()
    for label in range(4):
        own = outputs["features"][labels == label]
        delta = (before[label] - own).sum(0) / (1 + len(own))
        torch.testing.assert_close(loss.losses[1].centers[label].detach(), before[label] - 0.5 * delta)


def test_state_dicts_keep_the_sum(outputs: dict[str, torch.Tensor], labels: torch.Tensor) -> None:
    spec = "ce(class_weights=[1, 2, 3, 4]) + 0.5*affinity + dda"
    loss = make(spec)
    torch.manual_seed(9)
    other = ferzoo.create_loss(spec, 4, 6)
    assert not torch.equal(other(outputs, labels), loss(outputs, labels))
    other.load_state_dict(load(save(loss.state_dict())))
    assert torch.equal(other(outputs, labels), loss(outputs, labels))


# Networks


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("lfnsb", {"img_size": 32}),
        ("lfnsb_concat", {"img_size": 32}),
        ("lanmsff", {}),
        ("mfn", {"img_size": 32}),
        ("mobilefacenet", {"img_size": 32}),
    ],
)
def test_every_network_s_outputs_fit(name: str, kwargs: dict[str, Any]) -> None:
    torch.manual_seed(0)
    model: Any = ferzoo.create_model(name, num_classes=5, **kwargs).train()
    loss = CompositeLoss(ALL, 5, {"features": model.num_features, "logits": 5, "embedding": model.head_hidden_size})
    outputs = model.forward_train(torch.randn(3, model.in_chans, 32, 32))
    value = loss(outputs, torch.tensor([0, 4, 2]))
    value.backward()
    assert value.isfinite() and list(loss.last) == ALL.split(" + ")
    assert all(part.centers.grad.any() for part in list(loss.losses)[1:])
    assert model.head.weight.grad.any()


def test_a_width_that_does_not_fit_the_network_tells_the_right_one() -> None:
    model: Any = ferzoo.create_model("lanmsff", num_classes=4).train()
    outputs = model.forward_train(torch.randn(2, model.in_chans, 32, 32))
    with pytest.raises(FerzooError, match=f"pass feat_dim={model.num_features}"):
        make("ce + center")(outputs, torch.tensor([0, 1]))


def test_a_weight_of_another_kind_in_a_sum() -> None:
    with pytest.raises(LossError, match="class_weights must be one number a class"):
        ferzoo.create_loss("ce(class_weights={1: 2})", num_classes=4)
