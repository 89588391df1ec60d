"""The model card of a run: README.md beside the weights, as a push would write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..errors import FerzooError
from ..hub.card import WRITTEN_BY, card_text
from ..hub.facts import facts_of
from ..registry.folder import create_from_folder
from ..weights.files import write_atomically
from ..weights.folders import sha256_of
from ..weights.repository import CONFIG, README, WEIGHTS

__all__ = ["write_readme"]


def write_readme(folder: Path) -> str:
    """Write the card of a finished run; a README.md that ferzoo did not write stays as it is.

    Args:
        folder: The run's folder. Without weights, which a run has from its first epoch at its last size on, nothing
            is written.

    Returns:
        Why there is no card, where something went wrong: the weights are there all the same. Else nothing.
    """
    path = folder / README
    if not (folder / CONFIG).is_file():
        return ""
    try:
        if path.exists() and WRITTEN_BY not in path.read_text(encoding="utf-8", errors="replace"):
            return ""
        model: Any = create_from_folder(folder)
        files = {name: sha256_of(folder / name) for name in (WEIGHTS, CONFIG)}
        text = card_text(facts_of(folder, model), model.pretrained_cfg, "", files)
        write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))
    except (FerzooError, OSError) as error:
        return f"no {README} was written: {error}"
    return ""
