"""`export`: a network as a file that other programs run, compared with the network that it was."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from numbers import Integral
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from .. import __version__
from ..data.transforms import eval_transform
from ..errors import CheckpointError, FerzooError, first_line
from ..registry.channels import channels_of, with_channels
from ..registry.config import MOST_PIXELS, SOURCES
from ..registry.load import load_model, wants_grey
from .formats import FORMATS, Run, check_export, folder_beside
from .fuse import fold
from .quantize import LEAST_AGREEMENT, check_faces, quantize
from .whole import Whole

__all__ = ["FACE", "LIMIT", "Exported", "export"]

#: Largest difference of an exported network's outputs, as a fraction of the largest output, that passes.
LIMIT = 1e-3
#: Real faces in a batch.
BATCH = 32
#: A face in the public domain: Eileen Collins, NASA.
FACE = Path(__file__).with_name("face.jpg")


@dataclass(frozen=True)
class Exported:
    """What an export gave.

    Attributes:
        path: The file.
        format: A key of `ferzoo.deploy.formats.FORMATS`.
        architecture: Name of the network.
        input: Shape and type of its input, in words.
        output: The same of its output.
        size_bytes: Of the file, and of the weights beside it.
        difference: Largest difference from the network in eager mode, over all classes, random faces and real ones.
        relative: The same as a fraction of the largest output.
        faces: Real faces that it was compared on.
        agreement: Share of the faces that it was calibrated on which keep their label in int8; None for float32.
    """

    path: str
    format: str
    architecture: str
    input: str
    output: str
    size_bytes: int
    difference: float
    relative: float
    faces: int
    agreement: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The fields, for JSON."""
        return asdict(self)


def export(
    model: nn.Module | str | os.PathLike[str],
    path: str | os.PathLike[str],
    format: str | None = None,  # noqa: A002 (what it is)
    *,
    preprocess: bool = False,
    softmax: bool = False,
    size: int | None = None,
    rewrite: bool = True,
    faces: Iterable[Image.Image] = (),
    int8: Iterable[Image.Image] | None = None,
) -> Exported:
    """Write a network for another runtime, and compare what the file gives with the network in eager mode.

    BatchNorms are folded first, and blocks rewritten for the runtime (`ferzoo.deploy.fuse`). The file takes any batch
    size. It replaces one that is there only when it has passed.

    Args:
        model: A network, or what `load_model` takes: a name with weights, a checkpoint folder, ``"hf-hub:org/repo"``.
        path: Where to write. Its suffix says the format: ``.onnx``, ``.xml`` (OpenVINO), ``.pt`` (TorchScript) or
            ``.pt2`` (torch.export).
        format: The format by name, a key of `ferzoo.deploy.formats.FORMATS`; ``"aotinductor"`` also ends in ``.pt2``.
        preprocess: Put the preprocessing inside: the file then takes RGB pictures (N, H, W, 3), uint8, of any size,
            each the crop of a face. Else it takes (N, C, height, width), float32, normalised by the cfg's mean and std.
        softmax: Give probabilities and not logits.
        size: Height and width in pixels; those of the weights where None.
        rewrite: Put blocks as the runtime is quick at them (`ferzoo.deploy.fuse`); else only fold the BatchNorms.
        faces: Real faces to compare on, beside the one that comes with ferzoo; neither is used where the network takes
            other than one channel or three.
        int8: Real faces, a few hundred of all classes, to calibrate an int8 ONNX file on; a float32 file without.
            The file then need not be within `LIMIT` of the network; the labels of these faces have to be.

    Raises:
        MissingExtraError: If a package that the format needs is not installed.
        FerzooError: If the suffix is unknown, no file can be written there, the network cannot be run or exported, or
            gives no logits, or the file gives something else; says how much.

    Examples:
        >>> ferzoo.export("lfnsb", "lfnsb.onnx").relative < 1e-3  # doctest: +SKIP
        True
    """
    path = Path(path).expanduser()
    kind = check_export(model, path, format, int8 is not None)
    pictures = [_rgb(face) for face in (Image.open(FACE), *faces)]
    calibration = None if int8 is None else [_rgb(face) for face in int8]
    if calibration is not None:
        check_faces(len(calibration))
    network: Any = model if isinstance(model, nn.Module) else load_model(model)
    cfg = dict(getattr(network, "pretrained_cfg", None) or {})
    if missing := [key for key in ("input_size", "mean", "std") if not cfg.get(key)]:
        raise FerzooError(f"The network's pretrained_cfg does not say {', '.join(missing)}: set it, then export.")
    if not getattr(network, "num_classes", cfg.get("num_classes")):
        raise FerzooError("The network has no classifier: build it with num_classes.")
    names, classes = cfg.get("label_names"), getattr(network, "num_classes", cfg.get("num_classes"))
    if names and len(names) != classes:
        raise FerzooError(
            f"The network's pretrained_cfg names {len(names)} of its {classes} classes: set label_names, then export."
        )
    cfg = with_channels(cfg, channels_of(network, cfg))
    if size is not None:
        if not isinstance(size, Integral) or isinstance(size, bool) or not 1 <= size <= MOST_PIXELS:
            raise FerzooError(f"size is height and width in pixels, 1 to {MOST_PIXELS:,}; got {size!r:.60}.")
        cfg["input_size"] = (cfg["input_size"][0], int(size), int(size))
    if (channels := cfg["input_size"][0]) not in (1, 3):  # no picture is an input then
        pictures = []
        if calibration is not None:
            raise FerzooError(
                f"int8 is calibrated on faces, which have 1 or 3 channels; the network takes {channels}. Export it "
                "without int8."
            )
    facts = _facts(network, cfg, preprocess, softmax)
    options = (cfg, facts["ferzoo"]["grayscale"], preprocess, softmax)
    eager = Whole(copy.deepcopy(network).cpu().float(), *options).eval()
    whole = Whole((FORMATS[kind].fuse if rewrite else fold)(eager.model), *options).eval()
    batches, expected = _expected(eager, cfg, pictures, facts)
    with folder_beside(path) as temporary:
        # The writers know lower-case suffixes alone.
        file = temporary / f"{path.stem}{FORMATS[kind].suffix}"
        load = FORMATS[kind].load
        with _told(f"{facts['architecture']} cannot be exported to {kind}", folder=temporary):
            FORMATS[kind].write(whole, batches[0], file, facts)
        every = (
            f"The {kind} file does not run on every batch, as where a network's code depends on how many faces it is"
        )
        with _told(every, folder=temporary):
            agreement = _to_int8(file, load, list(_real(whole, cfg, calibration))) if calibration else None
            difference, relative = _compare(load(file), batches, expected)
        if agreement is None and not relative <= LIMIT:
            raise FerzooError(
                f"The {kind} file gives other outputs than the network: they differ by {relative:.2g} of the largest, "
                f"more than {LIMIT:g}. Nothing was written."
            )
        written = sorted(temporary.iterdir(), key=lambda p: p.suffix != ".bin")
        size_bytes = sum(p.stat().st_size for p in written)
        for each in written:  # an OpenVINO file comes after its weights
            each.replace(path if each == file else path.with_name(each.name))
    channels, height, width = cfg["input_size"]
    takes = "RGB pictures (N, H, W, 3), uint8" if preprocess else f"faces (N, {channels}, {height}, {width}), float32"
    return Exported(
        path=str(path),
        format=kind,
        architecture=facts["architecture"],
        input=takes,
        output=f"{'probabilities' if softmax else 'logits'} (N, {facts['num_classes']}), float32",
        size_bytes=size_bytes,
        difference=difference,
        relative=relative,
        faces=sum(len(x) for x in batches[2:]),
        agreement=agreement,
    )


def _rgb(face: Any) -> Image.Image:
    if not isinstance(face, Image.Image):
        raise FerzooError(f"Faces are PIL images, got a {type(face).__name__}: PIL.Image.open makes one of a file.")
    return face.convert("RGB")


def _facts(network: Any, cfg: dict[str, Any], preprocess: bool, softmax: bool) -> dict[str, Any]:
    """What a file says of itself."""
    return {
        "version": __version__,
        "architecture": str(cfg.get("architecture") or type(network).__name__.lower()),
        "num_classes": int(getattr(network, "num_classes", 0) or cfg["num_classes"]),
        "cfg": {key: value for key, value in cfg.items() if value is not None and key not in SOURCES},
        "ferzoo": {"grayscale": wants_grey(network)},
        "preprocess": preprocess,
        "softmax": softmax,
    }


@contextmanager
def _told(what: str, hint: str = "Nothing was written.", folder: Path | None = None) -> Iterator[None]:
    """Errors of networks, exporters and runtimes, of which each has its own, as one of ferzoo.

    Args:
        what: What cannot be done.
        hint: What to do.
        folder: Where files are written, whose names say nothing later on; errors of the system there stay as they are.
    """
    try:
        yield
    except Exception as error:
        known = isinstance(error, FerzooError) and not isinstance(error, CheckpointError)
        if known or (folder and isinstance(error, OSError) and _is_of(error, folder)):
            raise
        said = first_line(error).replace(f"{folder}{os.sep}", "").rstrip(".:")
        raise FerzooError(f"{what}: {said}. {hint}") from error


def _is_of(error: OSError, folder: Path) -> bool:
    """Whether an error is of a file in a folder; where a disk is full, it names none."""
    return error.filename is None or folder in Path(str(error.filename)).parents


def _expected(
    eager: Whole, cfg: dict[str, Any], faces: list[Image.Image], facts: dict[str, Any]
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Batches, and what the network gives for each.

    Raises:
        FerzooError: If it cannot be run on them, or gives no logits.
    """
    name, classes = facts["architecture"], facts["num_classes"]
    shape = "x".join(map(str, cfg["input_size"]))
    hint = "Give the size in pixels that it was built for, or set input_size in its pretrained_cfg."
    with _told(f"{name} cannot be run on faces of {shape}", hint), torch.no_grad():
        batches = list(_batches(eager, cfg, faces))
        logits = [eager.logits(x) for x in batches]
    for x, y in zip(batches, logits, strict=True):
        if not isinstance(y, torch.Tensor) or y.shape != (len(x), classes):
            what = f"a tensor {tuple(y.shape)}" if isinstance(y, torch.Tensor) else f"a {type(y).__name__}"
            raise FerzooError(f"{name} gives {what} for {len(x)} faces, not its logits ({len(x)}, {classes}) alone.")
        if not y.isfinite().all():
            raise FerzooError(f"{name} gives NaN or infinity: its weights are damaged.")
    return batches, [y.softmax(1) for y in logits] if eager.softmax else logits


def _batches(whole: Whole, cfg: dict[str, Any], faces: list[Image.Image]) -> Iterable[torch.Tensor]:
    """Two random batches of different length, then the real faces."""
    generator = torch.Generator().manual_seed(0)
    for count, shape in ((2, (90, 70, 3)), (3, (61, 130, 3))):
        if whole.preprocess:
            yield torch.randint(0, 256, (count, *shape), generator=generator, dtype=torch.uint8)
        else:
            yield torch.randn(count, *cfg["input_size"], generator=generator)
    if faces:
        yield from _real(whole, cfg, faces)


def _real(whole: Whole, cfg: dict[str, Any], faces: list[Image.Image]) -> Iterable[torch.Tensor]:
    """Faces in batches, as the network takes them; pictures that need not be of one size one by one."""
    if whole.preprocess:
        for face in faces:
            yield torch.from_numpy(np.array(face))[None]
        return
    transform = eval_transform(cfg, grayscale=whole.grey)
    for start in range(0, len(faces), BATCH):
        yield torch.stack([transform(face) for face in faces[start : start + BATCH]])


def _to_int8(file: Path, load: Callable[[Path], Run], faces: list[torch.Tensor]) -> float:
    """Quantise a file that was just written; the share of the faces that keep their label.

    Raises:
        FerzooError: If it is less than `LEAST_AGREEMENT`.
    """
    run = load(file)
    labels = [run(x).argmax(1) for x in faces]
    with _told("The file cannot be quantised", folder=file.parent):
        quantize(file, [x.numpy() for x in faces])
    run = load(file)
    same = torch.cat([run(x).argmax(1) == y for x, y in zip(faces, labels, strict=True)])
    agreement = float(same.float().mean())
    if not agreement >= LEAST_AGREEMENT:
        raise FerzooError(
            f"In int8 {agreement:.0%} of the faces that it was calibrated on keep their label, less than "
            f"{LEAST_AGREEMENT:.0%}: take more of them, or export without int8. Nothing was written."
        )
    return agreement


def _compare(run: Run, batches: list[torch.Tensor], expected: list[torch.Tensor]) -> tuple[float, float]:
    with torch.no_grad():
        found = [run(x) for x in batches]
    difference = max(float((a - b).abs().max()) for a, b in zip(found, expected, strict=True))
    scale = max(float(x.abs().max()) for x in expected)
    return difference, difference / max(scale, 1e-12)
