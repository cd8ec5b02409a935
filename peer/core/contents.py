"""What the bytes of a file are: a text, with its kind of line ends, or something binary.

A document holds line feeds only when its file is marked as CRLF, that is when every line of it ended
in CR LF when it was taken in.  Then writing puts the CRs back.  All other texts, with single CRs or
mixed ends, are kept letter by letter.  A byte order mark is a letter like any other.
"""

import re
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

__all__ = [
    "BLOB_LIMIT",
    "TEXT_LIMIT",
    "Text",
    "digest_of",
    "looks_cut",
    "read_text",
    "take_ends",
    "write_text",
]

TEXT_LIMIT: Final = 4 * 1024 * 1024
"""Bytes of a file that is merged letter by letter; a larger one is carried whole."""

BLOB_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of a file that is carried at all."""

TAIL: Final = 64
"""Bytes at the end of a file that tell whether a shorter one was cut off."""

_BARE_END: Final = re.compile(r"(?<!\r)\n")


@dataclass(frozen=True, slots=True)
class Text:
    """A text as its document holds it, and whether its file has CRs before the line feeds."""

    text: str
    crlf: bool


def digest_of(content: bytes) -> bytes:
    """The SHA-256 by which contents are compared and blobs are named."""
    return sha256(content).digest()


def read_text(content: bytes) -> str | None:
    """The text in a file, as it is; `None` if it is binary or too large to be merged."""
    if len(content) > TEXT_LIMIT or b"\x00" in content:
        return None
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def take_ends(raw: str, present: Text | None) -> Text:
    """Set the line ends of a file's text apart, for a document that holds *present*, or a new one.

    A file that is CRLF stays so as long as any line ends in CR LF, so lines that an editor put in
    with a bare line feed get their CR at the next writing.  A file that had no CR at all becomes
    CRLF when all its lines do.
    """
    has_crlf = "\r\n" in raw
    if present is not None and present.crlf:
        crlf = has_crlf or "\n" not in raw
    else:
        crlf = has_crlf and _BARE_END.search(raw) is None and (present is None or "\r" not in present.text)
    return Text(raw.replace("\r\n", "\n"), True) if crlf else Text(raw, False)


def write_text(text: Text) -> bytes:
    """The bytes of the file."""
    return (text.text.replace("\n", "\r\n") if text.crlf else text.text).encode()


def looks_cut(content: bytes, before: bytes) -> bool:
    """Whether a file that held *before* seems to be caught in the middle of being written.

    It is shorter than before and does not end as it did.  A person who deletes the end of a text
    makes the same, so this is a reason to look again, not to disbelieve.
    """
    return len(content) < len(before) and not content.endswith(before[-TAIL:])
