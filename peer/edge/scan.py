"""Finds the files of a folder that are shared, and says which are not and why."""

import os
import sys
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from peer.core.paths import SCRATCH_PREFIX, check_path
from peer.edge.ignore import Ignores
from peer.edge.safe_paths import Root, sentence
from peer.edge.scratch import Spot
from peer.errors import Refused, StorageError

__all__ = ["FILES_LIMIT", "Complain", "holds_anything", "walk"]

FILES_LIMIT: Final = 20_000
"""More is a folder of programs or pictures, shared by mistake; each costs memory at every peer."""

Complain = Callable[[str, str], None]
"""Takes the path of something that is not shared and the reason, both for people."""

_LINK: Final = "it is a symbolic link; links are not shared"
_SPECIAL: Final = "it is a pipe, a socket or a device; only files are shared"


def walk(
    root: Root,
    start: str,
    ignores: Ignores,
    is_known: Callable[[str], bool],
    complain: Complain,
    on_scratch: Callable[[Spot], None],
) -> Iterator[tuple[int, str, str]]:
    """Yield directory descriptor, name and path of each regular file below *start* that is shared.

    A known file is one even if the rules leave it out, as git keeps to what it tracks.  Scratch
    files beside their targets go to *on_scratch*.  The descriptor is good until the next one is asked
    for.
    """
    waiting = [start]
    count = 0
    while waiting:
        directory = waiting.pop()
        try:
            with root.directory(directory) as fd:
                for name, path in _files(fd, directory, waiting, ignores, is_known, complain, on_scratch):
                    count += 1
                    if count > FILES_LIMIT:
                        complain(".", f"it holds more than {FILES_LIMIT:,} files; the rest is not shared")
                        return
                    yield fd, name, path
        except FileNotFoundError:
            continue  # removed since it was listed
        except (OSError, StorageError) as error:
            complain(directory or ".", sentence(error) if isinstance(error, OSError) else str(error))


def _files(
    fd: int,
    directory: str,
    waiting: list[str],
    ignores: Ignores,
    is_known: Callable[[str], bool],
    complain: Complain,
    on_scratch: Callable[[Spot], None],
) -> Iterator[tuple[str, str]]:
    with os.scandir(fd) as entries:
        ordered = sorted(entries, key=lambda entry: entry.name)
    for entry in ordered:
        path = _path(directory, entry.name)
        if ignores.is_ignored(path, directory=_is_directory(entry)) and not is_known(path):
            if entry.name.startswith(SCRATCH_PREFIX):
                on_scratch(Spot(directory, entry.name))
            continue
        fault = _fault(entry, path)
        if fault is not None:
            complain(printable(path), fault)
        elif _is_directory(entry):
            waiting.append(path)
        else:
            yield entry.name, path


def printable(path: str) -> str:
    """*path* with what cannot be shown, or sent, replaced."""
    return path.encode(errors="surrogateescape").decode(errors="replace")


def _path(directory: str, name: str) -> str:
    # macOS finds a file by any spelling of its name and lists the one it was made with.
    plain = unicodedata.normalize("NFC", name) if sys.platform == "darwin" else name
    return f"{directory}/{plain}" if directory else plain


def _is_directory(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False)


def _fault(entry: os.DirEntry[str], path: str) -> str | None:
    try:
        check_path(path)
    except Refused as refusal:
        return str(refusal)
    if entry.is_symlink():
        return _LINK
    if not _is_directory(entry) and not entry.is_file(follow_symlinks=False):
        return _SPECIAL
    return None


def holds_anything(folder: Path) -> bool:
    """Whether there is anything in *folder* beside our own directory."""
    with os.scandir(folder) as entries:
        return any(entry.name != ".weft" for entry in entries)
