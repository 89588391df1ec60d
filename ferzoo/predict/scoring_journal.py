"""The file of the rows and the journal beside it: after a crash the two say where to go on."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO, Any

from ..errors import FerzooError
from ..weights.files import write_atomically
from .images import printable
from .scoring_job import State, difference

__all__ = ["Output", "check_place"]

VERSION = 2


def check_place(result: Path, rows: Path) -> None:
    """Before any work: see that the files can be made.

    Args:
        result: The file that is there in the end.
        rows: The file that is appended to.

    Raises:
        FerzooError: If there is no folder for them, nothing can be written in it, or one of them is a folder.
    """
    name, journal = printable(result), _journal_of(result)
    try:
        for path in (result, rows, journal):
            if path.is_dir():
                raise FerzooError(f"{printable(path)} is a folder: move it away, or choose another name.")
        if not result.parent.is_dir():
            raise FerzooError(f"{name}: there is no folder {printable(result.parent)}. Make it first.")
        if not journal.exists():  # a job that is finished writes nothing
            with tempfile.TemporaryFile(dir=result.parent):
                pass
    except OSError as error:
        raise _not_begun(name, error) from error


class Output:
    """Rows that are appended, and the journal ``FILE.progress`` that says which of them count.

    The journal is replaced as a whole, after the rows have reached the disk. What the file holds beyond the journal's
    size is dropped when the job goes on.

    Attributes:
        path: The file of the rows.
        state: How far the job is, rows that are not committed included.
    """

    def __init__(self, path: Path, job: Mapping[str, Any], header: bytes, resume: bool, result: Path) -> None:
        """Begin, or go on.

        Args:
            path: The file that is appended to, in a place that `check_place` has seen.
            job: What must be the same when the job goes on, for JSON.
            header: First bytes of the file.
            resume: Go on where the journal says, or begin if there is nothing yet.
            result: The file that is there in the end: `path`, or what is made of it.

        Raises:
            FerzooError: If there is a file already, it is another job's or another process's, or it cannot be written;
                then nothing is left of what was begun.
        """
        self.path, self._result, self._job = path, result, json.loads(json.dumps(job))
        self.journal, self._name = _journal_of(result), printable(result)
        self._file: IO[bytes] | None = None
        #: Where the part of the source that the job is in began.
        self._part = State()
        try:
            self._begin(header, resume)
        except OSError as error:
            raise _not_begun(self._name, error) from error

    def _begin(self, header: bytes, resume: bool) -> None:
        path, result = self.path, self._result
        taken = path.exists() or result.exists()
        if taken and not resume:
            raise FerzooError(
                f"{self._name} is there already, or was begun: go on with --resume (in Python: resume=True), or choose "
                "another name."
            )
        if taken and not self.journal.exists():
            raise FerzooError(f"{self._name} has no journal {self.journal.name} beside it: it cannot be gone on with.")
        self.state = self._read() if resume and self.journal.exists() else State()
        if self.state.finished:
            self._check_result()
        else:
            self._open(header)

    def _check_result(self) -> None:
        """A finished job has its rows."""
        there = self._result.stat().st_size if self._result.exists() else -1
        if there < 0 or (self.path == self._result and there != self.state.size):
            raise FerzooError(
                f"{self._name} was finished, and is {'gone' if there < 0 else 'changed'}: delete {self.journal.name} "
                "and what is left of it, and begin anew."
            )

    def _read(self) -> State:
        try:
            content = json.loads(self.journal.read_text(encoding="utf-8"))
            job, version = content["job"], content["version"]
            if version == VERSION:
                state, self._part = State(**content["state"]), State(**content.get("part", {}))
        except (ValueError, KeyError, TypeError) as error:
            raise FerzooError(
                f"The journal {printable(self.journal)} is damaged: delete it and the rows, and begin anew."
            ) from error
        if version != VERSION:
            raise FerzooError(
                f"The journal {printable(self.journal)} is of another version of ferzoo: "
                "go on with that one, or delete it and the rows, and begin anew."
            )
        differs = difference(job, self._job, None if state.finished else state.part + 1)
        if differs and state.broken and not difference(job, self._job, self._part.part):
            return replace(self._part, seconds=state.seconds, broken=True)  # another file in the place of a damaged one
        if differs:
            raise FerzooError(
                f"{self._name} cannot be gone on with: {differs}. To begin anew delete it and {self.journal.name}, or "
                "choose another name."
            )
        return state

    def _open(self, header: bytes) -> None:
        new, begun = not self.path.exists(), self.journal.exists()
        if new:
            # Before the file: a crash in between leaves nothing that stands in the way.
            self._write_journal()
        try:
            self._file = self.path.open("ab", buffering=0)
        except OSError:
            if new and not begun:
                self.journal.unlink(missing_ok=True)
            raise
        self._lock()
        try:
            # What another process has done until it let go counts.
            self.state = self._read()
            there = self.path.stat().st_size
            if there < self.state.size:
                raise FerzooError(
                    f"{printable(self.path)} has {there:,} bytes and its journal says {self.state.size:,}: it was "
                    "changed. Delete both to begin anew."
                )
            if self.state.finished:
                self._check_result()
                return
            self._file.truncate(self.state.size)
            if not self.state.size:
                self.write(header)
            self.commit()  # where the journal cannot be replaced, that shows before any work
        except BaseException:
            if new and not begun and not self.state.images:
                self.discard()
            self.close()
            raise

    def _lock(self) -> None:
        """One process writes: a second would take the first one's rows away."""
        try:
            import fcntl
        except ImportError:  # Windows
            return
        assert self._file
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.close()
            raise FerzooError(f"{self._name} is being written by another process. Wait for it.") from error
        except OSError as error:
            what = f"{self._name} cannot be locked ({error.strerror}): let no second process write it."
            warnings.warn(what, stacklevel=2)

    def _append(self, data: bytes) -> None:
        assert self._file
        view = memoryview(data)
        while view:  # a write without buffer may take a part
            view = view[self._file.write(view) :]

    def write(self, data: bytes, begins: State | None = None, **changed: Any) -> None:
        """Append rows and take over what they change of the state.

        Args:
            data: The rows.
            begins: The state where a part of the source begins that the first of them comes from.
            **changed: Fields of the state.

        Raises:
            FerzooError: If the disk is full or the like; what was committed stays.
        """
        try:
            self._append(data)
        except OSError as error:
            raise self._failed(error) from error
        # All at once: an interruption before this line leaves bytes that do not count.
        self.state = replace(self.state, **{**changed, "size": self.state.size + len(data)})
        self._part = begins or self._part

    def broken(self) -> None:
        """Note that the source cannot be read on: the file that is damaged may be replaced or left out."""
        self.state = replace(self.state, broken=True)

    def commit(self) -> None:
        """Bring everything to the disk, so that no crash takes it back.

        Raises:
            FerzooError: As `write`.
        """
        if self._file is None:
            return
        try:
            os.fsync(self._file.fileno())
            self._write_journal()
        except OSError as error:
            raise self._failed(error) from error

    def finish(self, make: Callable[[], None]) -> None:
        """Make the result of the rows, and write down that all is done.

        Args:
            make: Makes it; nothing to do where the rows are the result.

        Raises:
            FerzooError: As `write`.
        """
        try:
            make()
        except OSError as error:
            raise self._failed(error) from error
        self.state = replace(self.state, finished=True)
        self.commit()
        if self.path != self._result:
            self.path.unlink(missing_ok=True)

    def discard(self) -> None:
        """Take away what was begun."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.journal.unlink(missing_ok=True)

    def close(self) -> None:
        """Let the file go; what is not committed is done again."""
        if self._file:
            self._file.close()
            self._file = None

    def _write_journal(self) -> None:
        content = {"version": VERSION, "state": asdict(self.state), "part": asdict(self._part), "job": self._job}
        write_atomically(self.journal, lambda p: p.write_text(json.dumps(content, indent=2), encoding="utf-8"))

    def _failed(self, error: OSError) -> FerzooError:
        return FerzooError(
            f"{self._name} cannot be written: {error.strerror}. Nothing is lost: make room, then go on with --resume "
            "(in Python: resume=True)."
        )


def _journal_of(result: Path) -> Path:
    return result.with_name(result.name + ".progress")


def _not_begun(name: str, error: OSError) -> FerzooError:
    return FerzooError(
        f"{name} cannot be written: {error.strerror}. Choose another place or mend this one, and try again."
    )
