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

from pathspec import GitIgnoreSpec
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
        self._specs: dict[str, GitIgnoreSpec | None] = {}
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
                self._specs.clear()
            above = path.rpartition("/")[0]
            inherited = above != "" and self._is_ignored_directory(above)
            self._directories[path] = inherited or self._decide(path, path + "/")
        return self._directories[path]

    def _decide(self, path: str, subject: str) -> bool:
        for level in _levels(path):
            spec = self._spec_of(level)
            if spec is None:
                continue
            verdict = spec.check_file(subject[len(level) + 1 :] if level else subject).include
            if verdict is not None:
                return verdict
        return _BUILT_IN.match(path.rpartition("/")[2]) is not None

    def _spec_of(self, level: str) -> GitIgnoreSpec | None:
        if level not in self._specs:
            prefix = level + "/" if level else ""
            patterns = [rule for name in IGNORE_FILES for rule in _patterns(self._read(prefix + name))]
            self._specs[level] = GitIgnoreSpec(patterns) if patterns else None
        return self._specs[level]


def _levels(path: str) -> Iterator[str]:
    """The directories above *path*, deepest first, the folder itself (an empty string) last."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _patterns(content: bytes | None) -> Iterator[GitIgnoreSpecPattern]:
    if content is None:
        return
    lines = content.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").splitlines()
    for line in filter(_is_cheap, lines[:_LINES_LIMIT]):
        # A rule that is no pattern, such as `[z-a]`, matches nothing, as in git.
        with suppress(ValueError, re.error):
            yield GitIgnoreSpecPattern(line)


def _is_cheap(line: str) -> bool:
    parts = re.sub(r"\*{3,}", "**", line).split("/")
    stars = max(len(re.findall(r"\*+", part)) for part in parts)
    return stars <= _STARS_LIMIT and sum("**" in part for part in parts) <= _DOUBLE_STARS_LIMIT
