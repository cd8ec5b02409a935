"""Files that lost their place to a newer one and may still be written to.

An editor that opened a file before we replaced it goes on writing into the displaced one, which no
longer has a name outside `.weft`.  Where the system tells of a writer that closes such a file, it is
looked at in that moment.  In any case each is looked at again a moment later, and, while some
program holds it open for writing, for a minute more.
"""

import heapq
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from peer.core.events import DisplacedChanged, FileEvent, FileTrouble
from peer.edge.safe_paths import Found, Key, Root, key_of, read_file
from peer.edge.scratch import Scratch, Spot, number_of
from peer.edge.trash import TRASH_DIRECTORY, Trash
from peer.errors import StorageError

__all__ = ["COPIES_LIMIT", "FIRST_LOOK_SECONDS", "HELD_LOOKS", "SECOND_LOOK_SECONDS", "Displaced"]

FIRST_LOOK_SECONDS: Final = 0.25
"""Longer than any editor takes between opening a file and closing it."""

SECOND_LOOK_SECONDS: Final = 1.5
"""For those that save over a slow disk; counted from the exchange, as the first."""

_HELD_LOOK_SECONDS: Final = 2.0
"""Between looks at a file that is held open for writing."""

HELD_LOOKS: Final = 30
"""After a minute the program is one that never closes the file; then people are told."""

COPIES_LIMIT: Final = 4_096
"""Displaced files that wait; above it the oldest is looked at for the last time at once."""


@dataclass(order=True, slots=True)
class _Copy:
    due: float
    number: int
    path: str = field(compare=False)
    spot: Spot = field(compare=False)
    digest: bytes = field(compare=False)
    key: Key = field(compare=False)
    whole: bool | None = field(compare=False)
    looks: int = field(compare=False, default=0)
    keep: bool = field(compare=False, default=False)


class Displaced:
    """All displaced files of one folder; *clock* gives monotonic seconds."""

    def __init__(
        self,
        root: Root,
        scratch: Scratch,
        trash: Trash,
        limit: int,
        clock: Callable[[], float],
        emit: Callable[[FileEvent], None],
    ) -> None:
        self._root = root
        self._scratch = scratch
        self._trash = trash
        self._limit = limit
        self._clock = clock
        self._emit = emit
        self._count = 0
        self._copies: list[_Copy] = []
        self._latest: dict[str, _Copy] = {}

    def add(self, path: str, spot: Spot, found: Found, *, is_news: bool) -> None:
        """Keep an eye on a file that was at *path*, whose content the core is being told.

        Only if that *is_news* to the core must a next run report it, should this one be killed now;
        what the core expected to be there would look like somebody's wish to go back to it.
        """
        self._mark_earlier(path)
        self._count += 1
        digest = sha256(found.content or b"").digest()
        if not is_news:
            spot = self._scratch.mark_seen(spot, digest)
        due = self._clock() + FIRST_LOOK_SECONDS
        copy = _Copy(due, self._count, path, spot, digest, key_of(found.status), found.whole)
        self._latest[path] = copy
        heapq.heappush(self._copies, copy)
        if len(self._copies) > COPIES_LIMIT:
            self._look(heapq.heappop(self._copies), last=True)

    def next_due(self) -> float | None:
        """When `look` has something to do."""
        return self._copies[0].due if self._copies else None

    def look(self) -> None:
        """Look at the files whose time has come."""
        now = self._clock()
        while self._copies and self._copies[0].due <= now:
            self._look(heapq.heappop(self._copies), last=False)

    def heard(self, name: str) -> None:
        """Somebody closed the scratch file *name*, which may be a displaced one."""
        number = number_of(name)
        for copy in self._copies:
            if number_of(copy.spot.name) == number:
                with suppress(OSError, StorageError), self._root.directory(copy.spot.directory) as directory:
                    self._report(copy, read_file(directory, copy.spot.name, self._limit))

    def leave(self) -> None:
        """Let go of those that nobody wrote to; the others are for the next run to find."""
        for copy in self._copies:
            with suppress(OSError, StorageError), self._root.directory(copy.spot.directory) as directory:
                found = read_file(directory, copy.spot.name, self._limit)
                held = _is_held(found)
                if not held and found.content is not None and sha256(found.content).digest() == copy.digest:
                    self._let_go(copy, held)

    def _mark_earlier(self, path: str) -> None:
        # The core asks for the next change of a file only after it was told of the last one.
        earlier = self._latest.get(path)
        if earlier is not None and earlier.spot.directory != TRASH_DIRECTORY:
            earlier.spot = self._scratch.mark_seen(earlier.spot, earlier.digest)

    def _look(self, copy: _Copy, *, last: bool) -> None:
        try:
            with self._root.directory(copy.spot.directory) as directory:
                found = read_file(directory, copy.spot.name, self._limit)
            self._report(copy, found)
        except FileNotFoundError:
            self._forget(copy)
        except (OSError, StorageError) as error:
            self._forget(copy)
            self._emit(FileTrouble(copy.path, f"the copy in {copy.spot.directory} is unreadable: {error}"))
        else:
            self._decide(copy, _is_held(found), last)

    def _report(self, copy: _Copy, found: Found) -> None:
        if found.content is None:
            if not copy.keep:
                reason = f"a program wrote too much into an old copy of it; see {TRASH_DIRECTORY}"
                self._emit(FileTrouble(copy.path, reason))
            copy.keep = True
            return
        digest = sha256(found.content).digest()
        is_finished = found.whole is True and copy.whole is False
        if digest != copy.digest or is_finished:
            copy.digest, copy.whole = digest, found.whole
            self._emit(DisplacedChanged(copy.path, found.content, found.stamp))

    def _decide(self, copy: _Copy, held: bool | None, last: bool) -> None:
        copy.looks += 1
        if last or held is False or (held is None and copy.looks > 1):
            self._let_go(copy, held)
        elif copy.looks > HELD_LOOKS:
            reason = "a program holds an old copy of it open and writes there; save or open it again there"
            self._emit(FileTrouble(copy.path, reason))
            self._let_go(copy, held)
        else:
            patience = SECOND_LOOK_SECONDS - FIRST_LOOK_SECONDS if copy.looks == 1 else _HELD_LOOK_SECONDS
            copy.due = self._clock() + patience
            heapq.heappush(self._copies, copy)

    def _let_go(self, copy: _Copy, held: bool | None) -> None:
        self._forget(copy)
        if copy.spot.directory == TRASH_DIRECTORY:
            return
        if not held and not copy.keep:
            self._scratch.discard(copy.spot)
            return
        with suppress(OSError, StorageError), self._root.directory(copy.spot.directory) as directory:
            self._trash.keep(directory, copy.spot.name, copy.path)

    def _forget(self, copy: _Copy) -> None:
        if self._latest.get(copy.path) is copy:
            del self._latest[copy.path]


def _is_held(found: Found) -> bool | None:
    """Whether some program had the file open for writing; `None` where nobody can tell."""
    return None if found.whole is None else not found.whole
