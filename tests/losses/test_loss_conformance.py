"""Every registered loss against what training expects of one, and what a loss refuses."""

from __future__ import annotations

import sys
from typing import Any

import pytest
import torch

import ferzoo
from ferzoo.errors import LossError, MissingExtraError
from ferzoo.testing import check_loss

pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # of the margins' library

MARGINS = ["arcface", "cosface", "sphereface"]
ON_FEATURES = ["affinity", "center", "coco", "cosine_harmony", "dda", "separate"]


def needs(name: str) -> None:
    if name in MARGINS:
        pytest.importorskip("pytorch_metric_learning")


def make(name: str, **kwargs: Any) -> Any:
    torch.manual_seed(0)
    return ferzoo.create_loss(name, **{"num_classes": 4, "feat_dim": 6, **kwargs})


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(3, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.tensor([0, 3, 1])


@pytest.mark.parametrize("name", ferzoo.list_losses())
def test_a_loss_keeps_the_contract(name: str) -> None:
    needs(name)
    check_loss(name)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("cosine_harmony", {"form": "equation", "alpha": 0.5}),
        ("cosine_harmony", {"form": "separating"}),
        ("center", {"center_lr": None, "num_classes": 2, "feat_dim": 1}),
        ("separate", {"num_classes": 2, "feat_dim": 9}),
        ("coco", {"scale": 2.0}),
        ("dda", {"num_classes": 7, "center_weight": 0.0}),
        ("ce", {"smoothing": 0.1}),
        ("cosface", {"majority": True}),
    ],
)
def test_and_so_with_other_arguments(name: str, arguments: dict[str, Any]) -> None:
    needs(name)
    check_loss(name, skip=("gradcheck",), **arguments)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("name", ["ce", *ON_FEATURES])
def test_gradients_of_every_face_at_once(name: str, soft: bool, x: torch.Tensor, labels: torch.Tensor) -> None:
    loss, x = make(name), x[:, :4] if name == "ce" else x
    target = torch.eye(4)[labels] * 0.8 + 0.05 if soft else labels

    def of_one(parameters: dict[str, torch.Tensor], face: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        return torch.func.functional_call(loss, parameters, (face[None], label[None]))

    own = {key: value.detach() for key, value in loss.named_parameters()}
    gradients = torch.func.grad(of_one, argnums=(0, 1))
    together = torch.func.vmap(gradients, (None, 0, 0))(own, x, target)
    for row, (face, label) in enumerate(zip(x, target, strict=True)):
        parameters, features = gradients(own, face, label)
        torch.testing.assert_close(together[1][row], features)
        torch.testing.assert_close({key: value[row] for key, value in together[0].items()}, parameters)


@pytest.mark.parametrize("name", ["ce", *ON_FEATURES, *MARGINS])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ([0, 4, 1], "from 0 to 3, got 4 in row 1"),
        ([-1, 0, -100], "got -1 in row 0, -100 in row 2"),
        ([0, 12345678, 1], "got 12345678 in row 1"),
    ],
)
def test_a_label_out_of_range_is_named(name: str, wrong: list[int], message: str, x: torch.Tensor) -> None:
    needs(name)
    with pytest.raises(LossError, match=message):
        make(name)(x[:, :4] if name == "ce" else x, torch.tensor(wrong))


@pytest.mark.parametrize("name", ["ce", *ON_FEATURES])
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (torch.tensor([0, 1]), r"class indices \(3,\).*shape \(2,\)"),
        (torch.tensor([0.0, 1.0, 2.0]), r"torch.float32 of shape \(3,\)"),
        (torch.tensor([[1], [0], [2]]), r"torch.int64 of shape \(3, 1\)"),
        (torch.ones(3, 5) / 5, r"probabilities \(3, 4\).*\(3, 5\)"),
        (torch.tensor([True, False, True]), "torch.bool"),
        ([0, 1, 2], "got list"),
        (None, "got none"),
        (torch.tensor([[8, 1, 1, 0]] * 3), "Divide counts by their sum"),
        (torch.tensor([[1.0, 0, 0, 0], [8, 1, 1, 0], [0, 0, 0, 1]]), "divide counts .*a sum of 10 in row 1"),
        (torch.zeros(3, 4), "a sum of 0 in row 0"),
        (torch.tensor([[1.25, -0.25, 0, 0]] * 3), "0 or more and finite, got -0.25 in row 0"),
        (torch.full((3, 4), float("nan")), "got nan in row 0"),
    ],
    ids=lambda value: "" if isinstance(value, str) else str(getattr(value, "shape", value)),
)
def test_labels_of_another_kind_are_refused(name: str, wrong: Any, message: str, x: torch.Tensor) -> None:
    with pytest.raises(LossError, match=message):
        make(name)(x[:, :4] if name == "ce" else x, wrong)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_probabilities_in_half_precision_still_sum_to_one(dtype: torch.dtype, x: torch.Tensor) -> None:
    soft = torch.tensor([[0.1, 0.2, 0.3, 0.4], [1 / 3, 1 / 3, 1 / 3, 0], [0.07, 0.03, 0.87, 0.03]])
    torch.testing.assert_close(make("coco")(x, soft.to(dtype)), make("coco")(x, soft), rtol=0.01, atol=0.01)


@pytest.mark.parametrize("name", [*ON_FEATURES, *MARGINS])
def test_features_of_another_width_tell_the_right_one(name: str, labels: torch.Tensor) -> None:
    needs(name)
    for shape in ((3, 5), (3, 5, 2, 2)):
        with pytest.raises(LossError, match=r"\(N, 6\) or maps.*pass feat_dim=5"):
            make(name)(torch.zeros(shape), labels)
    with pytest.raises(LossError, match=r"got \(3, 50, 6\)\.$"):
        make(name)(torch.zeros(3, 50, 6), labels)


@pytest.mark.parametrize("name", [*ON_FEATURES, *MARGINS])
def test_an_empty_batch_is_refused(name: str) -> None:
    needs(name)
    with pytest.raises(LossError, match="empty batch"):
        make(name)(torch.zeros(0, 6), torch.zeros(0, dtype=torch.long))


@pytest.mark.parametrize("shape", [(0, 4), (3, 5), (4,), (3, 4, 1)])
def test_ce_takes_logits_alone(shape: tuple[int, ...]) -> None:
    with pytest.raises(LossError, match=r"takes logits \(N, 4\), got"):
        make("ce")(torch.zeros(shape), torch.zeros(shape[0], dtype=torch.long))


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("cosine_harmony", {"form": "printed"}, "one of released, equation, separating, got 'printed'"),
        ("cosine_harmony", {"alpha": 1.1}, r"alpha must lie in \[0, 1\], got 1.1"),
        ("cosine_harmony", {"alpha": float("nan")}, "got nan"),
        ("center", {"num_classes": 1}, "num_classes must be 2 or more, got 1"),
        ("affinity", {"feat_dim": 0}, "feat_dim must be 1 or more, got 0"),
        ("center", {"center_lr": -0.5}, "center_lr must be 0 or more, or None, got -0.5"),
        ("sparse_center", {"center_lr": float("inf")}, "center_lr .* got inf"),
        ("coco", {"scale": 0.0}, "scale must be above 0, got 0.0"),
        ("ce", {"smoothing": -0.1}, r"smoothing must lie in \[0, 1\], got -0.1"),
        ("ce", {"class_weights": [1.0, 2.0]}, "class_weights has 2 values for 4 classes"),
        ("ce", {"class_weights": [1.0, 2.0, -1.0, 1.0]}, "0 or more and not all 0"),
        ("ce", {"class_weights": [0.0] * 4}, "0 or more and not all 0"),
        ("ce", {"class_weights": [1.0, 1.0, 1.0, float("inf")]}, "0 or more"),
        ("ce", {"class_weights": "inverse"}, "class_weights must be one number a class, got 'inverse'"),
        ("ce", {"class_weights": {1: 2}}, "one number a class"),
        ("ce", {"class_weights": 2.0}, "one number a class"),
        ("ce", {"smoothing": "0.1"}, "smoothing must be a number, got '0.1'"),
        ("ce", {"num_classes": 0}, "num_classes must be 1 or more, got 0"),
        ("ce", {"num_classes": "a"}, "num_classes must be a whole number, got 'a'"),
        ("center", {"num_classes": None}, "num_classes must be a whole number, got None"),
        ("affinity", {"feat_dim": 6.5}, "feat_dim must be a whole number, got 6.5"),
        ("coco", {"scale": float("inf")}, "scale must be above 0, got inf"),
        ("region_bias", {"margin": "wide"}, "margin must be a number, got 'wide'"),
        ("dda", {"center_weight": float("nan")}, "center_weight must be 0 or more, got nan"),
        ("dda", {"separation_weight": -1}, "separation_weight must be 0 or more, got -1"),
        ("separate", {"inter_weight": float("nan")}, "inter_weight must be 0 or more, got nan"),
        ("mixed_cross_entropy", {"weights": [0.5, "x"]}, "weights must be one number of 0 or more a branch"),
        ("mixed_cross_entropy", {"weights": 0.5}, "weights must be one number of 0 or more a branch"),
        ("arcface", {"margin": 200}, r"margin must lie in \[0, 180\], got 200"),
        ("cosface", {"margin": -5}, "margin must be 0 or more, got -5"),
        ("arcface", {"scale": 0}, "scale must be above 0, got 0"),
        ("sphereface", {"margin": 0}, "margin must be 1 or more, got 0"),
        ("sphereface", {"margin": 2.5}, "margin must be a whole number, got 2.5"),
    ],
)
def test_arguments_out_of_range_are_named(name: str, kwargs: dict[str, Any], message: str) -> None:
    with pytest.raises(LossError, match=message):
        make(name, **kwargs)


@pytest.mark.parametrize("name", MARGINS)
def test_margins_refuse_soft_labels_and_say_what_to_do(name: str, x: torch.Tensor) -> None:
    needs(name)
    with pytest.raises(LossError, match=r"soft=false, or build it with majority=True"):
        make(name)(x, torch.full((3, 4), 0.25))


@pytest.mark.parametrize("name", MARGINS)
def test_margins_without_their_package_name_the_extra(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pytorch_metric_learning", None)
    with pytest.raises(MissingExtraError, match=r'pip install "ferzoo\[metric\]"'):
        make(name)


def test_sparse_center_needs_attention_of_the_features_shape(x: torch.Tensor, labels: torch.Tensor) -> None:
    loss = make("sparse_center")
    with pytest.raises(LossError, match=r"attention \(3, 6\) beside the features, got none"):
        loss(x, labels)
    with pytest.raises(LossError, match=r"got \(3, 1\)"):
        loss(x, labels, torch.ones(3, 1))
    with pytest.raises(LossError, match="takes features and attention .*only features: .* with attention"):
        loss({"features": x}, labels)
    ones = torch.ones_like(x)
    assert torch.equal(loss({"features": x, "attention": ones}, labels), loss(x, labels, attention=ones))


@pytest.mark.parametrize("name", ["partition", "attention_diversity"])
@pytest.mark.parametrize(
    "heads",
    [torch.zeros(3, 1, 6), [torch.zeros(3, 6)], [], torch.zeros(3, 6), torch.zeros(0, 2, 6)],
    ids=["one", "a list of one", "an empty list", "a vector", "no faces"],
)
def test_fewer_than_two_heads_are_refused(name: str, heads: Any) -> None:
    with pytest.raises(LossError, match=r"compares two heads or more.*got \("):
        make(name)(heads)


def test_heads_of_several_shapes_are_refused() -> None:
    with pytest.raises(LossError, match=r"one shape, got \(3, 6\), \(3, 5\)"):
        make("partition")([torch.zeros(3, 6), torch.zeros(3, 5)])


@pytest.mark.parametrize("name", [*ON_FEATURES, *MARGINS])
def test_float16_features_whose_squares_overflow(name: str, x: torch.Tensor, labels: torch.Tensor) -> None:
    needs(name)
    half = (x * 300).half()
    assert (half * half).isinf().any()
    assert make(name)(half, labels).item() == pytest.approx(make(name)(half.float(), labels).item(), rel=1e-6)


@pytest.mark.parametrize("name", ["partition", "attention_diversity"])
def test_float16_heads_whose_squares_overflow(name: str) -> None:
    heads = (torch.randn(3, 2, 6, generator=torch.Generator().manual_seed(2)) * 300).half()
    assert make(name)(heads).item() == pytest.approx(make(name)(heads.float()).item(), rel=1e-6)


@pytest.mark.parametrize("name", ["ce", *ON_FEATURES])
def test_a_loss_takes_its_part_of_the_dict(name: str, x: torch.Tensor, labels: torch.Tensor) -> None:
    loss, part = make(name), x[:, :4] if name == "ce" else x
    outputs = {"logits": x[:, :4], "features": x, "embedding": x.neg()}
    assert torch.equal(loss(outputs, labels), loss(part, labels))
    with pytest.raises(LossError, match="gives only embedding"):
        loss({"embedding": x}, labels)


@pytest.mark.parametrize("form", ["released", "equation", "separating"])
@pytest.mark.parametrize("value", [0.1, 1.0, 12345.678])
def test_rows_of_equal_elements_have_no_direction(form: str, value: float) -> None:
    """What is left of them less their mean is rounding: it must not be blown up to a gradient."""
    loss = ferzoo.create_loss("cosine_harmony", num_classes=8, feat_dim=256, form=form)
    x = torch.full((16, 256), value) * torch.linspace(0.5, 2, 16).unsqueeze(1)
    x.requires_grad_()
    loss(x, torch.arange(16) % 8).backward()
    assert x.grad is not None and x.grad.abs().max() < 1
