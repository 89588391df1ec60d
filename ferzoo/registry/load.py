"""One way to a trained network for every command: a name, a checkpoint folder, or the Hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

import torch
from torch import nn

from ..errors import CheckpointError, FerzooError
from .exported import OnnxFile, is_exported, refuse_other_exports
from .factory import create_model, list_models
from .folder import create_from_folder

__all__ = ["OnnxModule", "is_folder", "load_model", "wants_grey"]


class OnnxModule(nn.Module):
    """An exported network where torch wants a module: it runs on the CPU and cannot be trained.

    Attributes:
        pretrained_cfg: Its timm cfg.
        ferzoo_cfg: What timm's cfg has no field for.
        num_classes: Classes.
    """

    def __init__(self, path: str | os.PathLike[str], pictures: bool = False) -> None:
        """Open a file that `ferzoo.export` wrote.

        Args:
            path: The file.
            pictures: Also one with its preprocessing inside, which takes RGB pictures (N, 3, H, W) from 0 to 255 here.

        Raises:
            CheckpointError: If it is none, or takes pictures and not normalised faces.
        """
        super().__init__()
        self.file = OnnxFile(path)
        if self.file.preprocess and not pictures:
            raise CheckpointError(f"{path} has its preprocessing inside; only ferzoo predict takes such a file.")
        self.pretrained_cfg, self.ferzoo_cfg = self.file.cfg, self.file.ferzoo
        self.num_classes = self.file.num_classes

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (N, classes); log-probabilities where the file gives probabilities."""
        x = x.permute(0, 2, 3, 1).to(torch.uint8) if self.file.preprocess else x.float()
        out = torch.from_numpy(self.file(x.cpu().numpy())).to(x.device)
        return out.clamp_min(torch.finfo(out.dtype).tiny).log() if self.file.softmax else out


def load_model(name: str | os.PathLike[str]) -> nn.Module:
    """Build a network and load its trained weights.

    Args:
        name: A model's name with or without tag (``"lfnsb"``), ``"hf-hub:org/repo[@revision]"``, a file that
            `ferzoo.export` wrote (``"lfnsb.onnx"``), or a folder that holds ``model.safetensors`` and ``config.json``.
            A registered name goes before a folder of that name: write ``"./lfnsb"`` for the folder.

    Returns:
        The network, in training mode as timm's are. Its `pretrained_cfg` holds preprocessing and label names, its
        `ferzoo_cfg` what timm's cfg has no field for; that of a folder or of the Hub has as `ferzoo_args` the arguments
        that it was built with, but for the class count.

    Raises:
        UnknownNameError: If there is no such model; names the nearest.
        CheckpointError: If there are no weights, they are damaged or do not fit, or it is an export of another format
            than ONNX.
    """
    if is_exported(name):
        return OnnxModule(name)
    refuse_other_exports(name)
    if is_folder(name):
        return create_from_folder(Path(name).expanduser())
    name = os.fspath(name)
    try:
        return create_model(name, pretrained=True)
    except FerzooError:
        raise
    except (OSError, RuntimeError) as error:  # the Hub's client and timm
        raise CheckpointError(f"The weights of {name!r} cannot be loaded: {error}") from error


def wants_grey(model: nn.Module) -> bool:
    """Whether a network was trained on faces without colour, as its `ferzoo_cfg` says."""
    return bool((getattr(model, "ferzoo_cfg", None) or {}).get("grayscale", False))


def is_folder(source: str | os.PathLike[str]) -> bool:
    """Whether a source is a folder with a checkpoint, and not a name.

    Args:
        source: A path is a folder. A string is one if it has a separator, or if there is a folder of that name and no
            registered model; not if it begins with ``hf-hub:`` or the like.
    """
    if not isinstance(source, str):
        return True
    if re.match("[A-Za-z][A-Za-z_-]+:", source):
        return False
    if "/" in source or os.sep in source or source in (".", "..", "~"):
        return True
    return source.partition(".")[0] not in list_models() and os.path.isdir(source)
