"""Binary files on their way: pulled in parts from whoever is connected, checked whole.

A blob is wanted because the index names its SHA-256.  Our own store may have it, from an earlier version of a
file, and is asked first.  Then it is asked for part by part from one peer at a time; a peer that has not got
it, or goes away, is replaced by the next.  Nothing is believed until the digest fits.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from peer.core.frames import BLOB_PART, BlobAsk, BlobPart
from peer.core.link import Link
from peer.core.pieces import Lane
from peer.errors import Malformed

__all__ = ["BLOB_LIMIT", "PARTS_AHEAD", "Blobs"]

BLOB_LIMIT: Final = 16 * 1024 * 1024
"""The largest file that is carried whole."""
PARTS_AHEAD: Final = 4
"""Parts asked for at once: a mebibyte, which keeps a path of 50 ms busy."""
FETCHES_AT_ONCE: Final = 2
"""Blobs in memory at once while they arrive."""
ASK_PATIENCE: Final = 20.0
"""Seconds without a part after which another peer is asked."""
RETRY_EVERY: Final = 5.0
"""Seconds before asking again when nobody connected has the blob."""


@dataclass(slots=True)
class _Fetch:
    digest: bytes
    size: int
    link: Link
    heard: float
    parts: dict[int, bytes] = field(default_factory=dict)
    asked: int = 0


class Blobs:
    """The blobs that are wanted and those that are arriving.

    *arrived* is given each content; *look* asks our own store for a digest, one at a time, since each may
    be large, and is answered by `looked`.
    """

    def __init__(self, *, arrived: Callable[[bytes, bytes], None], look: Callable[[bytes], None]) -> None:
        self._arrived = arrived
        self._look = look
        self._looking: bytes | None = None
        self._looked: dict[bytes, None] = {}
        self._links: list[Link] = []
        self._wanted: dict[bytes, int] = {}
        self._fetches: dict[bytes, _Fetch] = {}
        self._without: dict[bytes, set[Link]] = {}
        self._resting: dict[bytes, float] = {}
        self._retry_at: float | None = None

    def want(self, blobs: set[tuple[bytes, int]]) -> None:
        """Set which blobs are wanted, each with its size; all others are no longer."""
        self._wanted = {digest: size for digest, size in blobs if size <= BLOB_LIMIT}
        for known in (self._fetches, self._without, self._resting, self._looked):
            for digest in [d for d in known if d not in self._wanted]:
                del known[digest]

    def opened(self, link: Link) -> None:
        """A peer that may have what is wanted."""
        self._links.append(link)
        self._resting.clear()

    def moved(self, link: Link) -> None:
        """What this peer was asked for may be lost with its path."""
        self._abandon(link)
        self._resting.clear()

    def closed(self, link: Link) -> None:
        """The peer is gone."""
        if link in self._links:
            self._links.remove(link)
        for without in self._without.values():
            without.discard(link)
        self._abandon(link)

    def looked(self, digest: bytes, content: bytes | None) -> None:
        """Our own store holds this, or nothing, under *digest*."""
        if digest != self._looking:
            return
        self._looking = None
        size = self._wanted.get(digest)
        if size is None:
            return
        self._looked[digest] = None
        if content is not None and len(content) == size and sha256(content).digest() == digest:
            self._done(digest, content)

    def on_part(self, link: Link, frame: BlobPart, now: float) -> None:
        """Take one part, or learn that this peer does not have the blob.

        Raises:
            Malformed: the part does not fit, or the whole has another digest.
        """
        fetch = self._fetches.get(frame.digest)
        if fetch is None or fetch.link is not link:
            return
        if frame.data is None or frame.total != fetch.size:
            # another size is no lie of this peer: the index, which anybody may write, can be wrong
            del self._fetches[frame.digest]
            self._without.setdefault(frame.digest, set()).add(link)
            return
        expected = min(BLOB_PART, fetch.size - frame.offset)
        if frame.offset % BLOB_PART or len(frame.data) != expected:
            del self._fetches[frame.digest]
            raise Malformed(f"{link.member.name} sent a part of a file that does not fit")
        fetch.heard = now
        fetch.parts[frame.offset] = frame.data
        if sum(map(len, fetch.parts.values())) == fetch.size:
            self._finish(fetch)

    def _finish(self, fetch: _Fetch) -> None:
        del self._fetches[fetch.digest]
        content = b"".join(fetch.parts[offset] for offset in sorted(fetch.parts))
        if sha256(content).digest() != fetch.digest:
            raise Malformed(f"{fetch.link.member.name} sent a file whose content is not what it promised")
        self._done(fetch.digest, content)

    def _done(self, digest: bytes, content: bytes) -> None:
        self._wanted.pop(digest, None)
        self._without.pop(digest, None)
        self._arrived(digest, content)

    def pump(self, now: float) -> None:
        """Ask for what is wanted."""
        self._retry_at = None
        if not self._wanted and not self._fetches:
            return  # as nearly always
        self._lose_patience(now)
        while self._looking is None and (unknown := self._not_looked()) is not None:
            self._looking = unknown
            self._look(unknown)
        for digest, size in self._wanted.items():
            if len(self._fetches) >= FETCHES_AT_ONCE:
                break
            if digest not in self._fetches and digest in self._looked:
                self._begin(digest, size, now)
            if digest in self._resting:
                again = self._resting[digest]
                self._retry_at = again if self._retry_at is None else min(self._retry_at, again)
        for fetch in self._fetches.values():
            self._ask_parts(fetch)

    def _lose_patience(self, now: float) -> None:
        for fetch in [f for f in self._fetches.values() if now - f.heard >= ASK_PATIENCE]:
            del self._fetches[fetch.digest]
            self._without.setdefault(fetch.digest, set()).add(fetch.link)

    def _not_looked(self) -> bytes | None:
        return next((digest for digest in self._wanted if digest not in self._looked), None)

    def _begin(self, digest: bytes, size: int, now: float) -> None:
        if now < self._resting.get(digest, now):
            return
        self._resting.pop(digest, None)
        without = self._without.get(digest, set())
        able = [link for link in self._links if link not in without and link.content is not None]
        if able:
            self._fetches[digest] = _Fetch(digest, size, able[0], now)
        elif self._links:
            # everybody said no; someone may have it by then
            self._without.pop(digest, None)
            self._resting[digest] = now + RETRY_EVERY

    def _ask_parts(self, fetch: _Fetch) -> None:
        # an empty file still is one (empty) part
        while fetch.asked < max(fetch.size, 1) and fetch.asked < (len(fetch.parts) + PARTS_AHEAD) * BLOB_PART:
            fetch.link.send(Lane.EDITS, BlobAsk(fetch.digest, fetch.asked))
            fetch.asked += BLOB_PART

    def _abandon(self, link: Link) -> None:
        for digest in [d for d, fetch in self._fetches.items() if fetch.link is link]:
            del self._fetches[digest]

    def next_deadline(self) -> float | None:
        """When `pump` has something to do without being called for."""
        moments = [fetch.heard + ASK_PATIENCE for fetch in self._fetches.values()]
        if self._retry_at is not None:
            moments.append(self._retry_at)
        return min(moments, default=None)
