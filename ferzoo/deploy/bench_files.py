"""What `bench` makes of each network before it starts a process: an input, and the files that runtimes open."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from ..data.transforms import eval_transform
from ..errors import FerzooError, first_line
from ..registry.exported import OnnxFile, is_exported
from ..registry.load import wants_grey
from ..weights.files import write_tensors
from .bench_networks import calibrate, denormals, find_network
from .export import FACE, export
from .profile import profile

__all__ = ["Subject", "prepare"]

#: Part of a network's values that may be denormal numbers before its row says so.
_FEW = 1e-3


@dataclass
class Subject:
    """A network, ready to be measured.

    Attributes:
        name: As it was asked for.
        input: Shape of an image, without the batch.
        batch: File with the input.
        trained: Whether its weights are trained; None where an exported file does not say.
        arguments: As those of `Found`.
        flops: Multiply-adds of one image as fvcore counts them; None of an exported file.
        files: Kind of a file (`Runtime.file`) to its path.
        errors: The same to why there is no such file.
        note: What one has to know to read its figures.
    """

    name: str
    input: tuple[int, ...]
    batch: Path
    trained: bool | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    flops: int | None = None
    files: dict[str, Path] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    note: str = ""

    def size_bytes(self, kind: str) -> int:
        """Bytes of a file, and of the weights beside it."""
        path = self.files[kind]
        paths = [path, path.with_suffix(".bin")] if path.suffix == ".xml" else [path]
        return sum(each.stat().st_size for each in paths)


def prepare(
    names: Sequence[str],
    folder: Path,
    kinds: Collection[str],
    batch: int,
    size: int | None,
    say: Callable[[str, int, int], object],
) -> list[Subject]:
    """Build every network, then write the files that runtimes open.

    Args:
        names: The networks.
        folder: Where the files go.
        kinds: Kinds of files that are wanted.
        batch: Images a batch.
        size: As `find_network` takes it.
        say: Told what is being done.

    Raises:
        FerzooError: If a network cannot be built, or does not take the size.
    """
    made = []
    for number, name in enumerate(names):
        say(f"building {name}", number, len(names))
        target = folder / str(number)
        target.mkdir()
        made.append(_of_file(name, target, batch) if is_exported(name) else _of_network(name, target, batch, size))
    for number, (subject, network) in enumerate(made):
        say(f"exporting {subject.name}", number, len(names))
        _write(subject, network, kinds)
    return [subject for subject, _ in made]


def _face(cfg: dict[str, Any], grayscale: bool) -> np.ndarray:
    """A face as a network takes it: (C, H, W), float32."""
    face = Image.fromarray(_picture())
    transform = eval_transform(cfg, grayscale=grayscale)
    return np.asarray(transform(face), np.float32)


def _picture() -> np.ndarray:
    """The same as RGB pixels (H, W, 3), uint8."""
    with Image.open(FACE) as face:
        return np.asarray(face.convert("RGB"))


def _of_file(name: str, folder: Path, batch: int) -> tuple[Subject, None]:
    file = OnnxFile(name)
    one = _picture() if file.preprocess else _face(file.cfg, bool(file.ferzoo.get("grayscale")))
    subject = Subject(name, one.shape, _save(folder, one, batch), files={"onnx": file.path})
    subject.errors["safetensors"] = "an exported file runs in ONNX Runtime and OpenVINO alone"
    return subject, None


def _of_network(name: str, folder: Path, batch: int, size: int | None) -> tuple[Subject, Any]:
    found = find_network(name, size)
    network, cfg = found.network.eval(), dict(found.network.pretrained_cfg)
    if found.size:
        cfg["input_size"] = (cfg["input_size"][0], found.size, found.size)
        network.pretrained_cfg = cfg
    one = torch.from_numpy(_face(cfg, wants_grey(network)))
    channels, height, width = one.shape
    try:
        if not found.trained:
            calibrate(network, one.shape)
        flops, few = profile(network, (channels, height, width), latency=False).flops, denormals(network, one[None])
    except FerzooError:
        raise
    except Exception as error:  # the network's own
        raise FerzooError(f"{name} does not run at {height}x{width} px: {first_line(error)}") from error
    notes = [] if found.trained else ["untrained weights, BatchNorms set to what they see in noise"]
    if few > _FEW:
        notes.append(f"{100 * few:.1f} % of its values are denormal numbers, which are slow")
    subject = Subject(name, tuple(one.shape), _save(folder, one.numpy(), batch), found.trained, found.arguments, flops)
    subject.note = "; ".join(notes)
    subject.files["safetensors"] = folder / "model.safetensors"
    write_tensors(subject.files["safetensors"], {k: v.detach().clone() for k, v in network.state_dict().items()})
    return subject, network


def _save(folder: Path, one: np.ndarray, batch: int) -> Path:
    """Write a batch of equal images."""
    path = folder / "batch.npy"
    np.save(path, np.ascontiguousarray(np.repeat(one[None], batch, axis=0)))
    return path


def _write(subject: Subject, network: Any, kinds: Collection[str]) -> None:
    """Write the wanted files of a network or of its ONNX file, or note why there are none."""
    folder = subject.batch.parent
    suffixes = {"onnx": ".onnx", "openvino": ".xml"}
    for kind in [kind for kind in suffixes if kind in kinds and kind not in subject.files]:
        path = folder / f"model{suffixes[kind]}"
        try:
            if network is not None:
                export(network, path)
            else:
                import openvino

                openvino.save_model(openvino.convert_model(subject.files["onnx"]), path, compress_to_fp16=False)
            subject.files[kind] = path
        except Exception as error:  # ferzoo's own, or the converter's
            subject.errors[kind] = first_line(error)
