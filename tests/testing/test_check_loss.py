"""check_loss sees what is broken, says so, and takes what is sound."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import ferzoo
from ferzoo.errors import FerzooError, UnknownNameError
from ferzoo.registry.register import register_loss
from ferzoo.testing import ConformanceError, check_loss
from ferzoo.testing.losses import LOSS_CHECKS

NAMES = [check.name for check in LOSS_CHECKS]


def distribution(labels: torch.Tensor, classes: int) -> torch.Tensor:
    if labels.is_floating_point():
        return labels
    if bad := [value for value in labels.tolist() if not 0 <= value < classes]:
        raise ValueError(f"labels must lie in [0, {classes}), got {bad}")
    return F.one_hot(labels.long(), classes).float()


class Scores(nn.Module):
    """A sound loss of logits that was registered with no example."""

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if len(labels) != len(x):
            raise ValueError(f"{len(labels)} labels for {len(x)} rows")
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        return self.value(x, distribution(labels, x.shape[1]).to(x))

    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return -(target * x.log_softmax(1)).sum(1).mean()


class Weighted(Scores):
    """A sound one with parameters and sizes."""

    takes = ("features",)

    def __init__(self, num_classes: int, feat_dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, feat_dim))

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        x = x.flatten(2).mean(2) if x.dim() == 4 else x
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(torch.promote_types(x.dtype, self.weight.dtype))
            return super().forward(x @ self.weight.T, labels)


class Rows(Scores):
    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return -(target * x.log_softmax(1)).sum(1)


class Number(Scores):
    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> Any:
        return super().forward(x, labels).item()


class Noisy(Scores):
    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(x, target) * (1 + torch.rand(()))


class Counting(Scores):
    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return super().value(x, target) * self.calls


class Shifted(Scores):
    """Each face is held against the label of the one before it."""

    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(x, target.roll(1, 0))


class Reversed(Scores):
    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(x, target.flip(0))


class Sorted(Scores):
    """Sorts its labels, and not its faces."""

    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(x, target[target.argmax(1).argsort()])


class Infinite(Scores):
    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(x, target) / 0


class Normalised(Scores):
    """No number for a vector of zeros."""

    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(x / x.norm(dim=1, keepdim=True), target)


class Rooted(Scores):
    """A number for a vector of zeros, but no slope."""

    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(x, target) + x.square().sum(1).sqrt().mean()


class Spread(Scores):
    """No number for one face."""

    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(x, target) / (1 + x.var(0).sum())


class Exponential(Scores):
    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return -(target * (x.exp() / x.exp().sum(1, keepdim=True)).log()).sum(1).mean()


class InPlace(Scores):
    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            x -= x.mean()
        return super().forward(x, labels)


class Smoothing(Scores):
    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(x, target.mul_(0.9).add_(0.1 / target.shape[1]))


class Detached(Scores):
    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(x.detach(), target)


class _WrongSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> torch.Tensor:
        return grads[0] * 1.01


class WrongSlope(Scores):
    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(_WrongSlope.apply(x), target)


class Torchs(Scores):
    """torch's own: it leaves out label -100, and others are an IndexError."""

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(x, labels if labels.is_floating_point() else labels.long())


class Wrapping(Scores):
    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return super().forward(x, labels if labels.is_floating_point() else labels % x.shape[1])


class Mute(Scores):
    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if not labels.is_floating_point() and (labels.min() < 0 or labels.max() >= x.shape[1]):
            raise ValueError("a label is out of range")
        return super().forward(x, labels)


class Broadcasting(Scores):
    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return super().forward(x[: len(labels)], labels)


class Long(Scores):
    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        if labels.dtype == torch.int32:
            raise TypeError("expected int64")
        return super().forward(x, labels)


class Sharp(Scores):
    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return super().forward(x, labels.argmax(1) if labels.is_floating_point() else labels)


class Doubled(Scores):
    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return super().forward(x, labels) * (2 if labels.is_floating_point() else 1)


class Hard(Scores):
    """It says that it refuses soft labels, and takes them."""

    soft_labels = False


class Idle(Weighted):
    def __init__(self, num_classes: int, feat_dim: int) -> None:
        super().__init__(num_classes, feat_dim)
        self.idle = nn.Parameter(torch.zeros(3))


class Hidden(Weighted):
    """Its weights are no parameter, and so no state."""

    def __init__(self, num_classes: int, feat_dim: int) -> None:
        super().__init__(num_classes, feat_dim)
        self.scale = torch.rand(()) + 0.1

    def value(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return super().value(x * self.scale, target)


class Shared(Weighted):
    """A deep copy starts anew."""

    def __deepcopy__(self, memo: Any) -> Shared:
        return Shared(*self.weight.shape)


class Largest(Weighted):
    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return super().forward(x.amax((2, 3)) if x.dim() == 4 else x, labels)


class Overflowing(Scores):
    """Squares in the type that it is given."""

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return super().forward(x, labels) + x.square().mean()


class Coarse(Scores):
    """A sum that float16 cannot hold, though each part is small."""

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return super().forward(x, labels) + (x.abs() * 1000).cumsum(0)[-1].mean()


@pytest.mark.parametrize("make", [Scores, Weighted])
def test_a_sound_class_passes(make: Any) -> None:
    assert check_loss(make) == NAMES


def test_a_sound_function_passes() -> None:
    def weighted(feat_dim: int, num_classes: int = 3) -> nn.Module:
        return Weighted(num_classes, feat_dim)

    def anything(**kwargs: int) -> nn.Module:
        return Weighted(**kwargs)

    assert check_loss(weighted) == check_loss(anything) == NAMES
    assert check_loss(weighted, num_classes=9, feat_dim=2, skip=["gradcheck"]) == [n for n in NAMES if n != "gradcheck"]


@pytest.mark.parametrize(
    ("cls", "check", "message"),
    [
        (Rows, "value", r"it returns shape \(6,\), not a scalar"),
        (Number, "value", "it returns a float, no tensor"),
        (Infinite, "value", "the loss is not finite"),
        (Noisy, "value", "the loss at a second call differs"),
        (Counting, "value", "the loss at a second call differs"),
        (Shifted, "order", "the loss of the same faces and labels in another order differs"),
        (Reversed, "order", "the loss of the same faces and labels in another order differs"),
        (Sorted, "order", "the loss of the same faces and labels in another order differs"),
        (InPlace, "value", "it changes its input in place"),
        (Detached, "gradients", "does not require grad"),
        (Idle, "gradients", "no gradient reaches idle"),
        (WrongSlope, "gradcheck", "Jacobian mismatch"),
        (Smoothing, "labels", "it changes its labels in place"),
        (Torchs, "labels", "a label -100 was accepted"),
        (Torchs, "labels", "a label 40 raised IndexError, no ValueError"),
        (Wrapping, "labels", "a label 4 was accepted"),
        (Wrapping, "labels", "a label -5 was accepted"),
        (Mute, "labels", "the error for a label 40 does not name 40: a label is out of range"),
        (Broadcasting, "labels", "5 labels for 6 faces was accepted"),
        (Long, "labels", "TypeError: expected int64"),
        (Sharp, "labels", "mixed labels give the loss of hard ones"),
        (Doubled, "labels", "the loss with one-hot labels differs"),
        (Hard, "labels", "soft labels was accepted"),
        (Largest, "maps", "the loss of maps differs"),
        (Normalised, "odd_batches", "zero inputs in torch.float64 gives nan"),
        (Rooted, "odd_batches", "zero inputs in torch.float32 gives a gradient of logits that is not finite"),
        (Spread, "odd_batches", "a batch of one in torch.float32 gives nan"),
        (Exponential, "odd_batches", "large inputs in torch.float32 gives nan"),
        (Overflowing, "precision", "the loss of large torch.float16 inputs under autocast is not finite"),
        (Coarse, "precision", "the loss of large torch.float16 inputs under autocast is not finite"),
        (Hidden, "loss_copies", "the loss after a safetensors round trip differs"),
        (Shared, "loss_copies", "the deep copy's loss differs"),
    ],
)
def test_a_broken_loss_is_told(cls: type[nn.Module], check: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message) as caught:
        check_loss(cls, skip=[name for name in NAMES if name != check])
    wants = next(c.wants for c in LOSS_CHECKS if c.name == check)
    assert str(caught.value).startswith(f"{cls.__name__} breaks the contract:\n- {check}. Wanted: {wants}\n")
    assert all(failure.startswith(f"{check}: ") for failure in caught.value.failures)


def test_every_fault_is_told_at_once() -> None:
    with pytest.raises(ConformanceError) as caught:
        check_loss(Torchs)
    assert {f.partition(":")[0] for f in caught.value.failures} == {"labels"}
    with pytest.raises(ConformanceError) as caught:
        check_loss(Idle)
    assert caught.value.failures == ("gradients: no gradient reaches idle",)


def test_a_fault_of_an_attribute_of_a_built_in_loss_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ferzoo.losses.center.class_averaged", lambda centers, target: centers.detach())
    with pytest.raises(ConformanceError, match="no gradient reaches centers"):
        check_loss("center")


def test_an_example_of_a_registration_is_used_and_arguments_go_over_it() -> None:
    seen: list[tuple[int, int]] = []

    @register_loss("a_loss_of_the_tests", example={"feat_dim": 3, "num_classes": 2})
    class ExampleLoss(Weighted):
        def __init__(self, num_classes: int, feat_dim: int) -> None:
            seen.append((num_classes, feat_dim))
            super().__init__(num_classes, feat_dim)

    check_loss(ExampleLoss, skip=["gradcheck"])
    assert set(seen) == {(2, 3)}
    seen.clear()
    check_loss(ExampleLoss, skip=["gradcheck"], num_classes=7)
    assert set(seen) == {(7, 3)}


def test_a_loss_that_cannot_be_built_says_what_it_needs() -> None:
    class Stepped(Weighted):
        def __init__(self, num_classes: int, feat_dim: int, steps: int) -> None:
            super().__init__(num_classes, feat_dim)

    with pytest.raises(ValueError, match="Stepped cannot be built: .*'steps'.*Pass what it needs to check_loss"):
        check_loss(Stepped)
    check_loss(Stepped, skip=["gradcheck"], steps=3)
    with pytest.raises(TypeError, match="a name, or a class or function that builds a loss"):
        check_loss(Scores())  # type: ignore[arg-type]
    with pytest.raises(UnknownNameError, match="Did you mean 'center'"):
        check_loss("centre")
    with pytest.raises(UnknownNameError, match="Unknown check 'value_'. Did you mean 'value'"):
        check_loss(Scores, skip=["value_"])
    with pytest.raises(FerzooError, match="num_classes must be 2 or more"):
        check_loss("center", num_classes=1)


def test_checks_leave_the_random_numbers_and_the_registered_loss_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(1)
    loss = ferzoo.create_loss("coco", 4, 6)
    before = copy.deepcopy(loss.state_dict())
    torch.manual_seed(0)
    check_loss("coco", skip=["gradcheck"])
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(value, before[key]) for key, value in loss.state_dict().items())
