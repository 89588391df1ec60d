"""The model card of a run: README.md beside the weights, as a push would write it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..hub.card import WRITTEN_BY, card_text
from ..hub.facts import facts_of
from ..registry.folder import create_from_folder
from ..weights.files import write_atomically
from ..weights.folders import sha256_of
from ..weights.repository import CONFIG, WEIGHTS

__all__ = ["README", "write_readme"]

README = "README.md"


def write_readme(folder: Path) -> None:
    """Write the card of a finished run; a README.md of somebody else's stays as it is.

    Args:
        folder: The run's folder. Without weights, which a run has from its first epoch at its last size on, nothing
            is written.

    Raises:
        CheckpointError: If the network cannot be rebuilt from the folder.
    """
    path = folder / README
    if not (folder / CONFIG).is_file():
        return
    if path.is_file() and WRITTEN_BY not in path.read_text(encoding="utf-8", errors="replace"):
        return
    model: Any = create_from_folder(folder)
    files = {name: sha256_of(folder / name) for name in (WEIGHTS, CONFIG)}
    text = card_text(facts_of(folder, model), model.pretrained_cfg, "", files)
    write_atomically(path, lambda p: p.write_text(text, encoding="utf-8"))
