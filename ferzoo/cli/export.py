"""`ferzoo export`: a network as a file for ONNX Runtime, OpenVINO or torch, compared with the network that it was."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ..errors import OptionError
from .evaluate import add_reading_arguments, data_errors, reading
from .numbers import whole_number
from .progress import ProgressLine, notes
from .table import print_json

if TYPE_CHECKING:
    from torch import nn

    from ..train.measured import Measured

__all__ = ["add_arguments", "run"]

#: Faces of the training split that an int8 file is calibrated on.
CALIBRATION = 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("model", help="a name with weights, a checkpoint folder, or hf-hub:org/repo")
    parser.add_argument(
        "out", metavar="OUT", help="file: .onnx, .xml (OpenVINO), .pt (TorchScript), .pt2 (torch.export)"
    )
    parser.add_argument("--format", help="onnx, openvino, torchscript, torch or aotinductor (default: by the suffix)")
    parser.add_argument("--preprocess", action="store_true", help="take RGB pictures of any size, uint8 (N, H, W, 3)")
    parser.add_argument("--softmax", action="store_true", help="give probabilities, not logits")
    parser.add_argument("--size", type=whole_number, help="input side in pixels (default: that of the weights)")
    parser.add_argument("--plain", action="store_true", help="only fold BatchNorms, do not rewrite for the runtime")
    parser.add_argument("--faces", nargs="+", default=[], metavar="IMAGE", help="crops of faces to compare on, too")
    parser.add_argument(
        "--int8",
        metavar="FOLDER",
        help=f"write int8, calibrated on {CALIBRATION} training faces of the data set in this folder, and measure what "
        "it loses on the validation split",
    )
    parser.add_argument(
        "--dataset",
        metavar="NAME",
        help="the data set there (default: what the weights are of, ferplus where nothing says it)",
    )
    add_reading_arguments(parser)
    parser.set_defaults(no_unseen=True)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Export, and print what was written and how far it is from the network."""
    from PIL import Image

    from ..deploy.export import export
    from ..deploy.formats import check_export
    from ..predict.images import expand, read_image
    from ..registry.load import load_model

    for option in ("dataset", "partial", "skip_damaged", "class_names", "columns"):
        if getattr(args, option) and not args.int8:
            raise OptionError(f"--{option.replace('_', '-')} is for the data of --int8: give its folder, too.")
    # Before faces are read, which takes long where they are a data set.
    check_export(args.model, args.out, args.format, bool(args.int8))
    network = load_model(args.model)
    faces = [Image.fromarray(read_image(path)) for pattern in args.faces for path in expand(pattern)]
    progress = ProgressLine()
    calibration, measured = None, None
    with progress, notes("export", progress), data_errors("dataset", "columns"):
        if args.int8:  # before anything is written: data that cannot be read leaves no file
            calibration, measured = _read(args, network, progress)
    done = export(
        network,
        args.out,
        args.format,
        preprocess=args.preprocess,
        softmax=args.softmax,
        size=args.size,
        rewrite=not args.plain,
        faces=faces,
        int8=calibration,
    )
    accuracy = _accuracies(args, network, measured) if measured else {}
    if args.json:
        print_json({**done.to_dict(), **accuracy})
        return 0
    print(f"{done.path}: {done.architecture} as {done.format}, {done.size_bytes / 1e6:.2f} MB")
    print(f"in   {done.input}")
    print(f"out  {done.output}")
    print(
        f"largest difference from the network: {done.difference:.2g}, {done.relative:.2g} of the largest output "
        f"(random faces and {done.faces} real)"
    )
    if calibration:
        print(f"{done.agreement:.1%} of the {len(calibration)} faces that it was calibrated on keep their label")
    if measured:
        before, after = accuracy["accuracy_float32"], accuracy["accuracy_int8"]
        on = f"{measured.dataset} {measured.split}"
        print(f"accuracy on {on}: {before:.2f} %, in int8 {after:.2f} % ({after - before:+.2f})")
    return 0


def _read(args: argparse.Namespace, network: nn.Module, progress: ProgressLine) -> tuple[list[Any], Measured]:
    """Faces of the training split, drawn with a fixed seed, and the split to measure on."""
    import numpy as np
    from PIL import Image

    from ..data.readers import find_dataset, split_to_measure
    from ..train.measured import read_measured

    given: dict[str, Any] = {"networks": [network], **reading(args), "progress": progress}
    train = read_measured(args.int8, args.dataset, "train", **given)
    rows = np.random.default_rng(0).permutation(len(train.faces))[:CALIBRATION]
    drawn = [Image.fromarray(image) for image in train.faces.take(np.sort(rows)).images]
    split = split_to_measure(find_dataset(train.dataset)) or "validation"
    return drawn, read_measured(args.int8, args.dataset, split, **given)


def _accuracies(args: argparse.Namespace, network: nn.Module, measured: Measured) -> dict[str, float]:
    """Accuracy in percent of the network and of the int8 file."""
    from ..train.evaluate import evaluate

    progress = ProgressLine()
    with progress, notes("export", progress), data_errors():
        before = evaluate(network, measured, size=args.size, progress=progress)
        after = evaluate(args.out, measured, progress=progress)
    return {"accuracy_float32": before["accuracy"], "accuracy_int8": after["accuracy"]}
