"""The table of the extras, from pyproject.toml."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable

from .common import ROOT, rows

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: What each extra is for.
USE = {
    "faces": "finding faces, and [videos](video.md); without it pass crops of faces or a detector of your own",
    "train": "[training](training.md), and reading parquet, as FERPlus comes",
    "cpu": "[training faster on a CPU](training.md#how-fast-training-is)",
    "export": "[exporting](export.md) to ONNX, and running such a file",
    "openvino": "exporting to OpenVINO, and [measuring](benchmark.md) it",
    "metric": "the losses `arcface`, `cosface` and `sphereface`",
    "ray": "[scoring](scoring.md) on several machines",
    "explain": "[what the network looks at](explain.md), as pictures",
    "docs": "building these pages",
    "demo": "the tests of the [browser demo](demo.md), with the Chromium of the machine",
    "test": "running the tests",
    "all": "working on ferzoo itself",
}


def extras() -> str:
    """Every extra, what it is for, and the packages and other extras that it brings."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = []
    for extra, requirements in project["optional-dependencies"].items():
        lines.append((f"`{extra}`", USE[extra], ", ".join(map(_name, requirements))))
    return rows(("extra", "for", "brings"), lines)


def _name(requirement: str) -> str:
    """A package's name without its versions; the names of ferzoo's own extras as code."""
    name, _, chosen = re.split(r"[<>=;!~ ]", requirement, maxsplit=1)[0].rstrip("]").partition("[")
    return ", ".join(f"`{extra}`" for extra in chosen.split(",")) if name == "ferzoo" else name


TABLES: dict[str, Callable[..., str]] = {"extras": extras}
