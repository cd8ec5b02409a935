"""Which names of files may travel, and which of them are the same file on some machine.

A path is relative, parts are joined by `/`, and it travels in Unicode normal form C: one spelling
for each name, so that two peers never hold "é" and "e + accent" as two entries of the index.  A
peer is not trusted with names, and what is harmless here may be a device, an alternate stream or a
repository's hook on the machine of somebody else; so everybody refuses what would hurt anybody.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from peer.errors import Refused

__all__ = [
    "DEPTH_LIMIT",
    "PART_BYTES_LIMIT",
    "PATH_BYTES_LIMIT",
    "SCRATCH_PREFIX",
    "check_path",
    "fold",
    "is_private",
    "is_shareable",
]

PART_BYTES_LIMIT: Final = 255
"""Longest name of one file or directory that common file systems hold."""

PATH_BYTES_LIMIT: Final = 1024
"""Shortest of the limits on whole paths (macOS); leaves room for the folder's own path on Linux."""

DEPTH_LIMIT: Final = 64
"""Deepest nesting; each level costs a system call at every access."""

SCRATCH_PREFIX: Final = ".weft-tmp-"
"""Begins the names of our own half-done files where they must lie beside their target."""

_CACHED_PATHS: Final = 4096
"""A scan asks for each path several times in a row; more than that is not worth the memory."""

_PRIVATE: Final = frozenset({".git", ".weft"})
_SHORT_PRIVATE: Final = re.compile(r"(git|weft)~[0-9]+")
_DEVICES: Final = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_DIRECTION: Final = re.compile("[\u202a-\u202e\u2066-\u2069]")


def check_path(path: str) -> None:
    """Refuse a name that could leave the folder, run something, or not exist everywhere.

    Raises:
        Refused: with the reason, for people.
    """
    fault = _fault(path)
    if fault is not None:
        raise Refused(f"the name {path[:100]!r} cannot be used: {fault}")


def is_shareable(path: str) -> bool:
    """Whether `check_path` has nothing against this name."""
    return _fault(path) is None


def is_private(path: str) -> bool:
    """Whether a part of *path* is, on any file system, `.git`, `.weft` or one of our scratch files."""
    return any(_is_private_part(part) for part in path.split("/"))


def fold(path: str) -> str:
    """The name under which a file system that ignores case or accents' spelling would find *path*.

    Two paths with the same fold cannot both exist on every machine (Unicode 3.13, canonical
    caseless matching).
    """
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


@lru_cache(maxsize=_CACHED_PATHS)
def _fault(path: str) -> str | None:
    return _fault_of_whole(path) or next(filter(None, map(_fault_of_part, path.split("/"))), None)


def _fault_of_whole(path: str) -> str | None:
    try:
        size = len(path.encode())
    except UnicodeEncodeError:
        return "it is not valid Unicode"
    if size > PATH_BYTES_LIMIT:
        return f"it is longer than {PATH_BYTES_LIMIT} bytes"
    if path.startswith("/"):
        return "it is absolute"
    if path.count("/") >= DEPTH_LIMIT:
        return f"it is nested deeper than {DEPTH_LIMIT} levels"
    return _fault_of_letters(path)


def _fault_of_letters(path: str) -> str | None:
    if _CONTROL.search(path):
        return "it has a control character"
    if _DIRECTION.search(path):
        return "it has a character that turns the direction of text, so it would look like another name"
    if "\\" in path:
        return "it has a backslash, which divides directories on Windows"
    if not unicodedata.is_normalized("NFC", path):
        return "it is not in Unicode normal form C, so it would look like another name"
    return None


def _fault_of_part(part: str) -> str | None:
    if part in ("", ".", ".."):
        return "it has an empty part, '.' or '..'"
    if part[-1] in ". ":
        return "a part of it ends in a dot or a space, which Windows drops"
    if len(part.encode()) > PART_BYTES_LIMIT:
        return f"a part of it is longer than {PART_BYTES_LIMIT} bytes"
    if _DEVICES.fullmatch(part.casefold().split(".")[0].rstrip(" ")):
        return "it names a device on Windows"
    if _is_private_part(part):
        return "it belongs to .git or .weft, which are never shared"
    return None


@lru_cache(maxsize=_CACHED_PATHS)
def _is_private_part(part: str) -> bool:
    # HFS+ passes over invisible code points, NTFS over a stream's name after ':' and over dots and
    # spaces at the end; and it has short names such as GIT~1 (CVE-2014-9390, CVE-2019-1352).
    visible = "".join(letter for letter in part if unicodedata.category(letter) != "Cf")
    plain = unicodedata.normalize("NFKC", visible).casefold()
    stem = plain.split(":")[0].rstrip(". ")
    return stem in _PRIVATE or plain.startswith(SCRATCH_PREFIX) or bool(_SHORT_PRIVATE.fullmatch(stem))
