"""Losses against references written here from the equations, with loops over faces, classes and features."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch

import ferzoo

pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__:DeprecationWarning")  # of the margins' library

#: Seed, faces, classes and width.
SIZES = [(0, 5, 2, 3), (1, 9, 7, 4), (2, 6, 8, 11)]


@dataclass
class Case:
    """A batch in numpy; `p` holds the probability of every class, one-hot for integer labels."""

    x: np.ndarray
    p: np.ndarray
    centers: np.ndarray
    labels: torch.Tensor

    @property
    def sizes(self) -> tuple[int, int, int]:
        return len(self.x), len(self.centers), self.x.shape[1]

    @property
    def features(self) -> torch.Tensor:
        return torch.from_numpy(self.x.copy()).requires_grad_()

    def make(self, name: str, **kwargs: Any) -> Any:
        """The loss in float64, with the case's centres."""
        _, classes, width = self.sizes
        loss = ferzoo.create_loss(name, num_classes=classes, feat_dim=width, **kwargs).double()
        loss.load_state_dict({"centers": torch.from_numpy(self.centers)})
        return loss


@pytest.fixture(params=[(*size, soft) for size in SIZES for soft in (False, True)], ids=str)
def case(request: pytest.FixtureRequest) -> Case:
    seed, rows, classes, width, soft = request.param
    rng = np.random.default_rng(seed)
    x, centers = rng.standard_normal((rows, width)), rng.standard_normal((classes, width))
    index = rng.integers(0, classes, rows)
    p = rng.dirichlet(np.ones(classes), rows) if soft else np.eye(classes)[index]
    return Case(x, p, centers, torch.from_numpy(p.copy() if soft else index))


def close(actual: torch.Tensor, expected: Any) -> None:
    torch.testing.assert_close(
        actual.detach(), torch.as_tensor(expected, dtype=torch.float64), rtol=1e-9, atol=1e-13, check_dtype=True
    )


def dot(a: Any, b: Any) -> float:
    return math.fsum(s * t for s, t in zip(a, b, strict=True))


def cosine(a: Any, b: Any) -> float:
    return dot(a, b) / math.sqrt(dot(a, a) * dot(b, b))


def squared_distance(a: Any, b: Any) -> float:
    return math.fsum((s - t) ** 2 for s, t in zip(a, b, strict=True))


def centred(a: Any) -> list[float]:
    mean = math.fsum(a) / len(a)
    return [value - mean for value in a]


def variance(values: Any) -> float:
    return math.fsum(value**2 for value in centred(list(values))) / (len(values) - 1)


def log_softmax(scores: Any) -> list[float]:
    top = max(scores)
    return [s - top - math.log(math.fsum(math.exp(t - top) for t in scores)) for s in scores]


def per_class(case: Case, term: Any, other: bool = False) -> float:
    """Mean over the faces of what `term` gives for each centre, weighted by p, or by 1 - p."""
    rows, classes, _ = case.sizes
    total = 0.0
    for i in range(rows):
        for c in range(classes):
            weight = 1 - case.p[i, c] if other else case.p[i, c]
            total += weight * term(case.x[i], case.centers[c])
    return total / rows


# Cosine-Harmony


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.6, 1.0])
@pytest.mark.parametrize("form", ["released", "equation", "separating"])
def test_cosine_harmony(case: Case, form: str, alpha: float) -> None:
    _, classes, width = case.sizes

    def distance(x: Any, c: Any) -> float:
        return 1 - cosine(centred(x), centred(c))

    intra = per_class(case, distance)
    inter = per_class(case, distance, other=True) / (classes - 1)
    spread = sum(variance(case.x[:, d]) for d in range(width))
    second = {"released": intra / (classes - 1), "equation": inter, "separating": -inter}[form]
    loss = case.make("cosine_harmony", form=form, alpha=alpha)
    close(loss(case.features, case.labels), alpha * intra / spread + (1 - alpha) * second)


@pytest.mark.parametrize("form", ["equation", "separating"])
def test_only_the_separating_form_drives_a_feature_from_a_wrong_centre(form: str) -> None:
    loss = ferzoo.create_loss("cosine_harmony", 2, 4, form=form, alpha=0.0).double()
    loss.load_state_dict({"centers": torch.tensor([[1.0, -1, 0, 0], [0, 0, 1, -1]])})
    between = torch.tensor([[1.0, -1, 1, -1]], dtype=torch.float64).requires_grad_()
    loss(between, torch.tensor([0])).backward()
    moved = between.detach() - 0.1 * between.grad
    before, after = (cosine(x[0].tolist(), [0, 0, 1, -1]) for x in (between, moved))
    assert after < before if form == "separating" else after > before


def test_cosine_harmony_of_one_face_takes_its_variance_as_one() -> None:
    one = Case(np.array([[1.0, 2.0, 4.0]]), np.eye(2)[[1]], np.array([[0.0, 1, 3], [1, 0, 5]]), torch.tensor([1]))
    intra = 1 - cosine(centred(one.x[0]), centred(one.centers[1]))
    close(one.make("cosine_harmony")(one.features, one.labels), 0.1 * intra + 0.9 * intra)


# Losses over squared distances


def test_affinity(case: Case) -> None:
    spread = sum(variance(case.centers[:, d]) for d in range(case.sizes[2]))
    close(case.make("affinity")(case.features, case.labels), per_class(case, squared_distance) / spread)


def test_center(case: Case) -> None:
    close(case.make("center")(case.features, case.labels), per_class(case, squared_distance) / 2)


def update(case: Case, attention: np.ndarray) -> np.ndarray:
    """Delta c_j of Wen et al. 2016, equation 4, each feature weighted by the attention."""
    rows, classes, width = case.sizes
    delta = np.zeros((classes, width))
    for c, d in itertools.product(range(classes), range(width)):
        pull = [case.p[i, c] * attention[i, d] * (case.centers[c, d] - case.x[i, d]) for i in range(rows)]
        delta[c, d] = math.fsum(pull) / (1 + math.fsum(case.p[i, c] for i in range(rows)))
    return delta


def test_center_moves_its_centres_by_equation_4(case: Case) -> None:
    loss, x = case.make("center"), case.features
    loss(x, case.labels).backward()
    close(loss.centers.grad, update(case, np.ones_like(case.x)))
    rows, classes, _ = case.sizes
    for i in range(rows):
        pull = sum(case.p[i, c] * (case.x[i] - case.centers[c]) for c in range(classes))
        close(x.grad[i], pull / rows)


def test_a_centre_s_update_is_the_same_among_faces_of_other_classes() -> None:
    rng = np.random.default_rng(3)
    x, centers = rng.standard_normal((40, 5)), rng.standard_normal((3, 5))
    labels = np.array([0, 0, *[1] * 38])
    grads = []
    for rows in (2, 40):
        case = Case(x[:rows], np.eye(3)[labels[:rows]], centers, torch.from_numpy(labels[:rows]))
        loss = case.make("center")
        loss(case.features, case.labels).backward()
        grads.append(loss.centers.grad)
    close(grads[0][0], grads[1][0])
    assert not grads[0][1].any() and grads[1][1].any() and not grads[1][2].any()


def test_sparse_center(case: Case) -> None:
    rows, classes, width = case.sizes
    weights = np.random.default_rng(9).uniform(size=(rows, width))
    attention, loss = torch.from_numpy(weights.copy()).requires_grad_(), case.make("sparse_center")
    value = loss(case.features, case.labels, attention)
    squared = np.zeros((rows, width))
    for i, c, d in itertools.product(range(rows), range(classes), range(width)):
        squared[i, d] += case.p[i, c] * (case.x[i, d] - case.centers[c, d]) ** 2
    close(value, math.fsum((weights * squared).flat) / (2 * rows))
    value.backward()
    close(attention.grad, squared / (2 * rows))
    close(loss.centers.grad, update(case, weights))


@pytest.mark.parametrize(("center", "separation"), [(0.01, 3.0), (0.5, 0.0), (0.0, 1.0)])
def test_dda(case: Case, center: float, separation: float) -> None:
    rows, classes, _ = case.sizes
    far = 0.0
    for i in range(rows):
        scores = log_softmax([-squared_distance(case.x[i], c) for c in case.centers])
        far -= dot(case.p[i], scores)
    loss = case.make("dda", center_weight=center, separation_weight=separation)
    expected = center * per_class(case, squared_distance) / 2 + separation * far / (2 * rows)
    close(loss(case.features, case.labels), expected)


# Losses over cosines


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
def test_separate(case: Case, weight: float) -> None:
    near = per_class(case, lambda x, c: 1 - cosine(x, c))
    far = per_class(case, lambda x, c: 1 + cosine(x, c), other=True) / (case.sizes[1] - 1)
    close(case.make("separate", inter_weight=weight)(case.features, case.labels), near + weight * far)


@pytest.mark.parametrize("scale", [None, 1.0, 20.0])
def test_coco(case: Case, scale: float | None) -> None:
    rows, classes, _ = case.sizes
    alpha = math.log((classes - 1) / (math.exp(1e-4) - 1)) / 2 if scale is None else scale
    total = 0.0
    for i in range(rows):
        total -= dot(case.p[i], log_softmax([alpha * cosine(case.x[i], c) for c in case.centers]))
    close(case.make("coco", scale=scale)(case.features, case.labels), total / rows)


def test_coco_s_default_scale_reaches_a_ten_thousandth_at_best() -> None:
    loss = ferzoo.create_loss("coco", 2, 3).double()
    loss.load_state_dict({"centers": torch.tensor([[1.0, 2, 3], [-1, -2, -3]])})
    best = loss(torch.tensor([[2.0, 4, 6]], dtype=torch.float64), torch.tensor([0]))
    assert best.item() == pytest.approx(1e-4, rel=1e-9)
    assert ferzoo.create_loss("coco", 8, 3).scale == pytest.approx(5.58, abs=5e-3)


# Losses over heads


@pytest.mark.parametrize(("rows", "heads", "width"), [(1, 2, 3), (4, 3, 5), (3, 6, 2)])
@pytest.mark.parametrize("seed", [0, 1])
def test_partition(seed: int, rows: int, heads: int, width: int) -> None:
    x = np.random.default_rng(seed).standard_normal((rows, heads, width))
    mean = sum(variance(x[i, :, d]) for i in range(rows) for d in range(width)) / (rows * width)
    loss = ferzoo.create_loss("partition")
    close(loss(torch.from_numpy(x)), math.log(1 + heads / mean))
    close(loss([torch.from_numpy(x[:, k].copy()) for k in range(heads)]), math.log(1 + heads / mean))


@pytest.mark.parametrize(("heads", "shape"), [(2, (1, 3, 2, 2)), (3, (4, 2, 3, 5)), (5, (2, 1, 1, 4))])
@pytest.mark.parametrize("seed", [0, 1])
def test_attention_diversity(seed: int, heads: int, shape: tuple[int, ...]) -> None:
    maps = np.random.default_rng(seed).uniform(size=(heads, *shape))
    total, pairs = 0.0, 0
    for k in range(heads):
        for other in range(k + 1, heads):
            total += squared_distance(maps[k].flat, maps[other].flat) / maps[k].size
            pairs += 1
    loss = ferzoo.create_loss("attention_diversity")
    close(loss([torch.from_numpy(m) for m in maps]), pairs / total)
    close(loss(torch.from_numpy(np.stack(maps, axis=1))), pairs / total)


# Cross-entropy


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 1.0])
def test_ce(case: Case, smoothing: float, weighted: bool) -> None:
    rows, classes, _ = case.sizes
    logits = np.random.default_rng(4).standard_normal((rows, classes)) * 3
    weights = [0.5 + c if weighted else 1.0 for c in range(classes)]
    total = 0.0
    for i in range(rows):
        log_p = log_softmax(logits[i])
        for c in range(classes):
            q = (1 - smoothing) * case.p[i, c] + smoothing / classes
            total -= weights[c] * q * log_p[c]
    soft = case.labels.is_floating_point()
    divisor = rows if soft else sum(weights[label] for label in case.labels.tolist())
    loss = ferzoo.create_loss("ce", classes, smoothing=smoothing, class_weights=weights if weighted else None)
    close(loss(torch.from_numpy(logits), case.labels), total / divisor)


def test_ce_of_faces_without_a_weight_is_finite() -> None:
    loss = ferzoo.create_loss("ce", 3, class_weights=[0.0, 1.0, 1.0])
    logits = torch.randn(2, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = loss(logits, torch.tensor([0, 0]))
    value.backward()
    assert value == 0 and not logits.grad.any()


# Margins


def margin_logits(name: str, angle: float, length: float) -> tuple[float, float]:
    """The true class's cosine with its margin, and the scale; the papers' defaults."""
    if name == "arcface":
        m = math.radians(28.6)
        return (math.cos(angle + m) if angle <= math.pi - m else math.cos(angle) - m * math.sin(m)), 64.0
    if name == "cosface":
        return math.cos(angle) - 0.35, 64.0
    k = math.floor(angle / (math.pi / 4))
    return (-1) ** k * math.cos(4 * angle) - 2 * k, length


@pytest.mark.parametrize("name", ["arcface", "cosface", "sphereface"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_margins(name: str, size: tuple[int, int, int, int]) -> None:
    pytest.importorskip("pytorch_metric_learning")
    seed, rows, classes, width = size
    rng = np.random.default_rng(seed)
    x, labels = rng.standard_normal((rows, width)), rng.integers(0, classes, rows)
    loss: Any = ferzoo.create_loss(name, classes, width).double()
    [(key, weights)] = loss.state_dict().items()
    assert weights.shape == (width, classes)
    weights = rng.standard_normal((width, classes))
    loss.load_state_dict({key: torch.from_numpy(weights)})
    x[0] = -3 * weights[:, labels[0]] + 0.01 * x[0]  # an angle near 180 degrees, where ArcFace's rule changes
    total = 0.0
    for i, y in enumerate(labels):
        scores = [cosine(x[i], weights[:, c]) for c in range(classes)]
        scores[y], scale = margin_logits(name, math.acos(scores[y]), math.sqrt(dot(x[i], x[i])))
        total -= log_softmax([scale * s for s in scores])[y]
    close(loss(torch.from_numpy(x), torch.from_numpy(labels)), total / rows)


@pytest.mark.parametrize("name", ["arcface", "cosface", "sphereface"])
def test_margins_take_the_majority_where_asked(name: str) -> None:
    pytest.importorskip("pytorch_metric_learning")
    torch.manual_seed(0)
    loss = ferzoo.create_loss(name, 3, 4, majority=True)
    x, soft = torch.randn(2, 4), torch.tensor([[0.2, 0.5, 0.3], [0.4, 0.3, 0.3]])
    assert torch.equal(loss(x, soft), loss(x, torch.tensor([1, 0])))


# What all losses of features share


@pytest.mark.parametrize("name", ["affinity", "center", "coco", "cosine_harmony", "dda", "separate"])
def test_maps_count_as_their_mean(case: Case, name: str) -> None:
    rows, _, width = case.sizes
    noise = np.random.default_rng(6).standard_normal((rows, width, 3, 2))
    maps = case.x[:, :, None, None] + noise - noise.mean((2, 3), keepdims=True)
    loss = case.make(name)
    close(loss(torch.from_numpy(maps), case.labels), loss(case.features, case.labels).item())
