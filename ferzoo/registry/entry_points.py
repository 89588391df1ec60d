"""Entry-point metadata to names; a module is imported only when one of its names is asked for."""

from __future__ import annotations

import contextlib
import importlib
import sys
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import entry_points
from types import ModuleType

from ..errors import PluginConflictError, PluginLoadError, PluginWarning, UnknownNameError

__all__ = ["GROUPS", "Entry", "command", "entries", "find", "load", "load_error", "note_broken", "warn_broken"]

#: Kind of thing to the entry-point group that lists it.
GROUPS = {"model": "ferzoo.models", "block": "ferzoo.blocks", "loss": "ferzoo.losses"}

#: By module: several names may stand behind one, which is imported once all the same.
_errors: dict[str, BaseException] = {}
_broken: dict[Entry, str] = {}
_warned: set[Entry] = set()
#: Whether this process is a command, whose standard output is its answer alone.
_of_a_command = False


@dataclass(frozen=True)
class Entry:
    """One line of a distribution's entry points: a name and the module, or module:attribute, behind it."""

    kind: str
    name: str
    value: str
    distribution: str
    version: str

    @property
    def module(self) -> str:
        """Dotted name of the module."""
        return self._object.partition(":")[0].strip()

    @property
    def attribute(self) -> str:
        """Attribute of the module, empty where the entry names the module alone."""
        return self._object.partition(":")[2].strip()

    @property
    def _object(self) -> str:
        # "module:attribute [extra]" is allowed; pip has seen to the extra.
        return self.value.partition("[")[0]

    def __str__(self) -> str:
        """Name the distribution the way pip does."""
        return f"{self.distribution} {self.version}"


@lru_cache(maxsize=8)
def _read(kind: str, path: tuple[str, ...]) -> dict[str, tuple[Entry, ...]]:
    found: dict[str, dict[Entry, None]] = {}
    for point in entry_points(group=GROUPS[kind]):
        dist = point.dist
        name, version = (dist.name, dist.version) if dist else ("unknown", "")
        found.setdefault(point.name, {})[Entry(kind, point.name, point.value, name, version)] = None
    return {name: tuple(found[name]) for name in sorted(found)}


def entries(kind: str) -> dict[str, tuple[Entry, ...]]:
    """Every registered name of a kind with the entries that claim it, from metadata alone.

    Args:
        kind: ``"model"``, ``"block"`` or ``"loss"``.
    """
    return _read(kind, tuple(sys.path))


def find(kind: str, name: str, also_known: Iterable[str] = (), hint: str = "") -> Entry:
    """The one entry behind `name`.

    Args:
        kind: ``"model"``, ``"block"`` or ``"loss"``.
        name: The registered name.
        also_known: Further names to offer when `name` is unknown.
        hint: What to do when none of them is meant.

    Raises:
        UnknownNameError: If nobody registered it; names the nearest.
        PluginConflictError: If several distributions claim it; names them all.
    """
    known = entries(kind)
    if name not in known:
        raise UnknownNameError(kind, name, [*known, *also_known], hint)
    claims = known[name]
    if len(claims) > 1:
        owners = " and ".join(f"{entry} ({entry.value})" for entry in claims)
        raise PluginConflictError(
            f"The {kind} {name!r} is claimed by {owners}. Uninstall one of them, or ask its author to rename it."
        )
    return claims[0]


def load(entry: Entry) -> ModuleType:
    """Import the module behind an entry.

    Raises:
        PluginLoadError: If the import fails, now or before; the original error is the cause.
    """
    if entry.module not in _errors:
        try:
            with contextlib.redirect_stdout(sys.stderr) if _of_a_command else contextlib.nullcontext():
                return importlib.import_module(entry.module)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a plugin may do anything when it is imported
            _errors[entry.module] = error
    cause = _errors[entry.module]
    note_broken(entry, f"{type(cause).__name__}: {cause}")
    raise PluginLoadError(
        f"The {entry.kind} {entry.name!r} comes from {entry}, whose module {entry.module!r} failed to import: "
        f"{type(cause).__name__}: {cause}. Repair or update that package, or uninstall it: "
        f"pip uninstall {entry.distribution}"
    ) from cause


@contextlib.contextmanager
def command() -> Iterator[None]:
    """Within the block, what a plugin prints while it is imported goes to standard error.

    For the command line alone: standard output belongs to all threads of a process.
    """
    global _of_a_command
    before, _of_a_command = _of_a_command, True
    try:
        yield
    finally:
        _of_a_command = before


def load_error(entry: Entry) -> BaseException | None:
    """The error that an earlier `load` of this entry's module met, if any."""
    return _errors.get(entry.module)


def note_broken(entry: Entry, reason: str) -> None:
    """Keep in mind that an entry cannot be used, for `warn_broken`.

    Args:
        entry: The entry.
        reason: Why, in words.
    """
    _broken.setdefault(entry, reason)


def warn_broken(kinds: Iterable[str] = tuple(GROUPS), stacklevel: int = 3) -> None:
    """Warn of the entries that are known to be broken: one warning for all, and each of them once.

    Args:
        kinds: Which kinds to look at.
        stacklevel: As in `warnings.warn`, counted from here.
    """
    kinds = list(kinds)
    fresh = [entry for entry in _broken if entry.kind in kinds and entry not in _warned]
    if fresh:
        _warned.update(fresh)
        listed = "; ".join(f"the {entry.kind} {entry.name!r} of {entry}: {_broken[entry]}" for entry in fresh)
        warnings.warn(
            f"Left out, because they cannot be used: {listed}. Run `ferzoo plugins` for details.",
            PluginWarning,
            stacklevel=stacklevel,
        )
