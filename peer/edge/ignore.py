"""What in the folder is not shared: `.gitignore`, `.weftignore`, and what editors leave behind.

The rules are git's: the deepest file decides, in it the last line that matches, and nothing below
an ignored directory comes back.  `.weftignore` counts after `.gitignore` beside it, the built-in
list before both, so `!name` in either takes something out of it.  The rules are this machine's: when
a peer changes an ignore file, what it leaves out is left out here too, but what it no longer leaves
out stays where it is until a person changes such a file here or Weft starts anew.  Otherwise a peer
could have a private file shared by taking a line out of `.gitignore`.
"""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from fnmatch import translate
from typing import Final

from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

from peer.core.paths import is_private

__all__ = ["IGNORE_FILES", "Ignores", "is_ignore_file"]

IGNORE_FILES: Final = (".gitignore", ".weftignore")

_LINES_LIMIT: Final = 5_000
"""More rules than any project has; each costs time for each file."""

_STARS_LIMIT: Final = 3
"""Stars in one part of a rule.  Each multiplies the worst time of a match by the length of the
name, and ignore files travel: three take 30 ms at worst, ten would stop the program for good."""

_DOUBLE_STARS_LIMIT: Final = 2

_REMEMBERED_DIRECTORIES: Final = 50_000
"""Directories come and go while we run; after so many we begin anew."""

_LEFT_BEHIND: Final = (
    ".*.sw[a-p]",  # vim, nano: swap files
    "4913",  # vim: tries whether it may write here
    "*~",  # emacs, vim, gedit: backups
    ".#*",  # emacs: locks
    "[#]*[#]",  # emacs: automatic saves
    ".goutputstream-*",  # GLib: files being saved
    ".*.kate-swp",
    ".*.kak.??????",  # Kakoune: files being saved
    "*___jb_tmp___",  # JetBrains: safe write
    "*___jb_old___",
    "*.sb-????????-??????",  # macOS: safe save
    ".~lock.*[#]",  # LibreOffice: locks
    "~$*",  # Word, Excel: owner files
    "~WR[DLA][0-9][0-9][0-9][0-9].tmp",  # Word: files being saved
    ".syncthing.*.tmp",
    ".fuse_hidden*",  # deleted files that are still open
    ".nfs????????????????*",
    ".DS_Store",
    "._*",  # macOS: resource forks
    "Thumbs.db",
    "desktop.ini",
)
_Rule = tuple[bool, re.Pattern[str]]
"""Whether what fits is left out, and the pattern."""

_BUILT_IN: Final = re.compile("|".join(translate(pattern) for pattern in _LEFT_BEHIND))


def is_ignore_file(path: str) -> bool:
    """Whether *path* holds rules."""
    return path.rpartition("/")[2] in IGNORE_FILES


class Ignores:
    """The rules of one folder, read when first needed; may be asked from several threads.

    *read* returns the bytes of a file in the folder, or `None` when there is none that can be read.
    """

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self._read = read
        self._lock = threading.Lock()
        self._ours = self._current = _Rules(read)

    def is_ignored(self, path: str, *, directory: bool = False) -> bool:
        """Whether *path*, or a directory above it, is left out."""
        if is_private(path):
            return True
        with self._lock:
            if self._current.is_ignored(path, directory):
                return True
            return self._ours is not self._current and self._ours.is_ignored(path, directory)

    def note_change_here(self) -> None:
        """A person changed an ignore file on this machine: what the files say now counts."""
        with self._lock:
            self._ours = self._current = _Rules(self._read)

    def note_change_by_peer(self) -> None:
        """A peer changed an ignore file: what it leaves out now is left out too, nothing comes in."""
        with self._lock:
            self._current = _Rules(self._read)


class _Rules:
    """The ignore files of all directories, as they were when first read."""

    def __init__(self, read: Callable[[str], bytes | None]) -> None:
        self._read = read
        self._levels: dict[str, list[_Rule]] = {}
        self._directories: dict[str, bool] = {}

    def is_ignored(self, path: str, directory: bool) -> bool:
        above = path.rpartition("/")[0]
        if above and self._is_ignored_directory(above):
            return True
        return self._is_ignored_directory(path) if directory else self._decide(path, path)

    def _is_ignored_directory(self, path: str) -> bool:
        if path not in self._directories:
            if len(self._directories) >= _REMEMBERED_DIRECTORIES:
                self._directories.clear()
                self._levels.clear()
            above = path.rpartition("/")[0]
            inherited = above != "" and self._is_ignored_directory(above)
            self._directories[path] = inherited or self._decide(path, path + "/")
        return self._directories[path]

    def _decide(self, path: str, subject: str) -> bool:
        for level in _levels(path):
            name = subject[len(level) + 1 :] if level else subject
            for includes, pattern in self._rules_of(level):
                if pattern.search(name):
                    return includes
        return _BUILT_IN.match(path.rpartition("/")[2]) is not None

    def _rules_of(self, level: str) -> list[_Rule]:
        if level not in self._levels:
            prefix = level + "/" if level else ""
            rules = [rule for name in IGNORE_FILES for rule in _rules_in(self._read(prefix + name))]
            self._levels[level] = rules[::-1]  # the last that matches decides
        return self._levels[level]


def _levels(path: str) -> Iterator[str]:
    """The directories above *path*, deepest first, the folder itself (an empty string) last."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _rules_in(content: bytes | None) -> Iterator[_Rule]:
    if content is None:
        return
    lines = content.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").splitlines()
    for line in filter(_is_cheap, lines[:_LINES_LIMIT]):
        # A rule that is no pattern, such as `[z-a]`, matches nothing, as in git.
        with suppress(ValueError, re.error):
            pattern = GitIgnoreSpecPattern(line)
            if pattern.include is not None and pattern.regex is not None:
                yield pattern.include, _anchored(pattern.regex.pattern)


def _is_cheap(line: str) -> bool:
    parts = line.strip().split("/")
    stars = max((part.count("*") for part in parts if part != "**"), default=0)
    return stars <= _STARS_LIMIT and parts.count("**") <= _DOUBLE_STARS_LIMIT


def _anchored(pattern: str) -> re.Pattern[str]:
    """*pattern* so that it fits a path itself and not what is inside a directory that fits.

    Each directory is asked about by itself, or else a rule that lets directories through (`!*/`)
    would let everything in them through.
    """
    whole = pattern.replace("(?P<ps_d>/)", r"/\Z")
    return re.compile(whole + r"(?!\Z)" if whole.endswith("/") else whole)
