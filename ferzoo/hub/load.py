"""One way to a trained network for every command: a name, a checkpoint folder, or the Hub."""

from __future__ import annotations

import os
import re
from pathlib import Path

from torch import nn

from ..errors import CheckpointError, FerzooError
from ..registry.factory import create_model, list_models
from ..registry.folder import create_from_folder

__all__ = ["load_model"]


def load_model(name: str | os.PathLike[str]) -> nn.Module:
    """Build a network and load its trained weights.

    Args:
        name: A model's name with or without tag (``"lfnsb"``), ``"hf-hub:org/repo[@revision]"``, or a folder that
            holds ``model.safetensors`` and ``config.json``. A registered name goes before a folder of that name:
            write ``"./lfnsb"`` for the folder.

    Returns:
        The network, in training mode as timm's are. Its `pretrained_cfg` holds preprocessing and label names, its
        `ferzoo_cfg` what timm's cfg has no field for.

    Raises:
        UnknownNameError: If there is no such model; names the nearest.
        CheckpointError: If there are no weights, or they are damaged or do not fit.
    """
    if _is_folder(name):
        return create_from_folder(Path(name).expanduser())
    name = os.fspath(name)
    try:
        return create_model(name, pretrained=True)
    except FerzooError:
        raise
    except (OSError, RuntimeError) as error:  # the Hub's client and timm
        raise CheckpointError(f"The weights of {name!r} cannot be loaded: {error}") from error


def _is_folder(name: str | os.PathLike[str]) -> bool:
    if not isinstance(name, str):
        return True
    if re.match(r"[a-z_-]{2,}:", name):
        return False
    if "/" in name or os.sep in name or name in (".", "..", "~"):
        return True
    return name.partition(".")[0] not in list_models() and os.path.isdir(name)
