"""Tables of the rest of the code: blocks, recipe, labels, commands, checks, and files as they are."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from ferzoo.registry.factory import find_registered
from ferzoo.testing.report import Check

from .common import ROOT, arguments, first_line, own, rows


def blocks() -> str:
    """Every block with its arguments and what it is."""
    lines = []
    for name in own("block"):
        make = find_registered("block", name).make
        lines.append((f"[`{name}`](#{name})", arguments(make), first_line(make)))
    return rows(("name", "arguments", "what it is"), lines)


def recipe() -> str:
    """Every field of a recipe with its default, from the class's docstring."""
    from ferzoo.train.recipe import Recipe

    text = (inspect.getdoc(Recipe) or "").partition("Attributes:")[2]
    found = re.findall(r"^ {4}(\w+): (.+(?:\n {8}.+)*)$", text, re.M)
    meaning = {name: " ".join(sentence.split()) for name, sentence in found}
    defaults = Recipe().to_dict()
    lines = [
        (f"`{f.name}`", f"`{json.dumps(defaults[f.name])}`", meaning.get(f.name, ""))
        for f in dataclasses.fields(Recipe)
    ]
    return rows(("field", "default", "meaning"), lines)


def labels() -> str:
    """Every label set with its classes in order."""
    from ferzoo.labels import LABELS

    return rows(("label set", "classes in order"), [(f"`{k}`", ", ".join(v)) for k, v in LABELS.items()])


def commands() -> str:
    """Every command with its line of help."""
    from ferzoo.cli.main import COMMANDS

    return rows(("command", "what it does"), [(f"`ferzoo {k}`", text) for k, (_, text) in COMMANDS.items()])


def formats() -> str:
    """Every format of an export with the suffix that chooses it."""
    from ferzoo.deploy.formats import FORMATS

    return rows(("format", "suffix", "what it is"), [(f"`{k}`", f"`{f.suffix}`", f.title) for k, f in FORMATS.items()])


def _checks(checks: Iterable[Check]) -> str:
    return rows(("check", "what it wants"), [(f"`{c.name}`", c.wants) for c in checks])


def model_checks() -> str:
    """The checks of `check_model`."""
    from ferzoo.testing.models import MODEL_CHECKS

    return _checks(MODEL_CHECKS)


def block_checks() -> str:
    """The checks of `check_block`."""
    from ferzoo.testing.blocks import BLOCK_CHECKS

    return _checks(BLOCK_CHECKS)


def loss_checks() -> str:
    """The checks of `check_loss`."""
    from ferzoo.testing.losses import LOSS_CHECKS

    return _checks(LOSS_CHECKS)


def file(path: str) -> str:
    """The text of a file of this repository, as a code block."""
    language = {".py": "python", ".yaml": "yaml", ".toml": "toml"}[Path(path).suffix]
    return f"```{language}\n{(ROOT / path).read_text(encoding='utf-8')}```"


TABLES: dict[str, Callable[..., str]] = {
    "block-checks": block_checks,
    "blocks": blocks,
    "commands": commands,
    "file": file,
    "formats": formats,
    "labels": labels,
    "loss-checks": loss_checks,
    "model-checks": model_checks,
    "recipe": recipe,
}
