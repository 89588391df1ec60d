"""Pictures of what the networks look at, drawn when the site is built."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable
from functools import lru_cache

from ferzoo import Predictor, explain
from ferzoo.predict.explain_drawing import draw_explanations

from .common import ROOT

PHOTO = "docs/images/astronaut.jpg"


@lru_cache(maxsize=4)
def _predictor(model: str) -> Predictor:
    return Predictor(model)


def explained(argument: str) -> str:
    """The picture that `ferzoo explain` draws of the photograph in the docs, and its command.

    Args:
        argument: The model and the method, and behind them the class if it is not the network's own.
    """
    model, method, *label = argument.split()
    maps = explain(ROOT / PHOTO, _predictor(model), method, label=label[0] if label else None)
    file = io.BytesIO()
    draw_explanations(maps).save(file, format="JPEG", quality=88)
    data = base64.b64encode(file.getvalue()).decode()
    alt = f"A face, and over it in colours what {method} shows of {model}"
    option = f" --class {label[0]}" if label else ""
    command = f"ferzoo explain {PHOTO} --model {model} --method {method}{option} -o maps.png"
    return f'<img alt="{alt}" src="data:image/jpeg;base64,{data}">\n\n`{command}`'


TABLES: dict[str, Callable[..., str]] = {"explained": explained}
