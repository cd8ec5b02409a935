"""What the core was last told about each file, so that it is not told the same again."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from os import stat_result
from typing import Final

from peer.edge.safe_paths import Found, Key, key_of

__all__ = ["Known"]

_YOUNG_SECONDS: Final = 2.1
"""File systems count time in steps, FAT's are 2 s: two writes within one look the same to `stat`."""


@dataclass(frozen=True, slots=True)
class _Record:
    key: Key
    digest: bytes | None
    is_settled: bool
    """Whether the file was old enough when it was read that its key tells any later change."""


class Known:
    """The files the core knows; *wall_clock* gives seconds since 1970, as file times do.

    `in` may be asked from any thread; everything else belongs to one.
    """

    def __init__(self, wall_clock: Callable[[], float] = time.time) -> None:
        self._wall_clock = wall_clock
        self._records: dict[str, _Record] = {}
        self._inside: Counter[str] = Counter()

    def __contains__(self, path: str) -> bool:
        return path in self._records

    def __len__(self) -> int:
        return len(self._records)

    def paths(self) -> list[str]:
        """All of them."""
        return list(self._records)

    def below(self, directory: str) -> list[str]:
        """Those inside *directory* at any depth."""
        if directory not in self._inside:
            return []
        return [path for path in self._records if path.startswith(directory + "/")]

    def note(self, path: str, found: Found) -> None:
        """The core is told of this content, or wrote it itself."""
        age = self._wall_clock() - max(found.status.st_mtime, found.status.st_ctime)
        digest = None if found.content is None else sha256(found.content).digest()
        if path not in self._records:
            self._count_inside(path, 1)
        self._records[path] = _Record(key_of(found.status), digest, abs(age) > _YOUNG_SECONDS)

    def forget(self, path: str) -> None:
        """The file is not there any more."""
        if self._records.pop(path, None) is not None:
            self._count_inside(path, -1)

    def is_unchanged(self, path: str, status: stat_result) -> bool:
        """Whether the status alone proves that the core knows the content."""
        record = self._records.get(path)
        return record is not None and record.is_settled and record.key == key_of(status)

    def is_same(self, path: str, found: Found) -> bool:
        """Whether the core knows exactly this content and these permissions."""
        record = self._records.get(path)
        if record is None or found.content is None:
            return False
        mode = record.key[-1]
        return mode == found.status.st_mode and record.digest == sha256(found.content).digest()

    def _count_inside(self, path: str, by: int) -> None:
        while path := path.rpartition("/")[0]:
            self._inside[path] += by
            if not self._inside[path]:
                del self._inside[path]
