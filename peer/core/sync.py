"""Keeps our documents and those of every peer equal: what to ask, what to send, when.

When a link opens or moves, each side lists a digest per document; what differs is asked for by state
vector, each document from one peer at a time, a few at once.  Edits are merged per document for one
short tick (at once when nothing was sent lately) and go to every link; a link that has no room gets
them merged later, and one that falls too far behind gets nothing but a fresh list of digests when it
has room again.  Heartbeats carry one digest over everything, so that what slipped through any of this
is found within seconds.
"""

from collections.abc import Callable, Iterable
from typing import Final

from peer.core.actions import Action, AppendUpdate, Tell
from peer.core.difference import Difference
from peer.core.documents import Document, Documents, merge_updates
from peer.core.exchange import Exchange
from peer.core.frames import Ask, DigestEntry, Echo, EditFrame, State, Summary
from peer.core.guard import check_state_vector, check_update
from peer.core.holdings import Holdings
from peer.core.ids import INDEX, DocId, device_of
from peer.core.link import Link
from peer.core.notices import Author, SyncDone, SyncProgress, Warned
from peer.core.pieces import Lane
from peer.errors import Refused, RemoteError, TooLarge

__all__ = [
    "ANSWERS_LIMIT",
    "ASKS_AT_ONCE",
    "ASK_PATIENCE",
    "DOCUMENT_LIMIT",
    "LIST_EVERY",
    "TICK",
    "Sync",
]

TICK: Final = 0.002
"""Seconds for which edits of one document are merged when they come thick and fast."""
ASKS_AT_ONCE: Final = 16
"""Enough to hide a round trip, few enough that several peers share the work."""
ANSWERS_LIMIT: Final = 4 * ASKS_AT_ONCE
"""Questions of one peer kept; the oldest is dropped, and asked again by an honest peer."""
DOCUMENT_LIMIT: Final = 20_000
"""Documents in one session; each costs every peer memory."""
LIST_EVERY: Final = 0.5
"""Seconds between two lists of digests that a peer causes: twelve bytes of it ask for half a megabyte."""
FLUSHES_REMEMBERED: Final = 1024
"""Documents whose last flush is remembered; forgetting one only means a flush at once."""
ASK_PATIENCE: Final = 10.0
"""Seconds without an answer after which the same is asked again: a path may swallow a question."""
ASK_ANYWAY: Final = b""
"""Instead of a digest: ask, whatever we hold by then."""
PROGRESS_EVERY: Final = 0.25
"""Seconds between two progress notices."""


class Sync:
    """The documents of one session against those of every peer."""

    def __init__(
        self,
        documents: Documents,
        *,
        author: bytes,
        may_write: bool,
        emit: Callable[[Action], None],
        touched: Callable[[DocId, Author], None],
        cut_off: Callable[[Link, RemoteError], None],
    ) -> None:
        self._documents = documents
        self._holdings = Holdings(documents)
        self.summary = self._holdings.summary
        self._author = author
        self._may_write = may_write
        self._emit = emit
        self._touched = touched
        self._cut_off = cut_off
        self._exchanges: dict[Link, Exchange] = {}
        self._asked: set[DocId] = set()
        self._flushed: dict[DocId, float] = {}
        self._held: float | None = None
        self.edits = 0
        """Changes of one document made here and logged as one."""

    # --- links come, move and go ----------------------------------------------------------------

    def opened(self, link: Link, now: float) -> None:
        """A link has its first content carrier: compare everything."""
        self._others_changed()
        exchange = self._exchanges[link] = Exchange(link, now, Difference(now))
        self._send_digests(exchange, now)

    def moved(self, link: Link) -> None:
        """The content carrier changed: what was under way may be lost, so ask again and compare."""
        exchange = self._exchanges[link]
        self._ask_again(exchange)
        exchange.answers.clear()
        exchange.listed = False
        exchange.forget_kept()
        link.send(Lane.CONTROL, Summary(self.summary()))

    def closed(self, link: Link) -> None:
        """The link is gone; others may be asked for what it was asked for."""
        self._ask_again(self._exchanges.pop(link))
        self._others_changed()
        for other, exchange in self._exchanges.items():
            if exchange.difference.since is not None:
                other.send(Lane.CONTROL, Summary(self.summary()))  # it may have what was left out till now

    def _others_changed(self) -> None:
        # what a connected member made is not taken from others: now it may be, or is sent by itself
        for exchange in self._exchanges.values():
            exchange.difference.try_again()

    def _ask_again(self, exchange: Exchange) -> None:
        self._asked.difference_update(exchange.asking)
        for doc in exchange.asking:
            exchange.wanted[doc] = ASK_ANYWAY
        exchange.asking.clear()

    # --- comparing --------------------------------------------------------------------------------

    def compare(self, link: Link, summary: bytes, now: float) -> None:
        """A heartbeat told what the peer holds: list our digests if it differs for too long."""
        exchange = self._exchanges[link]
        ours = self.summary()
        due = exchange.difference.is_due(ours, summary, now)
        if not due or exchange.asking or link.content is None:  # without a way for it nothing can help
            return
        exchange.owes_list = True
        if exchange.difference.compare(ours, summary, now):
            message = (
                f"{link.member.name} holds something else than this side, and comparing does not help. Both"
                " keep what they have; stop and start Weft on both sides, and if it comes again, report it"
            )
            self._emit(Tell(Warned("W-DIFFERS", message)))

    def on_summary(self, link: Link, frame: Summary, now: float) -> None:
        """The peer moved its side of the link: list our digests if it holds something else."""
        exchange = self._exchanges[link]
        if frame.digest == self.summary():
            exchange.listed = True
            self._tell_done(exchange, now)
        else:
            exchange.owes_list = True

    def in_step(self, link: Link) -> bool:
        """Whether all that the peer has told of is here, and it has all that it asked for."""
        exchange = self._exchanges[link]
        busy = exchange.wanted or exchange.asking or exchange.answers
        return not busy and (exchange.listed or link.member.role == "viewer")

    def _send_digests(self, exchange: Exchange, now: float) -> None:
        exchange.owes_list = exchange.behind = False
        exchange.list_sent = now
        for digests in self._holdings.lists():
            exchange.link.send(Lane.CONTROL, digests)

    def on_digests(self, link: Link, entries: Iterable[DigestEntry], *, last: bool, now: float) -> None:
        """Note what the peer has that we may lack.

        Raises:
            TooLarge: the session would have more documents than `DOCUMENT_LIMIT`.
        """
        exchange = self._exchanges[link]
        if link.member.role == "viewer":
            return
        for entry in entries:
            doc = DocId(entry.doc)
            if self._holdings.differs(doc, entry.digest):
                exchange.total += doc not in exchange.asking and doc not in exchange.wanted
                exchange.wanted[doc] = entry.digest
        count = len(exchange.wanted)
        if count > DOCUMENT_LIMIT:
            raise TooLarge("the number of documents", count, DOCUMENT_LIMIT)
        exchange.listed = exchange.listed or last
        self._tell_done(exchange, now)

    # --- asking and answering -----------------------------------------------------------------------

    def on_ask(self, link: Link, frame: Ask) -> None:
        """Queue an answer; asking again replaces the first question.

        Raises:
            RemoteError: the state vector is refused.
        """
        check_state_vector(frame.state_vector)
        answers = self._exchanges[link].answers
        answers[DocId(frame.doc)] = frame.state_vector
        if len(answers) > ANSWERS_LIMIT:
            del answers[next(iter(answers))]

    def on_state(self, link: Link, frame: State, now: float) -> None:
        """Take an answer that we asked for, also one that we had given up; anything else is dropped.

        Raises:
            RemoteError: the update is not one that we could take from this peer.
        """
        exchange = self._exchanges[link]
        doc = DocId(frame.doc)
        if doc in exchange.asking:
            del exchange.asking[doc]
            self._asked.discard(doc)
        elif exchange.wanted.get(doc) == ASK_ANYWAY:
            del exchange.wanted[doc]
        else:
            return
        exchange.asked_at = now
        if frame.update:
            self._take_state(link, doc, frame.update)
        exchange.received += 1
        exchange.received_bytes += len(frame.update)
        if now - exchange.progress_told >= PROGRESS_EVERY and not exchange.told_done:
            exchange.progress_told = now
            member = link.member
            self._emit(Tell(SyncProgress(member.short, member.name, exchange.received, exchange.total)))
        self._tell_done(exchange, now)

    def _take_state(self, link: Link, doc: DocId, update: bytes) -> None:
        document = self._open(doc)
        before = document.digest()
        document.apply(update, withheld=self._who_speak_for_themselves(link))
        if document.has_pending() or document.digest() != before:
            self._took(document, link)

    def _who_speak_for_themselves(self, link: Link) -> set[int]:
        """The clients of all other members who are linked with us.

        Not those of other runs of the same device: after a crash its last run stays linked for seconds, and
        only the next one can bring what it had made and not sent.
        """
        device = device_of(link.member.id)
        members = (other.member for other in self._exchanges)
        return {member.client for member in members if device_of(member.id) != device}

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
        if not exchange.wanted or len(exchange.asking) >= ASKS_AT_ONCE or exchange.link.content is None:
            return
        # the index first: without it, texts have no place
        order = sorted(exchange.wanted, key=lambda doc: doc != INDEX) if INDEX in exchange.wanted else None
        for doc in order or list(exchange.wanted):
            if len(exchange.asking) >= ASKS_AT_ONCE:
                break
            if doc in self._asked:
                continue
            digest = exchange.wanted.pop(doc)
            if digest != ASK_ANYWAY and not self._holdings.differs(doc, digest):
                exchange.received += 1
                continue
            exchange.asking[doc] = None
            exchange.asked_at = now
            exchange.bulk_seen = exchange.link.bulk_received
            self._asked.add(doc)
            document = self._documents.get(doc)
            vector = b"\x00" if document is None else document.state_vector()
            exchange.link.send(Lane.EDITS, Ask(doc, vector))
        self._tell_done(exchange, now)

    def _answer(self, exchange: Exchange) -> None:
        while exchange.may_answer():
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
        if not self._exchanges[link].knows(frame.doc, frame.update):
            self._take_edit(link, self._open(DocId(frame.doc)), frame.update)

    def on_echo(self, link: Link, frame: Echo) -> None:
        """Take of what the peer typed what is late on the ordered channel, if nothing before it is missing.

        Raises:
            RemoteError: as for `on_edit`.
        """
        if link.member.role == "viewer":
            raise Refused(f"{link.member.name} may only read this session, and repeated an edit")
        document = self._documents.get(DocId(frame.doc))
        if document is None:
            return
        for update in frame.updates:
            known = self._exchanges[link].knows(frame.doc, update)
            if not known and document.fits(check_update(update, document.kind)):
                self._take_edit(link, document, update)

    def _take_edit(self, link: Link, document: Document, update: bytes) -> None:
        document.apply(update, sender_clients=frozenset((link.member.client,)))
        self._exchanges[link].took(document.id, update)
        self._took(document, link)

    def _open(self, doc: DocId) -> Document:
        if self._documents.get(doc) is None and len(self._documents) >= DOCUMENT_LIMIT:
            raise TooLarge("the number of documents", len(self._documents) + 1, DOCUMENT_LIMIT)
        return self._documents.open(doc)

    def _took(self, document: Document, link: Link) -> None:
        self._holdings.changed(document.id)
        self._emit(AppendUpdate(document.id, document.taken, link.member.id[:32]))
        self._touched(document.id, Author(link.member.name, link.member.short))

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
        self.edits += 1
        self._holdings.changed(doc)
        self._flushed.pop(doc, None)
        self._flushed[doc] = now
        if len(self._flushed) > FLUSHES_REMEMBERED:
            del self._flushed[next(iter(self._flushed))]
        self._emit(AppendUpdate(doc, update, self._author))
        if self._may_write:
            for exchange in self._exchanges.values():
                exchange.send_edit(doc, update, now)

    def _send_pending(self, exchange: Exchange, now: float) -> None:
        exchange.send_kept()
        if (exchange.owes_list or exchange.may_catch_up()) and now >= exchange.list_sent + LIST_EVERY:
            self._send_digests(exchange, now)

    # --- time -------------------------------------------------------------------------------------------

    def pump(self, now: float) -> None:
        """Fill every link as far as it has room."""
        for exchange in [each for each in self._exchanges.values() if not each.is_idle()]:
            if exchange.asking:
                self._have_patience(exchange, now)
            self._ask(exchange, now)
            self._send_pending(exchange, now)
            for action in exchange.say_again(now):
                self._emit(action)
            try:
                self._answer(exchange)
            except RemoteError as error:
                self._cut_off(exchange.link, error)

    def can_send(self) -> bool:
        """Whether `pump` would find room for more, now that the links were pumped."""
        return any(exchange.can_send() for exchange in self._exchanges.values())

    def _have_patience(self, exchange: Exchange, now: float) -> None:
        """Ask again if nothing came for long; a large answer on a slow path comes bit by bit."""
        arrived = exchange.link.bulk_received
        if arrived != exchange.bulk_seen:
            exchange.bulk_seen = arrived
            exchange.asked_at = now
        elif now - exchange.asked_at >= ASK_PATIENCE:
            self._ask_again(exchange)

    def next_deadline(self) -> float | None:
        """When held edits or a list are due, or a question must be asked again."""
        exchanges = self._exchanges.values()
        moments = [e.asked_at + ASK_PATIENCE for e in exchanges if e.asking]
        moments += [e.echoes.due for e in exchanges if e.echoes.due is not None]
        moments += [e.list_sent + LIST_EVERY for e in exchanges if e.owes_list or e.may_catch_up()]
        if self._held is not None:
            moments.append(self._held)
        return min(moments, default=None)

    def waiting(self, link: Link) -> int:
        """How many documents have edits that this peer was not sent yet."""
        return self._exchanges[link].waiting()
