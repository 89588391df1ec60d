"""The diagram of a network's stages: a small SVG a stage, so that they wrap on a narrow screen."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from .gallery_facts import Stage, across

#: Width and height of a stage's picture in pixels, and the largest block in it.
WIDTH, HEIGHT, BLOCK = 78, 118, 56
#: Characters of a stage's name that fit.
NAME = 12


def stages(parts: Sequence[Stage], name: str) -> str:
    """Blocks whose height follows the resolution and whose width follows the channels.

    Args:
        parts: The stages in order, the input first.
        name: Name of the network.
    """
    side = max(parts[0].shape[1:])
    channels = max(part.shape[0] for part in parts)
    pictures = "".join(_picture(part, side, channels, last=part is parts[-1]) for part in parts)
    return f'<div class="fz-stages" role="group" aria-label="Stages of {escape(name)}">{pictures}</div>'


def _picture(part: Stage, side: int, channels: int, last: bool) -> str:
    width = max(4.0, BLOCK * part.shape[0] / channels)
    height = max(4.0, BLOCK * part.shape[1] / side) if len(part.shape) == 3 else 4.0
    middle, centre = WIDTH / 2, 4 + BLOCK / 2
    left, top = middle - width / 2, centre - height / 2
    # The title says in full what the lines below the block shorten.
    row = f"{part.blocks} {part.block}, " if part.blocks else ""
    kind = f"{across(part.shape)} (channels, height, width)" if len(part.shape) == 3 else f"length {part.shape[0]}"
    name = part.name if len(part.name) <= NAME else f"…{part.name[1 - NAME :]}"
    lines = [name, "×".join(map(str, part.shape))]
    if part.blocks > 1:
        lines.append(f"{part.blocks} blocks")
    texts = "".join(
        f'<text x="{middle:g}" y="{BLOCK + 22 + 15 * i}" text-anchor="middle">{escape(line)}</text>'
        for i, line in enumerate(lines)
    )
    arrow = "" if last else f'<path class="fz-arrow" d="M{WIDTH - 5} {centre - 4:g}l4 4l-4 4"/>'
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">'
        f"<title>{escape(part.name)}: {escape(row)}{kind}</title>"
        f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="1.5"/>{arrow}{texts}</svg>'
    )
