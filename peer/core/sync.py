"""Keeps our documents and those of every peer equal: what to ask, what to send, when.

When a link opens or moves, each side lists a digest per document; what differs is asked for by state
vector, each document from one peer at a time, a few at once.  Edits are merged per document for one
short tick (at once when nothing was sent lately) and go to every link; a link that has no room gets
them merged later, and one that falls too far behind gets nothing but a fresh list of digests when it
has room again.  Heartbeats carry one digest over everything, so that what slipped through any of this
is found within seconds.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

from peer.core.actions import Action, AppendUpdate, Tell
from peer.core.carrier import Lane
from peer.core.documents import Document, Documents, merge_updates
from peer.core.frames import (
    DIGESTS_PER_FRAME,
    Ask,
    DigestEntry,
    Digests,
    EditFrame,
    State,
    Summary,
)
from peer.core.ids import INDEX, DocId
from peer.core.link import Link
from peer.core.notices import SyncDone, SyncProgress
from peer.errors import Refused, TooLarge

__all__ = ["ASKS_AT_ONCE", "DOCUMENT_LIMIT", "PENDING_LIMIT", "TICK", "Sync"]

TICK: Final = 0.002
"""Seconds for which edits of one document are merged when they come thick and fast."""
ASKS_AT_ONCE: Final = 16
"""Enough to hide a round trip, few enough that several peers share the work."""
PENDING_LIMIT: Final = 256 * 1024
"""Bytes of edits kept for a link without room; beyond, comparing states is cheaper."""
EDITS_AHEAD: Final = 16 * 1024
"""Bytes of edits handed to a carrier before it has sent the last ones."""
BULK_AHEAD: Final = 512 * 1024
"""Bytes of answers handed to a carrier ahead of its window."""
DOCUMENT_LIMIT: Final = 20_000
"""Documents in one session; each costs every peer memory."""
DIFFERENCE_PATIENCE: Final = 3.0
"""Seconds that two summaries may differ before documents are compared: edits under way differ too."""
COMPARE_EVERY: Final = 10.0
"""Seconds between two comparisons with one peer that nothing but a difference asked for."""
FLUSHES_REMEMBERED: Final = 1024
"""Documents whose last flush is remembered; forgetting one only means a flush at once."""
ASK_PATIENCE: Final = 10.0
"""Seconds without an answer after which the same is asked again: a path may swallow a question."""
ASK_ANYWAY: Final = b""
"""Instead of a digest: ask, whatever we hold by then."""
PROGRESS_EVERY: Final = 0.25
"""Seconds between two progress notices."""


@dataclass(slots=True)
class Exchange:
    """What is under way with one peer."""

    link: Link
    wanted: dict[DocId, bytes] = field(default_factory=dict)
    asking: set[DocId] = field(default_factory=set)
    asked_at: float = 0.0
    """When the last question was sent or the last answer came."""
    answers: dict[DocId, bytes] = field(default_factory=dict)
    pending: dict[DocId, list[bytes]] = field(default_factory=dict)
    pending_bytes: int = 0
    behind: bool = False
    listed: bool = False
    told_done: bool = False
    total: int = 0
    received: int = 0
    received_bytes: int = 0
    began: float = 0.0
    progress_told: float = 0.0
    differs_since: float | None = None
    compared: float = 0.0


class Sync:
    """The documents of one session against those of every peer."""

    def __init__(
        self,
        documents: Documents,
        *,
        author: bytes,
        may_write: bool,
        emit: Callable[[Action], None],
        touched: Callable[[DocId, str], None],
    ) -> None:
        self._documents = documents
        self._author = author
        self._may_write = may_write
        self._emit = emit
        self._touched = touched
        self._exchanges: dict[Link, Exchange] = {}
        self._asked: set[DocId] = set()
        self._flushed: dict[DocId, float] = {}
        self._held: float | None = None
        self._stale: set[DocId] = set(documents.ids())
        self._parts: dict[DocId, int] = {}
        self._sum = 0

    # --- links come, move and go ----------------------------------------------------------------

    def opened(self, link: Link, now: float) -> None:
        """A link has its first content carrier: compare everything."""
        self._exchanges[link] = Exchange(link, began=now, compared=now)
        self._send_digests(link)

    def moved(self, link: Link) -> None:
        """The content carrier changed: what was under way may be lost, so ask again and compare."""
        exchange = self._exchanges.get(link)
        if exchange is None:
            return
        self._ask_again(exchange)
        exchange.answers.clear()
        exchange.pending.clear()
        exchange.pending_bytes = 0
        link.send(Lane.CONTROL, Summary(self.summary()))

    def closed(self, link: Link) -> None:
        """The link is gone; others may be asked for what it was asked for."""
        exchange = self._exchanges.pop(link, None)
        if exchange is not None:
            self._ask_again(exchange)

    def _ask_again(self, exchange: Exchange) -> None:
        self._asked -= exchange.asking
        for doc in exchange.asking:
            exchange.wanted[doc] = ASK_ANYWAY
        exchange.asking.clear()

    # --- comparing --------------------------------------------------------------------------------

    def summary(self) -> bytes:
        """Eight bytes over all documents, deletions included; equal for peers that hold the same."""
        for doc in self._stale:
            document = self._documents.get(doc)
            part = 0
            if document is not None and not document.is_empty():
                part = int.from_bytes(blake2b(doc + document.digest(), digest_size=8).digest())
            self._sum ^= self._parts.get(doc, 0) ^ part
            self._parts[doc] = part
        self._stale.clear()
        return self._sum.to_bytes(8)

    def compare(self, link: Link, summary: bytes, now: float) -> None:
        """A heartbeat told what the peer holds: list our digests if it differs for too long."""
        exchange = self._exchanges.get(link)
        if exchange is None:
            return
        if summary == self.summary():
            exchange.differs_since = None
            return
        if exchange.differs_since is None:
            exchange.differs_since = now
        patient = now - exchange.differs_since < DIFFERENCE_PATIENCE
        if patient or now - exchange.compared < COMPARE_EVERY or exchange.asking:
            return
        exchange.compared = now
        self._send_digests(link)

    def on_summary(self, link: Link, frame: Summary) -> None:
        """The peer moved its side of the link: list our digests if it holds something else."""
        if frame.digest != self.summary():
            self._send_digests(link)

    def digest_entries(self) -> list[DigestEntry]:
        """The digests of all documents that hold anything, the index first."""
        entries = []
        for document in self._documents:
            if not document.is_empty():
                entries.append(DigestEntry(document.id, document.digest()))
        entries.sort(key=lambda entry: entry.doc)
        return entries

    def _send_digests(self, link: Link) -> None:
        entries = self.digest_entries()
        for start in range(0, max(len(entries), 1), DIGESTS_PER_FRAME):
            end = start + DIGESTS_PER_FRAME
            link.send(Lane.CONTROL, Digests(entries[start:end], last=end >= len(entries)))

    def on_digests(self, link: Link, entries: Iterable[DigestEntry], *, last: bool, now: float) -> None:
        """Note what the peer has that we may lack.

        Raises:
            TooLarge: the session would have more documents than `DOCUMENT_LIMIT`.
        """
        exchange = self._exchanges.get(link)
        if exchange is None or link.member.role == "viewer":
            return
        for entry in entries:
            doc = DocId(entry.doc)
            if self._differs(doc, entry.digest):
                exchange.wanted[doc] = entry.digest
                exchange.total += doc not in exchange.asking
        count = len(exchange.wanted)
        if count > DOCUMENT_LIMIT:
            raise TooLarge("the number of documents", count, DOCUMENT_LIMIT)
        exchange.listed = exchange.listed or last
        self._tell_done(exchange, now)

    def _differs(self, doc: DocId, digest: bytes) -> bool:
        document = self._documents.get(doc)
        return document is None or document.digest() != digest

    # --- asking and answering -----------------------------------------------------------------------

    def on_ask(self, link: Link, frame: Ask) -> None:
        """Queue an answer; asking again replaces the first question."""
        exchange = self._exchanges.get(link)
        if exchange is not None:
            exchange.answers[DocId(frame.doc)] = frame.state_vector
            if len(exchange.answers) > DOCUMENT_LIMIT:
                raise TooLarge("the number of questions", len(exchange.answers), DOCUMENT_LIMIT)

    def on_state(self, link: Link, frame: State, now: float) -> None:
        """Take an answer that we asked for; anything else came too late and is dropped.

        Raises:
            RemoteError: the update is not one that we could take from this peer.
        """
        exchange = self._exchanges.get(link)
        doc = DocId(frame.doc)
        if exchange is None or doc not in exchange.asking:
            return
        exchange.asking.discard(doc)
        exchange.asked_at = now
        self._asked.discard(doc)
        if frame.update:
            withheld = {other.member.client for other in self._exchanges if other is not link}
            document = self._open(doc)
            document.apply(frame.update, withheld=withheld - {link.member.client})
            self._took(document, link)
        exchange.received += 1
        exchange.received_bytes += len(frame.update)
        if now - exchange.progress_told >= PROGRESS_EVERY and not exchange.told_done:
            exchange.progress_told = now
            member = link.member
            self._emit(Tell(SyncProgress(member.short, member.name, exchange.received, exchange.total)))
        self._tell_done(exchange, now)

    def _tell_done(self, exchange: Exchange, now: float) -> None:
        busy = exchange.wanted or exchange.asking
        if exchange.told_done or busy or not exchange.listed:
            return
        exchange.told_done = True
        member = exchange.link.member
        took_ms = (now - exchange.began) * 1000
        self._emit(
            Tell(SyncDone(member.short, member.name, exchange.received, exchange.received_bytes, took_ms))
        )

    def _ask(self, exchange: Exchange, now: float) -> None:
        if not exchange.wanted or exchange.link.content is None:
            return
        # the index first: without it, texts have no place
        order = sorted(exchange.wanted, key=lambda doc: doc != INDEX) if INDEX in exchange.wanted else None
        for doc in order or list(exchange.wanted):
            if len(exchange.asking) >= ASKS_AT_ONCE:
                break
            if doc in self._asked:
                continue
            digest = exchange.wanted.pop(doc)
            if digest != ASK_ANYWAY and not self._differs(doc, digest):
                exchange.received += 1
                continue
            exchange.asking.add(doc)
            exchange.asked_at = now
            self._asked.add(doc)
            document = self._documents.get(doc)
            vector = b"\x00" if document is None else document.state_vector()
            exchange.link.send(Lane.EDITS, Ask(doc, vector))
        self._tell_done(exchange, now)

    def _answer(self, exchange: Exchange) -> None:
        while exchange.answers and exchange.link.room(Lane.BULK, BULK_AHEAD):
            doc = next(iter(exchange.answers))
            vector = exchange.answers.pop(doc)
            document = self._documents.get(doc)
            update = b"" if document is None else document.updates_since(vector)
            exchange.link.send(Lane.BULK, State(doc, update))

    # --- edits ----------------------------------------------------------------------------------------

    def on_edit(self, link: Link, frame: EditFrame) -> None:
        """Take what the peer typed.

        Raises:
            Refused: the peer may only read, or speaks for another's client id.
            RemoteError: the update is not one that could have been typed.
        """
        if link.member.role == "viewer":
            raise Refused(f"{link.member.name} may only read this session, and sent an edit")
        document = self._open(DocId(frame.doc))
        document.apply(frame.update, sender_clients=frozenset((link.member.client,)))
        self._took(document, link)

    def _open(self, doc: DocId) -> Document:
        if self._documents.get(doc) is None and len(self._documents) >= DOCUMENT_LIMIT:
            raise TooLarge("the number of documents", len(self._documents) + 1, DOCUMENT_LIMIT)
        return self._documents.open(doc)

    def _took(self, document: Document, link: Link) -> None:
        self._stale.add(document.id)
        self._emit(AppendUpdate(document.id, document.taken, link.member.id[:32]))
        self._touched(document.id, link.member.name)

    def flush(self, now: float, *, at_once: bool = False) -> None:
        """Log and send what was edited here; within a tick of the last flush, wait for the tick's end."""
        self._held = None
        for doc in list(self._documents.changed):
            due = self._flushed.get(doc, 0.0) + TICK
            if not at_once and now < due:
                self._held = due if self._held is None else min(self._held, due)
                continue
            self._flush(doc, now)

    def _flush(self, doc: DocId, now: float) -> None:
        updates = self._documents.open(doc).take_local()
        self._documents.changed.discard(doc)
        if not updates:
            return
        update = updates[0] if len(updates) == 1 else merge_updates(updates)
        self._stale.add(doc)
        self._flushed.pop(doc, None)
        self._flushed[doc] = now
        if len(self._flushed) > FLUSHES_REMEMBERED:
            del self._flushed[next(iter(self._flushed))]
        self._emit(AppendUpdate(doc, update, self._author))
        if self._may_write:
            for exchange in self._exchanges.values():
                self._send_edit(exchange, doc, update)

    def _send_edit(self, exchange: Exchange, doc: DocId, update: bytes) -> None:
        if not exchange.pending and exchange.link.room(Lane.EDITS, EDITS_AHEAD):
            exchange.link.send(Lane.EDITS, EditFrame(doc, update))
            return
        if exchange.link.content is None or exchange.behind:
            exchange.behind = True
            return
        exchange.pending.setdefault(doc, []).append(update)
        exchange.pending_bytes += len(update)
        if exchange.pending_bytes > PENDING_LIMIT:
            exchange.pending.clear()
            exchange.pending_bytes = 0
            exchange.behind = True

    def _send_pending(self, exchange: Exchange) -> None:
        link = exchange.link
        while exchange.pending and link.room(Lane.EDITS, EDITS_AHEAD):
            doc = next(iter(exchange.pending))
            updates = exchange.pending.pop(doc)
            exchange.pending_bytes -= sum(map(len, updates))
            link.send(Lane.EDITS, EditFrame(doc, merge_updates(updates)))
        if exchange.behind and link.room(Lane.EDITS, EDITS_AHEAD):
            exchange.behind = False
            self._send_digests(link)

    # --- time -------------------------------------------------------------------------------------------

    def pump(self, now: float) -> None:
        """Fill every link as far as it has room."""
        for exchange in self._exchanges.values():
            if exchange.asking and now - exchange.asked_at >= ASK_PATIENCE:
                self._ask_again(exchange)
            self._ask(exchange, now)
            self._send_pending(exchange)
            self._answer(exchange)

    def next_deadline(self) -> float | None:
        """When held edits are due, or a question must be asked again."""
        moments = [e.asked_at + ASK_PATIENCE for e in self._exchanges.values() if e.asking]
        if self._held is not None:
            moments.append(self._held)
        return min(moments, default=None)

    def waiting(self, link: Link) -> int:
        """How many documents have edits that this peer was not sent yet."""
        exchange = self._exchanges.get(link)
        return 0 if exchange is None else len(exchange.pending) + exchange.behind
