"""The file formats that a network is exported to: what is checked, how each is written, and how run to compare."""

from __future__ import annotations

import errno
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..errors import FerzooError, MissingExtraError, UnknownNameError, no_text
from ..registry.exported import METADATA, OnnxFile, is_exported
from .fuse import fold, fuse, fuse_for_onnxruntime, fuse_for_openvino
from .quiet import quietly

__all__ = ["FORMATS", "OPSET", "Format", "check_export", "check_target", "folder_beside", "format_of"]

#: ONNX operator set of an exported file.
OPSET = 18
#: Loggers of the exporters, which note much on their own inside.
_EXPORTERS = ("torch.onnx", "torch.export", "torch._export", "onnxscript")
#: Batch, and height or width of a picture, in an exported file; torch 2.6 needs a bound.
LARGEST = 2**31 - 1
Run = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Format:
    """One format.

    Attributes:
        suffix: Of its files.
        title: What it is.
        write: Writes a network to a path, given an example batch and the facts that go with it. That the disk is full
            is an OSError.
        load: Gives back a function from a batch to outputs.
        fuse: Makes a network fast for what will run the file.
    """

    suffix: str
    title: str
    write: Callable[[nn.Module, torch.Tensor, Path, dict[str, Any]], None]
    load: Callable[[Path], Run]
    fuse: Callable[[nn.Module], nn.Module]


def _dynamic(example: torch.Tensor) -> dict[int, Any]:
    """Any batch; any height and width, too, for pictures."""
    names = ("batch", "height", "width") if example.dtype == torch.uint8 else ("batch",)
    return {axis: torch.export.Dim(name, min=1, max=LARGEST) for axis, name in enumerate(names)}


def _program(model: nn.Module, example: torch.Tensor) -> Any:
    with quietly(*_EXPORTERS):
        return torch.export.export(model, (example,), dynamic_shapes=(_dynamic(example),))


def _write_onnx(model: nn.Module, example: torch.Tensor, path: Path, facts: dict[str, Any]) -> None:
    try:
        import onnx
        import onnxscript  # noqa: F401 (the exporter's own need)
    except ImportError as error:
        raise MissingExtraError("Exporting to ONNX", "export") from error
    with quietly(*_EXPORTERS):
        program = torch.onnx.export(
            model,
            (example,),
            dynamo=True,
            dynamic_shapes=(_dynamic(example),),
            input_names=["pictures" if example.dtype == torch.uint8 else "faces"],
            output_names=["probabilities" if facts["softmax"] else "logits"],
            opset_version=OPSET,
            verbose=False,
        )
    if program is None:
        raise FerzooError("torch wrote no ONNX program.")
    proto = program.model_proto
    _strip(proto)
    entries = {METADATA: json.dumps(facts), "label_names": json.dumps(facts["cfg"].get("label_names") or [])}
    for key, value in entries.items():
        proto.metadata_props.add(key=key, value=value)
    proto.doc_string, proto.producer_name = "", "ferzoo"
    onnx.checker.check_model(proto)
    path.write_bytes(proto.SerializeToString())


def _strip(proto: Any) -> None:
    """Take out where in the Python code each operation came from: a tenth of the file, with paths of this machine."""
    del proto.metadata_props[:]
    for item in (proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output):
        item.doc_string = ""
        del item.metadata_props[:]
    for function in proto.functions:
        function.doc_string = ""
        del function.metadata_props[:]
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]


def _load_onnx(path: Path) -> Run:
    network = OnnxFile(path)
    return lambda x: torch.from_numpy(network(x.numpy()))


def _write_openvino(model: nn.Module, example: torch.Tensor, path: Path, facts: dict[str, Any]) -> None:
    try:
        import openvino
    except ImportError as error:
        raise MissingExtraError("Exporting to OpenVINO", "openvino") from error
    middle = path.with_suffix(".onnx")
    _write_onnx(model, example, middle, facts)
    network = openvino.convert_model(middle)
    _resize_as_pillow(network)
    network.set_rt_info(json.dumps(facts), METADATA)
    try:
        openvino.save_model(network, path, compress_to_fp16=False)
    except RuntimeError as error:  # it has no more to say of the disk
        raise OSError(errno.EIO, "OpenVINO's writer fails, as it does on a full disk", str(path)) from error
    middle.unlink()


def _resize_as_pillow(network: Any) -> None:
    """Give the resizing of pictures OpenVINO's modes for it: in that which ONNX's becomes, antialias has no effect."""
    from openvino import opset11

    modes = {"cubic": "bicubic_pillow", "linear": "bilinear_pillow", "linear_onnx": "bilinear_pillow"}
    for node in network.get_ordered_ops():
        has = node.get_attributes() if node.get_type_name() == "Interpolate" else {}
        if has.get("antialias"):
            mode, by = modes[has["mode"]], has["shape_calculation_mode"]
            x, size, axes = (*node.input_values(), None)[:3]
            resized = opset11.interpolate(x, size, mode, by, axes=axes, cube_coeff=has["cube_coeff"])
            node.output(0).replace(resized.output(0))


def _load_openvino(path: Path) -> Run:
    import openvino

    # Where the processor has bfloat16 it would be taken, and nothing be proven.
    network = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return lambda x: torch.from_numpy(network(x.numpy())[0].copy())


# On a full disk torch's writers end the process: what they write is made in memory, and written by Python.


def _write_torchscript(model: nn.Module, example: torch.Tensor, path: Path, facts: dict[str, Any]) -> None:
    with quietly(*_EXPORTERS), torch.no_grad():
        script = torch.jit.freeze(torch.jit.trace(model, example, check_trace=False))
        content = io.BytesIO()
        torch.jit.save(script, content, _extra_files={f"{METADATA}.json": json.dumps(facts)})
    path.write_bytes(content.getvalue())


def _load_torchscript(path: Path) -> Run:
    with quietly(*_EXPORTERS):
        return torch.jit.load(str(path))


def _write_program(model: nn.Module, example: torch.Tensor, path: Path, facts: dict[str, Any]) -> None:
    content = io.BytesIO()
    torch.export.save(_program(model, example), content, extra_files={f"{METADATA}.json": json.dumps(facts)})
    path.write_bytes(content.getvalue())


def _load_program(path: Path) -> Run:
    return torch.export.load(str(path)).module()


def _write_compiled(model: nn.Module, example: torch.Tensor, path: Path, facts: dict[str, Any]) -> None:
    from torch._inductor import aoti_compile_and_package

    content = io.BytesIO()
    with quietly(*_EXPORTERS):
        aoti_compile_and_package(_program(model, example), package_path=content)
    path.write_bytes(content.getvalue())


def _load_compiled(path: Path) -> Run:
    from torch._inductor import aoti_load_package

    return aoti_load_package(str(path))


FORMATS: dict[str, Format] = {
    "onnx": Format(".onnx", "ONNX, for ONNX Runtime and most others", _write_onnx, _load_onnx, fuse_for_onnxruntime),
    "openvino": Format(
        ".xml", "OpenVINO, beside a .bin with the weights", _write_openvino, _load_openvino, fuse_for_openvino
    ),
    "torchscript": Format(".pt", "TorchScript", _write_torchscript, _load_torchscript, fuse),
    "torch": Format(".pt2", "a program of torch.export", _write_program, _load_program, fold),
    "aotinductor": Format(".pt2", "code that torch compiles for this processor", _write_compiled, _load_compiled, fold),
}


def format_of(path: Path, name: str | None = None) -> str:
    """Name of the format, by itself or by a file's suffix.

    Args:
        path: Where the export goes.
        name: A key of `FORMATS`; None for the first with the path's suffix.

    Raises:
        UnknownNameError: If there is no such format.
        FerzooError: If the suffix is not that of the format, or of none.
    """
    suffixes = ", ".join(f"{f.suffix} ({key})" for key, f in FORMATS.items())
    if name is None:
        found = [key for key, f in FORMATS.items() if f.suffix == path.suffix.lower()]
        if not found:
            raise FerzooError(f"{path}: the suffix says the format, one of {suffixes}.")
        return found[0]
    if name not in FORMATS:
        raise UnknownNameError("format", name, FORMATS, f"The formats are {', '.join(FORMATS)}.")
    if path.suffix.lower() != FORMATS[name].suffix:
        raise FerzooError(f"{path}: a file of the format {name} ends in {FORMATS[name].suffix}.")
    return name


def check_export(model: Any, path: str | os.PathLike[str], name: str | None = None, int8: bool = False) -> str:
    """Check what can be checked at once.

    Args:
        model: As `ferzoo.export` takes it; whether there is such a network is not looked up.
        path: Where the export goes.
        name: The format by name; None for that of the suffix.
        int8: Whether the file is to be in int8.

    Returns:
        Name of the format, a key of `FORMATS`.

    Raises:
        UnknownNameError: If there is no such format.
        FerzooError: If the suffix is unknown or not that of the format, int8 is asked of another format than ONNX, the
            model is an export itself, or no file can be written there.
    """
    path = Path(path).expanduser()
    kind = format_of(path, name)
    if int8 and kind != "onnx":
        raise FerzooError(f"int8 is for ONNX files: {path} is of the format {kind}.")
    if is_exported(model):
        raise FerzooError(f"{model} is exported already: name the network that it was made from.")
    check_target(path)
    if kind == "openvino":
        check_target(path.with_suffix(".bin"))
    return kind


def check_target(path: Path) -> None:
    """Check that a file can be written; its folder need not be there.

    Raises:
        FerzooError: If it cannot.
    """
    if why := no_text(path):  # the writers and runtimes take names as text
        raise FerzooError(why)
    if os.path.isdir(path):  # pathlib's raises where a parent cannot be searched
        raise FerzooError(f"{path} is a folder: give the path of a file.")
    folder = next((each for each in path.parents if os.path.lexists(each)), path.parent)
    if not os.path.isdir(folder):
        raise FerzooError(f"{path} cannot be written: {folder} is no folder. Choose another place.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise FerzooError(f"{path} cannot be written: {folder} does not allow it. Choose another place.")


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A folder to write a file in before it takes its place; it is removed again.

    An OSError within is said of `path`, whichever file of the folder it names.

    Raises:
        FerzooError: If the file cannot be written, as on a full disk; says why.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
            yield Path(folder)
    except OSError as error:
        raise FerzooError(f"{path} cannot be written: {error.strerror or error}. Choose another place.") from error
