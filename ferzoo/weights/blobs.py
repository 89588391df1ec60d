"""Files in the cache of the Hub's client, compared with the hash that the Hub states of each: its ETag."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import WeightsCorruptError
from .files import write_atomically

__all__ = ["compare_with_etag"]


def compare_with_etag(path: Path, file: str, origin: str, ask: Callable[[], str | None]) -> bool:
    """Compare a file of the cache with its ETag, and take it out of the cache if it differs.

    Where the cache has links, the ETag is the name that a file is linked to. Where it has none, the Hub is asked once
    and its answer kept in the repository's folder, for the loads to come.

    Args:
        path: ``.../snapshots/COMMIT/FILE``.
        file: Its path in the repository.
        origin: Whose it is, for the message.
        ask: Asks the Hub for the ETag; None where it cannot be asked.

    Returns:
        Whether the file was compared; not where nobody states a hash of a known kind.

    Raises:
        WeightsCorruptError: If it differs.
    """
    snapshot = path.parents[file.count("/")]
    storage = snapshot.parents[1]
    kept = storage / "ferzoo-etags" / snapshot.name / file
    etag: str | None
    if path.is_symlink():  # one link, not all: the client may link a blob further, to a store under other names
        etag = Path(os.readlink(path)).name
    else:
        etag = kept.read_text(encoding="utf-8") if kept.is_file() else ask()
    found = _hashes(path, etag or "")
    if not found or etag is None:
        return False
    if etag not in found.values():
        for part in {path.resolve(), storage / "blobs" / etag, path, kept}:
            part.unlink(missing_ok=True)
        kind, value = next(iter(found.items()))
        raise WeightsCorruptError(
            f"{path.name} of {origin} is damaged: its {kind} is {value}, the Hub says {etag}. It was taken out of the "
            "cache; fetch it again."
        )
    if not path.is_symlink() and not kept.is_file():
        with suppress(OSError):  # a cache that may only be read
            write_atomically(kept, lambda p: p.write_text(etag, encoding="utf-8"))
    return True


def _hashes(path: Path, etag: str) -> dict[str, str]:
    """A file's hashes of the kinds that an ETag of this form may be: the Hub's two, and those of mirrors."""
    if not re.fullmatch("[0-9a-f]+", etag):
        return {}
    git = b"blob %d\0" % path.stat().st_size
    sha1, md5 = (lambda start=b"": hashlib.sha1(start, usedforsecurity=False)), hashlib.md5
    digests = {
        64: {"sha256": hashlib.sha256()},
        40: {"git hash": sha1(git), "sha1": sha1()},
        32: {"md5": md5(usedforsecurity=False)},
    }.get(len(etag), {})
    with path.open("rb") as content:
        while chunk := content.read(1 << 20):
            for digest in digests.values():
                digest.update(chunk)
    return {kind: digest.hexdigest() for kind, digest in digests.items()}
