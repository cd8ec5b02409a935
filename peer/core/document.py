"""One replica of one CRDT document, fenced so that neither peers nor applications can break it.

Everything that comes from a peer passes the guard first, and may then still fail inside the engine,
even with a panic, which is no `Exception`.  A failure makes the document again from what went well
before, under the same client id: every local change was kept the moment it was made, so no clock is
ever used twice.  `doc` is then another object and `generation` has grown; an application that goes on
writing to the old one is told so at its next change.

An application may change `doc` as it likes as long as it stays within the schema.  What peers would
refuse (another root, formatting, nested types) is taken back at once in the same way, and the writer
gets a `UsageError` in the `ExceptionGroup` with which pycrdt reports observers.
"""

from collections.abc import Callable, Container, Sequence
from functools import partial
from typing import Final

from peer.core.clocks import Clocks, fingerprint
from peer.core.edits import Edit
from peer.core.engine import (
    NOTHING,
    CrdtDoc,
    Engine,
    MapEvent,
    Origin,
    Result,
    TextEvent,
    UpdateEvent,
    attempt,
    merge_updates,
)
from peer.core.guard import (
    UPDATE_LIMIT,
    UpdateSummary,
    check_state_vector,
    check_update,
    refuse_others,
    without_clients,
)
from peer.core.halves import has_halves
from peer.core.ids import INDEX, DocId
from peer.core.index import Index
from peer.core.replay import Replay
from peer.core.schema import Kind
from peer.core.sharedtext import SharedText, batches, check_edits
from peer.core.textpositions import utf16_length
from peer.errors import Refused, RemoteError, StorageError, TooLarge, UsageError

__all__ = ["Document"]

PENDING_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of updates that wait for others; beyond, only updates that can be placed are taken."""
LOCAL_KEPT: Final = 4096
"""Local updates that are kept one by one; beyond, they are merged."""


class Document:
    """One replica of one document.

    *on_local* hears of the first local change after updates or edits were taken, perhaps in the middle
    of a transaction: it may note that and nothing more.

    Attributes:
        id: its name in the session.
        kind: what it may hold.
        client_id: the CRDT client id of every local change.
        doc: the pycrdt document; applications may use it.
        generation: how often *doc* has been replaced after a failure.
        taken: the last update from a peer as it was applied, without what was left out of it.
        observer_error: the last error of an application's observer during one of our changes.
    """

    def __init__(self, doc_id: DocId, client_id: int, on_local: Callable[[DocId], None]) -> None:
        self.id = doc_id
        self.kind = Kind.INDEX if doc_id == INDEX else Kind.TEXT
        self.client_id = client_id
        self.generation = 0
        self.taken = b""
        self.observer_error: Exception | None = None
        self._on_local = on_local
        self._local: list[bytes] = []
        self._replay = Replay()
        self._clocks = Clocks()
        self._announced = False
        self._types_halves = False
        self._origin = Origin.APPLICATION
        self._text = SharedText()
        self._index = Index(self._write)
        self._state: bytes | None = None
        self._digest: bytes | None = None
        self._start_engine()

    # --- the text, or the entries ---------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The whole text; costs its length after a change, nothing if asked again."""
        return self._shared_text().read()

    @property
    def length(self) -> int:
        """Code points of the text; costs nothing."""
        return self._shared_text().length

    @property
    def index(self) -> Index:
        """The entries.

        Raises:
            UsageError: this document is a text.
        """
        if self.kind is not Kind.INDEX:
            raise UsageError("This document holds a text, not the list of files.")
        return self._index

    def edit(self, edits: Sequence[Edit]) -> None:
        """Change the text here: all of *edits*, or none if one of them cannot be made.

        Up to 64 edits make one transaction, and one update.

        Raises:
            UsageError: an edit is outside the text, too long or not valid Unicode, the document is full
                or not a text, or an application has a transaction open.
        """
        text = self._shared_text()
        self._refuse_open_transaction()
        if not self._has_room(check_edits(edits, text.length)):
            raise UsageError(f"A document holds at most {UPDATE_LIMIT} bytes, its history included.")
        for batch in batches(edits):
            self._types_halves = any(has_halves(edit.inserted) for edit in batch)
            self._write(partial(text.type_in, batch))
            text.log_typed(batch)
            self._clocks.advance(self.client_id, sum([utf16_length(edit.inserted) for edit in batch]))

    def take_edits(self) -> list[tuple[bool, Edit]]:
        """Every edit of the text since this was last called, each with whether it came from afar."""
        self._announced = False
        return self._shared_text().take_edits()

    def _shared_text(self) -> SharedText:
        if self.kind is not Kind.TEXT:
            raise UsageError("This document is the list of files and has no text.")
        return self._text

    # --- updates from elsewhere ---------------------------------------------------------------------

    def load(self, update: bytes) -> None:
        """Take in an update from our own store; edits not taken yet are forgotten.

        Raises:
            StorageError: the update is damaged; the document is as it was before.
            UsageError: our client id is in it, or an application has a transaction open.
        """
        self._refuse_open_transaction()
        made = self._clocks.known.get(self.client_id, 0)
        try:
            self._integrate(update, check_update(update, self.kind))
        except RemoteError as error:
            raise StorageError(f"A stored update cannot be used ({error}); the others can.") from error
        self._text.begin_log()
        if self._clocks.known.get(self.client_id, 0) > made:
            raise UsageError(f"Client id {self.client_id} was used before; every run needs a fresh one.")

    def apply(
        self, update: bytes, *, sender_clients: Container[int] | None = None, withheld: Container[int] = ()
    ) -> list[Edit]:
        """Take in an update from a peer; return what it did to the text.

        With *sender_clients* it is a live edit, and everything in it must be made by one of those.
        Without, it may hold anybody's work, except that of the clients *withheld*, which is left out:
        those are linked with us and speak for themselves.

        Raises:
            RemoteError: the update is refused; the document is as it was before.
            UsageError: an application has a transaction open.
        """
        summary = check_update(update, self.kind)
        if sender_clients is not None:
            refuse_others(summary, sender_clients)
        else:
            left_out = frozenset(client for client in summary.structs if client in withheld)
            if left_out:
                update = without_clients(update, summary, left_out)
                summary = check_update(update, self.kind)
        self._refuse_open_transaction()
        self._refuse_invented(summary)
        live = sender_clients is not None
        update, summary = self._clocks.with_whole_letters(update, summary, live=live)
        self._make_room(summary)
        self._integrate(update, summary)
        self.taken = update
        return self._text.settle()

    def _refuse_invented(self, summary: UpdateSummary) -> None:
        """Nobody but us makes what bears our client id, and nobody can refer to what we did not make."""
        made = self._clocks.known.get(self.client_id, 0)
        _, end = summary.structs.get(self.client_id, (0, 0))
        if end > made or summary.needs.get(self.client_id, 0) > made:
            raise Refused("an update holds work in our name that we never did")

    def _make_room(self, summary: UpdateSummary) -> None:
        self._clocks.refuse_crowds(summary)
        waiting = self._clocks.waiting_size
        if waiting > PENDING_LIMIT and not self._clocks.fits(summary):
            raise TooLarge("what waits for missing updates", waiting, PENDING_LIMIT)
        if not self._has_room(summary.size):
            raise TooLarge("a document", self._replay.size + summary.size, UPDATE_LIMIT)

    def _has_room(self, size: int) -> bool:
        """Whether the document with *size* bytes more could still be sent as one update."""
        if self._replay.size + size > UPDATE_LIMIT:
            self._replay.fold(self.full_state())
        return self._replay.size + size <= UPDATE_LIMIT

    # --- updates for elsewhere ------------------------------------------------------------------------

    def take_local(self) -> list[bytes]:
        """The updates made here since this was last called, by `edit` and by applications."""
        taken, self._local = self._local, []
        self._announced = False
        self._fold_if_due()
        return taken

    def state_vector(self) -> bytes:
        """What we hold, for `updates_since` of another replica."""
        if self._state is None:
            self._state = self.doc.get_state()
        return self._state

    def updates_since(self, state_vector: bytes) -> bytes:
        """Everything that the owner of *state_vector* does not hold, as one update.

        Raises:
            RemoteError: the state vector is refused.
        """
        check_state_vector(state_vector)
        return self._attempt(self.doc.get_update, state_vector) or NOTHING

    def full_state(self) -> bytes:
        """Everything that we hold, as one update, with what still waits for others."""
        state = self.doc.get_update()
        return merge_updates([state, *self._clocks.waiting]) if self._clocks.waiting else state

    def is_empty(self) -> bool:
        """Whether nobody has ever changed this document."""
        return not self._clocks.known

    def has_pending(self) -> bool:
        """Whether updates wait here for others that are missing."""
        return self._clocks.has_missing

    def fits(self, summary: UpdateSummary) -> bool:
        """Whether everything that an update presupposes is here, so that all of it can be placed."""
        return self._clocks.fits(summary)

    def is_up_to_date(self, state_vector: bytes) -> bool:
        """Whether we hold every change that the owner of *state_vector* holds, deletions apart.

        Raises:
            RemoteError: the state vector is refused.
        """
        known = self._clocks.known
        return all(clock <= known.get(c, 0) for c, clock in check_state_vector(state_vector).items())

    def is_known_to(self, state_vector: bytes) -> bool:
        """Whether the owner of *state_vector* holds every change that we hold, deletions apart.

        Raises:
            RemoteError: the state vector is refused.
        """
        theirs = check_state_vector(state_vector)
        return all(clock <= theirs.get(c, 0) for c, clock in self._clocks.known.items())

    def digest(self) -> bytes:
        """Sixteen bytes, equal exactly for replicas that hold the same; see `clocks.fingerprint`."""
        if self._digest is None:
            deletes = check_update(self.doc.get_update(self.state_vector()), self.kind).deletes
            text = self.text if self.kind is Kind.TEXT else ""
            self._digest = fingerprint(check_state_vector(self.state_vector()), deletes, text)
        return self._digest

    def close(self) -> None:
        """Let go of the engine; the document must not be used any more."""
        self._engine.close()

    # --- the engine ---------------------------------------------------------------------------------------

    def _start_engine(self) -> None:
        """Make the engine's document from everything that went well, and listen to it."""
        engine = Engine(self.kind, self.client_id, self._replay)
        on_update = partial(self._on_update, self.generation)
        if self.kind is Kind.TEXT:
            self._text.attach(engine.root)
            engine.listen(self._on_text, on_update)
        else:
            self._index.attach(engine.root)
            engine.listen(self._on_entries, on_update)
        self._engine = engine
        self.doc: CrdtDoc = engine.doc

    def _on_text(self, event: TextEvent) -> None:
        if self._origin is not Origin.OURS:
            size, read = self._engine.after(event)
            self._text.absorb(event.delta, size, read, remote=self._origin is Origin.REMOTE)

    def _on_entries(self, event: MapEvent) -> None:
        self._index.absorb(event.keys)

    def _on_update(self, generation: int, event: UpdateEvent) -> None:
        """The engine ended a transaction that changed something; nothing may be read from it here."""
        if generation != self.generation:
            raise UsageError("This copy of the document was replaced; take `.doc` again.")
        self._state = self._digest = None
        if self._origin is Origin.REMOTE:
            return
        update = event.update
        if self._origin is Origin.APPLICATION or self.kind is Kind.INDEX:
            self._vet(update)
        elif self._types_halves:
            self._clocks.halves.add(check_update(update, self.kind).halves)
        self._replay.add(update)
        self._local.append(update)
        if len(self._local) > LOCAL_KEPT:
            self._local = [merge_updates(self._local)]
        if not self._announced:
            self._announced = True
            self._on_local(self.id)

    def _vet(self, update: bytes) -> None:
        """Take back what an application did if peers would refuse it."""
        try:
            summary = check_update(update, self.kind)
            refuse_others(summary, (self.client_id,))
        except RemoteError as error:
            self._rebuild()
            self._text.coarsen_log()
            raise UsageError(f"This change cannot be shared, so it was taken back: {error}.") from error
        self._clocks.note(summary)

    def _write(self, change: Callable[[], None]) -> None:
        """Make one change of our own in one transaction."""
        self._refuse_open_transaction()
        self._origin = Origin.OURS
        try:
            with self.doc.transaction():
                change()
        except ExceptionGroup as error:
            self.observer_error = error
        finally:
            self._origin = Origin.APPLICATION

    @property
    def has_open_transaction(self) -> bool:
        """Whether an application is in the middle of a transaction."""
        return self._engine.has_open_transaction

    def _refuse_open_transaction(self) -> None:
        if self._engine.has_open_transaction:
            raise UsageError("An application holds a transaction of this document open.")

    def _integrate(self, update: bytes, summary: UpdateSummary) -> None:
        fits = self._clocks.fits(summary)
        self._origin = Origin.REMOTE
        try:
            self._attempt(self.doc.apply_update, update)
        finally:
            self._origin = Origin.APPLICATION
        self._replay.add(update)
        if fits:
            self._clocks.note(summary)
        else:
            self._clocks.miss(summary, update)
        if self._clocks.has_missing:
            self._clocks.refresh(check_state_vector(self.state_vector()))
        self._fold_if_due()

    def _attempt(self, call: Callable[[bytes], Result], data: bytes) -> Result | None:
        """Give the engine bytes that are not ours.

        Raises:
            Malformed: it failed; the document was made again.
        """
        try:
            return attempt(call, data)
        except ExceptionGroup as error:  # the change was made
            self.observer_error = error
            return None
        except BaseException:
            self._rebuild()
            raise

    def _rebuild(self) -> None:
        self.generation += 1
        self._state = self._digest = None
        self._start_engine()
        self._clocks.refresh(check_state_vector(self.state_vector()))

    def _fold_if_due(self) -> None:
        if self._replay.is_due:
            self._replay.fold(self.full_state())
