"""`ferzoo export`: a network as a file for ONNX Runtime, OpenVINO or torch, compared with the network that it was."""

from __future__ import annotations

import argparse

from .table import print_json, whole_number

__all__ = ["add_arguments", "run"]


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
    parser.add_argument("--faces", nargs="+", default=[], metavar="IMAGE", help="crops of faces to compare on, too")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Export, and print what was written and how far it is from the network."""
    from PIL import Image

    from ..deploy.export import export
    from ..predict.images import expand, read_image

    faces = [Image.fromarray(read_image(path)) for pattern in args.faces for path in expand(pattern)]
    done = export(
        args.model,
        args.out,
        args.format,
        preprocess=args.preprocess,
        softmax=args.softmax,
        size=args.size,
        faces=faces,
    )
    if args.json:
        print_json(done.to_dict())
        return 0
    print(f"{done.path}: {done.architecture} as {done.format}, {done.size_bytes / 1e6:.2f} MB")
    print(f"in   {done.input}")
    print(f"out  {done.output}")
    print(
        f"largest difference from the network: {done.difference:.2g}, {done.relative:.2g} of the largest output "
        f"(random faces and {done.faces} real)"
    )
    return 0
