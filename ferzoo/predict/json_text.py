"""JSON for a stream that may take UTF-8 or less."""

from __future__ import annotations

import codecs
import json
from typing import Any, TextIO

__all__ = ["json_text"]


def json_text(content: Any, file: TextIO, indent: int | None = None) -> str:
    """JSON that is valid, and no error, whatever the stream's encoding; readable where that is UTF-8.

    Args:
        content: What to write.
        file: Where to.
        indent: As in `json.dumps`.
    """
    text = json.dumps(content, indent=indent, ensure_ascii=False)
    try:
        text.encode()  # half a surrogate pair has no bytes
        readable = codecs.lookup(file.encoding or "utf-8").name == "utf-8"
    except (UnicodeEncodeError, LookupError):
        readable = False
    return text if readable else json.dumps(content, indent=indent)
