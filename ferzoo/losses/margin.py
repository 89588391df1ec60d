"""ArcFace, CosFace and SphereFace: thin adapters over pytorch-metric-learning."""

from __future__ import annotations

from typing import Any

import torch

from ..errors import MissingExtraError
from ..registry.register import register_loss
from .arguments import number, whole
from .base import FeatureLoss

__all__ = ["ArcFaceLoss", "CosFaceLoss", "SphereFaceLoss"]


class _MarginLoss(FeatureLoss):
    """A loss of pytorch-metric-learning with one weight vector a class."""

    #: The library's class, and its width argument.
    library_name = ""

    def __init__(self, num_classes: int, feat_dim: int, majority: bool, **kwargs: Any) -> None:
        super().__init__(num_classes, feat_dim)
        number("scale", kwargs["scale"], "be above 0", lambda x: x > 0)
        try:
            from pytorch_metric_learning import losses
        except ImportError as error:
            raise MissingExtraError(f"The loss {type(self).__name__}", "metric") from error
        self.soft_labels = self.majority = majority
        make = getattr(losses, self.library_name)
        self.loss = make(num_classes=num_classes, embedding_size=feat_dim, **kwargs)

    def compute(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The library's loss of the most probable class."""
        value: torch.Tensor = self.loss(x, target.argmax(1))
        return value


@register_loss("arcface", example={"num_classes": 4, "feat_dim": 6})
class ArcFaceLoss(_MarginLoss):
    r"""ArcFace: an angle is added to that between a feature and its class's vector.

    Deng et al. 2019, "ArcFace: Additive Angular Margin Loss for Deep Face Recognition", equation 3, by
    `pytorch_metric_learning.losses.ArcFaceLoss` (the extra `metric`).

    $$L = -\frac1N \sum_i \log \frac{e^{s\cos(\theta_{y_i} + m)}}
    {e^{s\cos(\theta_{y_i} + m)} + \sum_{j \ne y_i} e^{s\cos\theta_j}}$$

    Where \(\theta + m\) passes 180 degrees the library goes on with \(\cos\theta - m \sin m\), so that the loss
    keeps rising with the angle. Integer labels only: a margin belongs to one class. Use it beside cross-entropy,
    with a small weight.

    Args:
        num_classes: Classes C.
        feat_dim: Width D of the features.
        margin: m, in degrees, in [0, 180].
        scale: s, above 0.
        majority: Take the most probable class of soft labels instead of refusing them.

    Raises:
        LossError: If `margin` or `scale` is out of range.
        MissingExtraError: If pytorch-metric-learning is not installed.
    """

    library_name = "ArcFaceLoss"

    def __init__(
        self, num_classes: int, feat_dim: int, margin: float = 28.6, scale: float = 64.0, majority: bool = False
    ) -> None:
        """See the class."""
        number("margin", margin, "lie in [0, 180]", lambda x: 0 <= x <= 180)
        super().__init__(num_classes, feat_dim, majority, margin=margin, scale=scale)


@register_loss("cosface", example={"num_classes": 4, "feat_dim": 6})
class CosFaceLoss(_MarginLoss):
    r"""CosFace: a margin is taken off the cosine to the own class's vector.

    Wang et al. 2018, "CosFace: Large Margin Cosine Loss for Deep Face Recognition", equation 4, by
    `pytorch_metric_learning.losses.CosFaceLoss` (the extra `metric`).

    $$L = -\frac1N \sum_i \log \frac{e^{s(\cos\theta_{y_i} - m)}}
    {e^{s(\cos\theta_{y_i} - m)} + \sum_{j \ne y_i} e^{s\cos\theta_j}}$$

    Integer labels only: a margin belongs to one class. Use it beside cross-entropy, with a small weight.

    Args:
        num_classes: Classes C.
        feat_dim: Width D of the features.
        margin: m, a cosine, 0 or more.
        scale: s, above 0.
        majority: Take the most probable class of soft labels instead of refusing them.

    Raises:
        LossError: If `margin` or `scale` is out of range.
        MissingExtraError: If pytorch-metric-learning is not installed.
    """

    library_name = "CosFaceLoss"

    def __init__(
        self, num_classes: int, feat_dim: int, margin: float = 0.35, scale: float = 64.0, majority: bool = False
    ) -> None:
        """See the class."""
        number("margin", margin)
        super().__init__(num_classes, feat_dim, majority, margin=margin, scale=scale)


@register_loss("sphereface", example={"num_classes": 4, "feat_dim": 6})
class SphereFaceLoss(_MarginLoss):
    r"""SphereFace: the angle to the own class's vector is multiplied.

    Liu et al. 2017, "SphereFace: Deep Hypersphere Embedding for Face Recognition", equation 7, by
    `pytorch_metric_learning.losses.SphereFaceLoss` (the extra `metric`).

    $$L = -\frac1N \sum_i \log \frac{e^{s\lVert x_i\rVert\psi(\theta_{y_i})}}
    {e^{s\lVert x_i\rVert\psi(\theta_{y_i})} + \sum_{j \ne y_i} e^{s\lVert x_i\rVert\cos\theta_j}}, \qquad
    \psi(\theta) = (-1)^k \cos(m\theta) - 2k, \quad \theta \in [k\pi/m, (k+1)\pi/m]$$

    Integer labels only: a margin belongs to one class. Use it beside cross-entropy, with a small weight.

    Args:
        num_classes: Classes C.
        feat_dim: Width D of the features.
        margin: m, a whole number of 1 or more.
        scale: s, above 0.
        majority: Take the most probable class of soft labels instead of refusing them.

    Raises:
        LossError: If `margin` or `scale` is out of range.
        MissingExtraError: If pytorch-metric-learning is not installed.
    """

    library_name = "SphereFaceLoss"

    def __init__(
        self, num_classes: int, feat_dim: int, margin: int = 4, scale: float = 1.0, majority: bool = False
    ) -> None:
        """See the class."""
        super().__init__(num_classes, feat_dim, majority, margin=whole("margin", margin, 1), scale=scale)
