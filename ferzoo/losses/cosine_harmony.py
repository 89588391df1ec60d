"""Cosine-Harmony loss (Chen & Huang 2024)."""

from __future__ import annotations

import torch

from ..errors import LossError
from ..registry.register import register_loss
from .arguments import number
from .base import CenterBasedLoss, unit

__all__ = ["FORMS", "CosineHarmonyLoss"]

FORMS = ("released", "equation", "separating")
#: Least variance to divide by: features that have collapsed must not give an infinite loss.
LEAST_VARIANCE = 1e-6


@register_loss("cosine_harmony", example={"num_classes": 4, "feat_dim": 6})
class CosineHarmonyLoss(CenterBasedLoss):
    r"""Cosine-Harmony: features close to their centre by adjusted cosine distance, far from the others.

    Chen & Huang 2024, "A Lightweight Model Enhancing Facial Expression Recognition with Spatial Bias and
    Cosine-Harmony Loss", Computation 12(10):201. With each vector less its own mean,

    $$d(x, c) = 1 - \cos(x - \bar x,\; c - \bar c), \qquad
    \mathrm{intra} = \frac1N \sum_i d(x_i, c_{y_i}), \qquad
    \mathrm{inter} = \frac1{N(C-1)} \sum_i \sum_{j \ne y_i} d(x_i, c_j)$$

    and \(V\) the sum over features of the unbiased variance over the batch:

    | `form` | loss | where from |
    |---|---|---|
    | `released` | \(\alpha\,\mathrm{intra}/V + (1-\alpha)\,\mathrm{intra}/(C-1)\) | the authors' code, in which the second term repeats the first one's sum |
    | `equation` | \(\alpha\,\mathrm{intra}/V + (1-\alpha)\,\mathrm{inter}\) | the paper's equation, which pulls features towards the wrong centres |
    | `separating` | \(\alpha\,\mathrm{intra}/V - (1-\alpha)\,\mathrm{inter}\) | the paper's text: "minimising intra-class and maximising inter-class distance" |

    With soft labels \(p\), \(\mathrm{intra} = \frac1N \sum_{i,c} p_{ic}\, d(x_i, c_c)\), and inter has \(1 - p_{ic}\).
    A batch of one has no variance: it counts as 1. Use it beside cross-entropy, on the last map.

    Args:
        num_classes: Classes C.
        feat_dim: Width D of the features.
        form: Which of the three, as above.
        alpha: Weight of the term that is divided by the variance, in [0, 1]; the paper's is 0.1.

    Raises:
        LossError: If `form` is unknown or `alpha` out of range.
    """  # noqa: E501 (a table's rows)

    def __init__(self, num_classes: int, feat_dim: int, form: str = "released", alpha: float = 0.1) -> None:
        """See the class."""
        super().__init__(num_classes, feat_dim)
        if form not in FORMS:
            raise LossError(f"form must be one of {', '.join(FORMS)}, got {form!r}.")
        self.form, self.alpha = form, number("alpha", alpha, "lie in [0, 1]", lambda x: 0 <= x <= 1)

    def compute(self, x: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The form's equation."""
        cosine = unit(x, centered=True) @ unit(self.centers.to(x), centered=True).T
        distance = 1 - cosine
        others = len(x) * (self.num_classes - 1)
        intra = (target * distance).sum() / len(x)
        variance = x.var(0).sum().clamp(min=LEAST_VARIANCE) if len(x) > 1 else 1.0
        compact = self.alpha * intra / variance
        if self.form == "released":
            return compact + (1 - self.alpha) * intra / (self.num_classes - 1)
        inter = ((1 - target) * distance).sum() / others
        return compact + (1 - self.alpha) * (inter if self.form == "equation" else -inter)

    def extra_repr(self) -> str:
        """Show the arguments."""
        return f"{super().extra_repr()}, form={self.form!r}, alpha={self.alpha}"
