"""`ferzoo explain PHOTO`: what a network looks at, as numbers and as a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .numbers import number, thread_count, whole_number
from .table import print_json, print_table

if TYPE_CHECKING:
    from ..predict.explain import Explanation

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    margin = number(float, -0.4, 2, "a fraction from -0.4 to 2")
    parser.add_argument("photo", metavar="PHOTO", help="one image")
    parser.add_argument("--model", default="lfnsb", help="name, folder or hf-hub:org/repo (default: lfnsb)")
    parser.add_argument(
        "--method",
        default="gradcam",
        help="gradcam (default), or a kind of attention block: coord_att, mass_att and others",
    )
    parser.add_argument("--class", dest="label", metavar="NAME", help="what Grad-CAM explains (default: the face's)")
    parser.add_argument("--layer", metavar="NAME", help="a layer, or a pattern of names in quotes (default: the last)")
    parser.add_argument("-o", "--out", metavar="OUT", help="draw the faces beside their maps, to this file or folder")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--no-detect", action="store_true", help="take the image, whole, as the crop of one face")
    parser.add_argument("--margin", type=margin, help="added on each side of a box, by its side (default: as trained)")
    parser.add_argument("--min-face", type=whole_number, metavar="PX", help="smallest face to find (default: by size)")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps (default: cpu)")
    parser.add_argument("--threads", type=thread_count, help="CPU threads (default: torch's)")


def run(args: argparse.Namespace) -> int:
    """Explain, draw and print.

    Returns:
        0; what is wrong, no face among it, is raised.
    """
    from ..errors import ImageError
    from ..predict.images import exact, printable, read_image
    from ..predict.output import SavePlan

    photo = Path(args.photo)
    rgb = read_image(photo)
    plan = SavePlan(args.out, [photo], [args.photo], "-o") if args.out else None

    from ..predict.explain import explain, refuse_exported
    from ..predict.predictor import Predictor

    refuse_exported(args.model)
    predictor = Predictor(
        args.model,
        detect=not args.no_detect,
        margin=args.margin,
        min_face=args.min_face,
        device=args.device,
        threads=args.threads,
    )
    explanations = explain(rgb, predictor, args.method, label=args.label, layer=args.layer)
    if not explanations:
        raise ImageError(
            f"{printable(photo)}: no face was found. A crop of a face needs --no-detect; for small faces lower "
            "--min-face; the detector knows upright frontal faces alone."
        )
    saved = None
    if plan:
        from ..predict.explain_drawing import draw_explanations

        saved = plan.keep(photo, draw_explanations(explanations))
    if args.json:
        maps = [one.to_dict() for one in explanations]
        print_json({"file": exact(photo), "model": args.model, "maps": maps, "saved": saved and exact(saved)})
        return 0
    print_table([_row(one, args.no_detect) for one in explanations])
    return 0


def _row(one: Explanation, whole: bool) -> dict[str, Any]:
    return {
        "face": "whole image" if whole else " ".join(map(str, one.face.box)),
        "class": one.label,
        "score": f"{one.score:.3f}",
        "method": one.method,
        "layer": one.layer,
        "map": "x".join(map(str, one.grid)),
        "lowest": f"{one.low:#.3g}",
        "highest": f"{one.high:#.3g}",
    }
