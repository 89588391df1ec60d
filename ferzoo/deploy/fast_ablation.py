"""What each choice of LFNSB-fast saves: `python -m ferzoo.deploy.fast_ablation > docs/results/fast_ablation.json`.

The network is measured as it is and with one choice undone, all in ONNX Runtime, by turns. Only time is measured: the
weights of what is put in are random.
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..blocks.fused_bottleneck import FusedBottleneck, RepBottleneck
from ..registry.factory import create_model
from .bench import bench
from .export import export

__all__ = ["VARIANTS", "main"]


def _attention(network: Any) -> nn.Module:
    """Coordinate attention at the end of every stage."""
    other: Any = create_model("lfnsb_fast", num_classes=network.num_classes, attention=True)
    other.load_state_dict(network.state_dict(), strict=False)
    other.pretrained_cfg = network.pretrained_cfg
    return other


def _prelu(network: Any) -> nn.Module:
    """PReLU for the ReLU of the stem and of every bottleneck."""
    network.stem[1] = nn.PReLU(network.stem[0].c.out_channels)
    for module in network.modules():
        if isinstance(module, FusedBottleneck | RepBottleneck):
            setattr(module, "act", nn.PReLU(module.expand.c.out_channels))  # noqa: B010 (its type is that of ReLU)
    return network


def _depthwise(network: Any) -> nn.Module:
    """A 1x1 and a depthwise convolution for every dense 3x3 one that keeps the map's size."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, FusedBottleneck) and child.residual:
                setattr(module, name, RepBottleneck(child.project.c.out_channels, child.expand.c.out_channels))
    return network


#: From the name of a variant to what makes it of the network as it is.
VARIANTS: dict[str, tuple[str, Callable[[Any], nn.Module]]] = {
    "as_it_is": ("as it is", lambda network: network),
    "attention": ("with coordinate attention at the end of every stage", _attention),
    "prelu": ("PReLU for the ReLU of the stem and of every bottleneck", _prelu),
    "depthwise": ("1x1 and depthwise for every dense 3x3 convolution that keeps the map's size", _depthwise),
}


def main(argv: list[str] | None = None) -> int:
    """Measure and print JSON: what `ferzoo bench --json` prints, each row with `what` was undone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=2, help="CPU threads (%(default)s)")
    parser.add_argument("--rounds", type=int, default=60, help="rounds (%(default)s)")
    args = parser.parse_args(argv)
    torch.manual_seed(0)
    network = create_model("lfnsb_fast", pretrained=True).eval()
    with tempfile.TemporaryDirectory() as folder:
        names = {}
        for name, (what, change) in VARIANTS.items():
            names[str(Path(folder, f"{name}.onnx"))] = what
            print(f"exporting: {what}", file=sys.stderr)
            export(change(copy.deepcopy(network)).eval(), Path(folder, f"{name}.onnx"))
        found = bench(list(names), ["onnx"], threads=args.threads, rounds=args.rounds, relative_to=next(iter(names)))
    result = found.to_dict()
    for row in result["rows"]:
        row["what"], row["model"] = names[row["model"]], Path(row["model"]).stem
    result["relative_to"] = "as_it_is"
    print(json.dumps(result, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
