"""Every exception of ferzoo: each message says what was wrong and what to do next."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

__all__ = [
    "CheckpointError",
    "CheckpointWarning",
    "DataError",
    "DataWarning",
    "FerzooError",
    "ImageError",
    "InputSizeError",
    "LossError",
    "MissingExtraError",
    "MissingPackageError",
    "OptionError",
    "PluginConflictError",
    "PluginLoadError",
    "PluginWarning",
    "RecipeError",
    "RegistrationError",
    "UnknownNameError",
    "VideoError",
    "VideoWarning",
    "WeightsCorruptError",
    "WeightsNotFoundError",
    "nearest",
]


def first_line(error: BaseException) -> str:
    """The first line of what an error of another library says; its type where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


class FerzooError(Exception):
    """Base of all errors that ferzoo raises on purpose."""


class UnknownNameError(FerzooError, ValueError):
    """A model, block, loss, dataset or label that nobody registered."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        """Build the message from what was asked and what exists.

        Args:
            kind: What was looked up, for example ``"model"``.
            name: The unknown name.
            known: Every name that would have worked.
            hint: A sentence on what to do when none of the near names is meant.
        """
        close = nearest(name, known) if isinstance(name, str) else []
        message = f"Unknown {kind} {name!r}."
        if close:
            message += f" Did you mean {' or '.join(repr(c) for c in close)}?"
        if hint:
            message += f" {hint}"
        super().__init__(message)
        self.kind = kind


class PluginLoadError(FerzooError, ImportError):
    """The module behind a registered name failed to import; the original error is the cause."""


class PluginConflictError(FerzooError):
    """Two distributions claim one name, or a plugin claims a name that timm owns."""


class RegistrationError(FerzooError, ValueError):
    """A plugin module registers something in a way that would damage the registry."""


class PluginWarning(UserWarning):
    """A plugin is broken and was left out; everything else works."""


class OptionError(FerzooError, ValueError):
    """An argument is out of its range, or does not go with another one or with the network."""


class InputSizeError(FerzooError, ValueError):
    """A tensor's channels, height or width do not fit the network."""


class LossError(FerzooError, ValueError):
    """A loss was built or called with something that it cannot take."""


class CheckpointError(FerzooError, RuntimeError):
    """A state dict or a weights file does not fit the network, or may not be loaded safely."""


class CheckpointWarning(UserWarning):
    """Part of a checkpoint is left out.

    Attributes:
        classes: Classes of the classifier that is, 0 where it is something else.
    """

    classes = 0

    @classmethod
    def of_classifier(cls, had: int, has: int) -> CheckpointWarning:
        """That a classifier of `had` classes does not go into a network of `has`."""
        warning = cls(
            f"The checkpoint's classifier has {had} classes and the network {has}: it is left out, and the network's "
            "starts untrained."
        )
        warning.classes = had
        return warning


class WeightsNotFoundError(CheckpointError):
    """No source holds the asked weights; the message lists what was tried."""


class WeightsCorruptError(CheckpointError):
    """A weights file differs from its recorded sha256."""


class ImageError(FerzooError, ValueError):
    """A file or array is no image that can be used."""


class VideoError(FerzooError, ValueError):
    """A file, a camera or an iterable gives no frames that can be used, or a drawn video cannot be written."""


class VideoWarning(UserWarning):
    """A video or a camera ended before its time; what it gave until then was used."""


class DataError(FerzooError, ValueError):
    """A dataset is missing, incomplete or in an unknown layout."""


class DataWarning(UserWarning):
    """A dataset differs from what was published, or a part of it was left out."""


class RecipeError(FerzooError, ValueError):
    """A training recipe has an unknown key or a value out of range."""


class MissingExtraError(FerzooError, ImportError):
    """An optional package is needed; the message names the extra that brings it."""

    def __init__(self, what: str, extra: str, otherwise: str = "") -> None:
        """Name what needs the package, the extra to install and, if there is one, the way around.

        Args:
            what: What needs the package, the first words of a sentence.
            extra: The extra of ferzoo that brings it.
            otherwise: A sentence on how to go on without it.
        """
        super().__init__(f'{what} needs the extra {extra!r}: pip install "ferzoo[{extra}]". {otherwise}'.rstrip())


class MissingPackageError(FerzooError, ImportError):
    """An optional package is needed that no extra of ferzoo brings; the message names it."""

    def __init__(self, what: str, package: str) -> None:
        """Name what needs the package, and the package.

        Args:
            what: What needs the package, the first words of a sentence.
            package: Its name for pip.
        """
        super().__init__(f"{what} needs the package {package!r}: pip install {package}.")


def nearest(name: str, known: Iterable[str], count: int = 3) -> list[str]:
    """Names most like `name`, case ignored, best first.

    Args:
        name: What was asked for.
        known: Candidates.
        count: At most this many are returned.
    """
    by_lower = {k.lower(): k for k in known}
    return [by_lower[k] for k in difflib.get_close_matches(name.lower(), by_lower, n=count, cutoff=0.5)]


@contextmanager
def reworded(words: Mapping[str, str]) -> Iterator[None]:
    """Within it, errors about data and names say what the user wrote, not the arguments of a function.

    Args:
        words: From a regular expression of what a message says to what stands in its place.
    """
    try:
        yield
    except (DataError, UnknownNameError) as error:
        text = str(error)
        for said, written in words.items():
            text = re.sub(said, written, text)
        error.args = (text,)
        raise


def no_text(name: str | os.PathLike[str]) -> str:
    """What to say of a name that is no text, as others take names; empty where it is one."""
    try:
        os.fspath(name).encode("utf-8")
    except UnicodeEncodeError:  # Python keeps a byte that it cannot read as half a character
        code = sys.getfilesystemencoding()
        more = "" if code == "utf-8" else ", or set PYTHONUTF8=1"
        return f"{os.fspath(name)!a} holds bytes that are no text in {code}: take another name{more}."
    return ""
