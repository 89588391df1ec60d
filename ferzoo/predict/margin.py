"""How much of a face the training images show around the detector's box: ``python -m ferzoo.predict.margin FOLDER``.

FER-2013's faces were cut out by another detector (Goodfellow et al. 2013, section 2), so a network trained on them
meets its own framing only if the crop stands to our detector's box as those images do.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from ..data.fer2013 import read_ferplus
from .faces import Detector
from .haar import HaarDetector

__all__ = ["Framing", "measure"]

#: Enlargement of the 48 px faces, so that the detector's steps of scale are fine beside them.
ZOOM = 4


@dataclass(frozen=True)
class Framing:
    """Medians over the faces found.

    Attributes:
        ratio: Side of the training image by the side of the box.
        right: From the box's centre to the image's, by the side of the box.
        down: The same, downwards.
        found: Faces found.
        faces: Faces looked at.
        spread: Quartiles of the ratio.
    """

    ratio: float
    right: float
    down: float
    found: int
    faces: int
    spread: tuple[float, float]


def measure(images: Iterable[np.ndarray], detector: Detector) -> Framing:
    """Compare images that one face fills with the boxes found in them.

    Each is enlarged four times and continued by its edge pixels to twice its side, since a detector finds no face
    that touches the border.

    Args:
        images: Square grey images (S, S), uint8.
        detector: Gives boxes (N, 4) for an RGB image.

    Raises:
        ValueError: If no face is found.
    """
    rows, faces = [], 0
    for image in images:
        faces += 1
        side = image.shape[0] * ZOOM
        pad = side // 2
        large = np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))
        canvas = np.pad(large, pad, mode="edge")
        boxes = np.asarray(detector(np.stack([canvas] * 3, axis=2)))
        if len(boxes) != 1:  # of several, which is the face would be a guess
            continue
        box = boxes[0]
        width = box[2] - box[0]
        centre = np.array([box[0] + box[2], box[1] + box[3]]) / 2
        rows.append((side / width, *((pad + side / 2 - centre) / width)))
    if not rows:
        raise ValueError(f"No face was found in {faces} images.")
    table = np.array(rows)
    ratio, right, down = np.median(table, axis=0)
    low, high = np.percentile(table[:, 0], [25, 75])
    return Framing(float(ratio), float(right), float(down), len(rows), faces, (float(low), float(high)))


def main(argv: Sequence[str] | None = None) -> int:
    """Measure on FERPlus' validation split and print the figures."""
    parser = argparse.ArgumentParser(prog="python -m ferzoo.predict.margin", description=main.__doc__)
    parser.add_argument("folder", metavar="FOLDER", help="folder that holds validation.parquet")
    parser.add_argument("--faces", type=int, default=500, help="how many faces, evenly spread (default: 500)")
    args = parser.parse_args(argv)
    images = read_ferplus(args.folder, "validation").images
    chosen = np.linspace(0, len(images) - 1, min(args.faces, len(images))).round().astype(int)
    result = measure(images[chosen], HaarDetector())
    print(f"faces found       {result.found} of {result.faces}")
    print(f"image side / box  {result.ratio:.3f} (quartiles {result.spread[0]:.3f} and {result.spread[1]:.3f})")
    print(f"margin            {(result.ratio - 1) / 2:.3f} of the box's side, on each side")
    print(f"centre offset     {result.right:+.3f} to the right, {result.down:+.3f} down, by the box's side")
    return 0


if __name__ == "__main__":
    sys.exit(main())
