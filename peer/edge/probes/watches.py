"""Does the system let folders be watched?  Without that, changes are found by looking again and again."""

import ctypes
import os
import sys
import tempfile
from pathlib import Path
from typing import Final

from peer.edge.probes.finding import Finding, broken, note, ok, skipped

__all__ = ["FEW", "probe"]

FEW: Final = 16_384
"""Directories: a large source tree has some thousands, and editors watch it, too."""

_LIMITS: Final = ("sys/fs/inotify/max_user_watches", "sys/user/max_inotify_watches")
"""The one that people set, and the one of the user namespace, in which containers live."""

_IDS: Final = ("computer.watches", "file watching")
_DO: Final = "sudo sysctl fs.inotify.max_user_watches=524288"
_CAUSE: Final = "Weft then polls, and sees others' saves later"
_IN_CREATE: Final = 0x100


def probe(proc: Path = Path("/proc")) -> Finding:
    """Read the limits below *proc*, and watch one directory for real."""
    if not sys.platform.startswith("linux"):
        return skipped(*_IDS, "the system has no limit of this kind")
    limit = min((value for name in _LIMITS if (value := _number(proc / name)) is not None), default=None)
    trouble = _watch_one()
    data: dict[str, object] = {"limit": limit}
    if trouble:
        known = f" of {limit:,}" if limit is not None else ""
        return broken(*_IDS, f"all{known} watches are used: {trouble}", cause=_CAUSE, do=_DO, data=data)
    if limit is None:
        return ok(*_IDS, "works")
    used = _used(proc)
    data["used"] = used
    found = f"{used:,} of {limit:,} watches used by your programs"
    if limit - used < FEW:
        cause = f"a larger folder will not fit; {_CAUSE}"
        return note(*_IDS, found, cause=cause, do=_DO, data=data)
    return ok(*_IDS, found, data=data)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _watch_one() -> str:
    """Why one more directory cannot be watched, or an empty string."""
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = libc.inotify_init1(os.O_CLOEXEC)
    if descriptor < 0:
        return os.strerror(ctypes.get_errno())
    try:
        with tempfile.TemporaryDirectory(prefix="weft-doctor-") as place:
            if libc.inotify_add_watch(descriptor, os.fsencode(place), _IN_CREATE) < 0:
                return os.strerror(ctypes.get_errno())
    except OSError:
        return ""  # no place for a test directory: nothing is known
    finally:
        os.close(descriptor)
    return ""


def _used(proc: Path) -> int:
    """How many watches the programs of this user hold; of others' the system does not tell."""
    used = 0
    for process in proc.glob("[0-9]*"):
        try:
            if process.stat().st_uid != os.getuid():
                continue
            for entry in os.scandir(process / "fd"):
                if os.readlink(entry.path) == "anon_inode:inotify":
                    used += (process / "fdinfo" / entry.name).read_text().count("inotify wd:")
        except OSError:
            continue  # it has ended meanwhile, or is not ours
    return used
