"""Where drawn pictures go: planned before the work begins, so that no input is ever overwritten."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..errors import ImageError
from .drawing import SUFFIXES, draw, save
from .faces import Face
from .images import is_many, printable, read_image

__all__ = ["SavePlan"]


class SavePlan:
    """The output path of each input file."""

    def __init__(
        self, out: str | os.PathLike[str], files: Sequence[Path], asked: Sequence[str], option: str = "--save"
    ) -> None:
        """Choose a path for each file and check that it can be written.

        One image goes to the file `out`, or into the folder `out` if there is one; several, or a folder or pattern
        of any, go into the folder `out`, which is made. There each keeps its name; a suffix that cannot be written
        becomes ``.png``, and a name that is taken gets a number.

        Args:
            out: Where to.
            files: The input files.
            asked: What they were asked for by: files, folders and patterns.
            option: What errors call `out` by.

        Raises:
            ImageError: If `out` has an unknown suffix, cannot be written, or would overwrite an input.
        """
        target, name, self.option = Path(out).expanduser(), f"{option} {printable(out)}", option
        several = len(asked) > 1 or any(is_many(path) for path in asked)
        self.inputs = {key for file in files if (key := _identity(file))}
        if not several and not target.is_dir():
            _check_suffix(target, name)
            self.paths = {file: target for file in files}
            folder = target.parent
            if not folder.is_dir():
                raise ImageError(f"{name}: there is no folder {printable(folder)}. Make it first.")
        else:
            if target.exists() and not target.is_dir():
                raise ImageError(f"{name}: is a file. For several images give a folder.")
            if not target.exists() and target.suffix.lower() in SUFFIXES:
                raise ImageError(f"{name}: looks like a file. For several images give a folder.")
            folder = target
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise ImageError(f"{name}: the folder cannot be made: {error.strerror}.") from error
            self.paths = _names(folder, files)
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ImageError(f"{name}: the folder {printable(folder)} cannot be written to.")
        for file, path in self.paths.items():
            self._check(file, path)

    def _check(self, file: Path, path: Path) -> None:
        if path.is_dir():
            raise ImageError(f"{self.option}: {printable(path)} is a folder; {printable(file)} is to be written there.")
        if _identity(path) in self.inputs:
            raise ImageError(
                f"{self.option}: {printable(path)} is an input and would be overwritten. Choose another place."
            )

    def write(self, file: Path, faces: Sequence[Face]) -> Path:
        """Draw on a file's picture and save it.

        Args:
            file: The input, which is read again, so that a run holds one picture at a time.
            faces: What was found in it.

        Returns:
            The path that was written.

        Raises:
            ImageError: If the file can no longer be read, or the picture cannot be written.
        """
        return self.keep(file, draw(read_image(file), faces))

    def keep(self, file: Path, picture: Image.Image) -> Path:
        """Save a picture that was made of a file; as `write`."""
        path = self.paths[file]
        self._check(file, path)
        save(picture, path)
        return path


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and inode: names, links and letter case differ where the file is one."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return None
    return status.st_dev, status.st_ino


def _check_suffix(path: Path, name: str) -> None:
    if path.suffix.lower() not in SUFFIXES:
        raise ImageError(f"{name}: unknown suffix {path.suffix!r}. Known: {', '.join(SUFFIXES)}.")


def _names(folder: Path, files: Sequence[Path]) -> dict[Path, Path]:
    taken: set[str] = set()
    paths = {}
    for file in files:
        suffix = file.suffix if file.suffix.lower() in SUFFIXES else ".png"
        name, count = f"{file.stem}{suffix}", 1
        while name.lower() in taken:  # some file systems know no case
            count += 1
            name = f"{file.stem}-{count}{suffix}"
        taken.add(name.lower())
        paths[file] = folder / name
    return paths
