"""What a network looks at: Grad-CAM and the maps of its attention blocks, for each face of a photograph."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from ..errors import FerzooError, UnknownNameError
from ..registry.exported import is_exported
from ..registry.load import OnnxModule
from .attention import attention_blocks, attention_maps
from .faces import Face
from .gradcam import grad_cam, layer_grad_cam
from .images import Source, to_rgb
from .layers import with_gradients
from .predictor import Predictor

__all__ = ["GRADCAM", "Explanation", "explain", "explain_methods", "refuse_exported"]

GRADCAM = "gradcam"


@dataclass(frozen=True)
class Explanation:
    """One map of one face.

    Attributes:
        face: The face as `Predictor` gives it.
        label: The class that is explained. The attention of a block is the same for every class.
        method: ``"gradcam"``, or the name of a block.
        layer: The layer whose map it is.
        grid: Height and width of that map, before it is enlarged.
        low: The map's lowest value before it is enlarged, which `heat` has as 0; 0 for Grad-CAM.
        high: The map's highest value before it is enlarged, which `heat` has as 1.
        heat: Map (H, W) in [0, 1], float32, at the size of the network's input; for an attention block all 0
            where the map is flat, for Grad-CAM where it is 0. Enlarging takes means between neighbours, so that 0 and 1
            may be approached only.
        picture: What the network was given of the photograph, before it was scaled, (h, w, 3) uint8; `heat` covers it.
    """

    face: Face
    label: str
    method: str
    layer: str
    grid: tuple[int, int]
    low: float
    high: float
    heat: np.ndarray = field(repr=False, compare=False)
    picture: np.ndarray = field(repr=False, compare=False)

    @property
    def score(self) -> float:
        """Probability of the class that is explained, in [0, 1]."""
        return self.face.scores[self.label]

    def to_dict(self) -> dict[str, Any]:
        """The face and the facts of the map, without its pixels, for JSON."""
        facts = {name: getattr(self, name) for name in ("label", "score", "method", "layer", "low", "high")}
        return {"box": list(self.face.box), "predicted": self.face.label, **facts, "grid": list(self.grid)}


def explain_methods(model: nn.Module) -> list[str]:
    """The methods that a network has: Grad-CAM, and the kinds of its attention blocks."""
    return [GRADCAM, *attention_blocks(model)]


def refuse_exported(model: Any) -> None:
    """Refuse a file that `ferzoo.export` wrote, given as a path or already open, and TorchScript.

    Raises:
        FerzooError: If the network is such a file.
    """
    inner = getattr(model.network, "model", None) if isinstance(model, Predictor) else model
    if is_exported(inner) or inner is None or isinstance(inner, OnnxModule | torch.jit.ScriptModule):
        what = "TorchScript" if isinstance(inner, torch.jit.ScriptModule) else "An exported file"
        raise FerzooError(
            f"{what} has neither gradients nor layers to look into: give the network that it was made of, by its name "
            "or its checkpoint folder."
        )


def explain(
    image: Source,
    model: str | os.PathLike[str] | nn.Module | Predictor = "lfnsb",
    method: str = GRADCAM,
    *,
    label: str | None = None,
    layer: str | None = None,
) -> list[Explanation]:
    """Show which places of each face a network's answer rests on.

    A map tells where, and neither why nor whether it is right. The network is left as it was, and other threads may use
    it meanwhile.

    Args:
        image: A file's path, a PIL image, or a uint8 array, RGB (H, W, 3), grey (H, W) or RGBA.
        model: A `Predictor`, or what it takes: a name, a checkpoint folder, ``"hf-hub:org/repo"`` or a network.
        method: ``"gradcam"``, which needs the extra ``explain``; or a kind of attention block that the network has,
            as ``"coord_att"`` or ``"mass_att"``. Blocks of other packages join by
            `ferzoo.blocks.attention_map.AttentionMap`.
        label: The class that Grad-CAM explains; None for each face's own.
        layer: Name of a layer as in `model.named_modules()`, or a pattern of names, as ``"stages.*.att"``. None takes
            for Grad-CAM the map that `forward_features` gives to the head, and for attention the last block at each
            size of the map.

    Returns:
        The maps, face by face in the detector's order, and each face's layers in the network's order; empty if no
        face is found.

    Raises:
        ImageError: If the image cannot be used.
        UnknownNameError: If there is no such method, label or layer; names the nearest.
        MissingExtraError: For Grad-CAM without captum.
        FerzooError: If the network is an exported file, the layer gives no map, or its modules cannot be copied.
    """
    refuse_exported(model)
    predictor = model if isinstance(model, Predictor) else Predictor(model)
    network = predictor.network
    known = explain_methods(network.model)
    if method not in known:
        hint = f"{type(network.model).__name__} has {', '.join(known)}."
        raise UnknownNameError("method", method, known, hint)
    if label is not None and label not in predictor.labels:
        raise UnknownNameError("label", label, predictor.labels, f"The classes are {', '.join(predictor.labels)}.")
    if method == GRADCAM:
        layer_grad_cam()  # what is missing is said before faces are looked for
    rgb = to_rgb(image)
    found = predictor.find(rgb)
    out: list[Explanation] = []
    if not found:
        return out
    predictor = copy.copy(predictor)
    predictor.network = network.private()
    with with_gradients(), network.limited(predictor.threads):
        for i in range(0, len(found), predictor.batch_size):
            out += _explain(predictor, rgb, found[i : i + predictor.batch_size], method, label, layer)
    return out


def _explain(
    predictor: Predictor, rgb: np.ndarray, found: list[Any], method: str, label: str | None, layer: str | None
) -> list[Explanation]:
    """The maps of one batch of faces."""
    network = predictor.network
    crops = [predictor.crop(rgb, *one) for one in found]
    inputs = [network.pixels(crop) for crop in crops]
    rows = predictor.classify(inputs)
    faces = [predictor.face(box, points, *row) for (box, points), row in zip(found, rows, strict=True)]
    labels = [label or face.label for face in faces]
    batch = network.batch(inputs)
    if method == GRADCAM:
        targets = [predictor.labels.index(name) for name in labels]
        maps = grad_cam(network.model, batch, targets, layer)
    else:
        maps = attention_maps(network.model, batch, attention_blocks(network.model)[method], layer)
    out = []
    for i, face in enumerate(faces):
        picture = _seen(crops[i], network.crop_pct)
        for name, values in maps.items():
            low, high, heat = _stretched(values[i], batch.shape[2:], from_zero=method == GRADCAM)
            height, width = values.shape[1:]
            out.append(Explanation(face, labels[i], method, name, (height, width), low, high, heat, picture))
    return out


def _stretched(values: torch.Tensor, size: Any, from_zero: bool) -> tuple[float, float, np.ndarray]:
    """The lowest and highest value of a map (h, w), and the map enlarged to `size`, where these are 0 and 1.

    Raises:
        FerzooError: If it is not finite.
    """
    if not values.isfinite().all():
        raise FerzooError("The map holds NaN or infinity: the weights are damaged, or the dtype is too narrow.")
    low, high = 0.0 if from_zero else float(values.min()), float(values.max())
    large = F.interpolate(values[None, None], tuple(size), mode="bilinear", align_corners=False)[0, 0]
    heat = (large - low) / (high - low) if high > low else torch.zeros_like(large)
    return low, high, heat.clamp(0, 1).cpu().numpy()


def _seen(crop: Image.Image, crop_pct: float) -> np.ndarray:
    """The part of a crop that preprocessing leaves: its middle."""
    width, height = (max(1, round(side * crop_pct)) for side in crop.size)
    left, top = (crop.width - width) // 2, (crop.height - height) // 2
    return np.asarray(crop.convert("RGB").crop((left, top, left + width, top + height)))
