"""What is under way with one peer: what it is asked, what it asked, and the edits that wait for room."""

from dataclasses import dataclass, field
from typing import Final

from peer.core.actions import Action, SendLossy
from peer.core.difference import Difference
from peer.core.documents import merge_updates
from peer.core.echoes import ECHO_RTT, Echoes
from peer.core.frames import EditFrame, encode
from peer.core.ids import Attempt, DocId
from peer.core.link import Link
from peer.core.pieces import Lane

__all__ = ["BULK_AHEAD", "EDITS_AHEAD", "EDITS_REMEMBERED", "EDIT_LIMIT", "PENDING_LIMIT", "Exchange"]

EDIT_LIMIT: Final = 1024 * 1024
"""Bytes of one live edit; a larger paste is asked for as bulk, which key strokes overtake."""
PENDING_LIMIT: Final = 256 * 1024
"""Bytes of edits kept for a link without room; beyond, comparing states is cheaper."""
EDITS_AHEAD: Final = 16 * 1024
"""Bytes of edits handed to a carrier before it has sent the last ones."""
BULK_AHEAD: Final = 512 * 1024
"""Bytes of answers handed to a carrier ahead of its window."""
EDITS_REMEMBERED: Final = 512
"""Hashes of edits that came, by which one that comes over a second path too is known: half a minute of
typing.  One that is not known any more is applied again, which changes nothing but the log."""


@dataclass(slots=True)
class Exchange:
    """What is under way with one peer.

    Attributes:
        wanted: documents to ask for, each with the digest that the peer told of it.
        asking: documents asked for; *asked_at* is when the last question was sent, or something of an
            answer came, which *bulk_seen* tells.
        answers: documents that the peer asked for, each with its state vector.
        behind: it was not sent some edit, and gets a list of digests when it has room.
        owes_list: it gets one in any case.
        difference: whether it holds what we hold.
        listed: it has told all that it holds.
        echoes: what it was sent lately, to be said again if it is far away.
    """

    link: Link
    began: float
    difference: Difference
    wanted: dict[DocId, bytes] = field(default_factory=dict)
    asking: dict[DocId, None] = field(default_factory=dict)
    asked_at: float = 0.0
    bulk_seen: int = 0
    answers: dict[DocId, bytes] = field(default_factory=dict)
    behind: bool = False
    owes_list: bool = False
    list_sent: float = 0.0
    listed: bool = False
    told_done: bool = False
    total: int = 0
    received: int = 0
    received_bytes: int = 0
    progress_told: float = 0.0
    echoes: Echoes = field(default_factory=Echoes)
    _seen: dict[int, None] = field(default_factory=dict)
    _kept: dict[DocId, list[bytes]] = field(default_factory=dict)
    _kept_bytes: int = 0

    def is_idle(self) -> bool:
        """Whether nothing is asked, owed or kept."""
        owed = self.behind or self.owes_list or self.echoes.due is not None
        return not (self.asking or self.wanted or self.answers or self._kept or owed)

    def knows(self, doc: bytes, update: bytes) -> bool:
        """Whether this edit came before, over another path or as an echo."""
        return hash((doc, update)) in self._seen

    def took(self, doc: bytes, update: bytes) -> None:
        """Remember this edit."""
        self._seen[hash((doc, update))] = None
        if len(self._seen) > EDITS_REMEMBERED:
            del self._seen[next(iter(self._seen))]

    def send_edit(self, doc: DocId, update: bytes, now: float) -> None:
        """Send an edit, or keep it until there is room, or let the peer find out that it lacks it."""
        if len(update) > EDIT_LIMIT or self.link.content is None:
            self.behind = True
        elif not self._kept and self.link.room(Lane.EDITS, EDITS_AHEAD):
            self.link.send(Lane.EDITS, EditFrame(doc, update))
            if self._far_away() is not None:
                self.echoes.sent(doc, update, now)
        elif not self.behind:
            self._keep(doc, update)

    def _far_away(self) -> Attempt | None:
        """The direct path, if what is lost there takes long to be sent again."""
        direct = self.link.direct
        if direct is None or isinstance(direct.key, bytes) or (direct.rtt or 0.0) < ECHO_RTT:
            return None
        return direct.key

    def say_again(self, now: float) -> list[Action]:
        """Send the echoes that are due."""
        echoes, attempt = self.echoes.take(now), self._far_away()
        return [] if attempt is None else [SendLossy(attempt, encode(echo)) for echo in echoes]

    def _keep(self, doc: DocId, update: bytes) -> None:
        self._kept.setdefault(doc, []).append(update)
        self._kept_bytes += len(update)
        if self._kept_bytes > PENDING_LIMIT:
            self.forget_kept()

    def forget_kept(self) -> None:
        """Let go of the edits that wait; the peer will find out that it lacks them."""
        self.behind = self.behind or bool(self._kept)
        self._kept.clear()
        self._kept_bytes = 0

    def send_kept(self) -> None:
        """Send, merged, what waits, as far as there is room."""
        while self._kept and self.link.room(Lane.EDITS, EDITS_AHEAD):
            doc = next(iter(self._kept))
            updates = self._kept.pop(doc)
            self._kept_bytes -= sum(map(len, updates))
            self.link.send(Lane.EDITS, EditFrame(doc, merge_updates(updates)))

    def may_catch_up(self) -> bool:
        """Whether it is behind and has room again."""
        return self.behind and self.link.room(Lane.EDITS, EDITS_AHEAD)

    def may_answer(self) -> bool:
        """Whether it asked for something and has room for it."""
        return bool(self.answers) and self.link.room(Lane.BULK, BULK_AHEAD)

    def can_send(self) -> bool:
        """Whether something waits for which there is room."""
        return self.may_answer() or (bool(self._kept) and self.link.room(Lane.EDITS, EDITS_AHEAD))

    def waiting(self) -> int:
        """How many documents have edits that this peer was not sent yet."""
        return len(self._kept) + self.behind
