"""Small edits told twice to somebody far away, so that a lost packet does not hold up what is typed.

An ordered channel delivers nothing behind a lost packet until that was sent again, and it takes three later
packets to notice, or a second.  To somebody who types five times a second that is a stutter of half a second
for every packet lost.  So a moment after an edit was sent it goes over the lossy channel too, and those
before it with it: what is lost there as well is repeated with the next key stroke.  Whoever has an edit
already takes no notice, and nothing is ever missing because an echo is.
"""

from collections import deque
from typing import Final

from peer.core.frames import EDITS_PER_ECHO, Echo
from peer.core.ids import DocId

__all__ = ["DOCS_LIMIT", "ECHO_AFTER", "ECHO_BYTES", "ECHO_RTT", "ECHO_SPAN", "Echoes"]

ECHO_RTT: Final = 0.01
"""Seconds of round trip from which edits are echoed: on a cable nothing is lost, and bytes count more."""
ECHO_AFTER: Final = 0.005
"""Seconds from an edit to its echo: what swallows one packet often takes the one right behind it, too."""
ECHO_SPAN: Final = 0.7
"""Seconds for which an edit is repeated with later ones: about what the ordered channel takes to notice a
loss when somebody types slowly."""
ECHO_BYTES: Final = 768
"""Of updates in one echo, which must fit one packet; a larger edit was not typed."""
DOCS_LIMIT: Final = 4
"""Documents that change within `ECHO_AFTER`: with more of them somebody does not type, but copies."""


class Echoes:
    """What one peer was sent lately.

    Attributes:
        due: when `take` has something; `None` while nothing waits.
    """

    def __init__(self) -> None:
        self.due: float | None = None
        self._sent: dict[DocId, deque[tuple[float, bytes]]] = {}
        self._waiting: dict[DocId, None] = {}

    def sent(self, doc: DocId, update: bytes, now: float) -> None:
        """This edit was sent over an ordered channel."""
        if len(update) > ECHO_BYTES:
            self._sent.pop(doc, None)
            return
        self._sent.setdefault(doc, deque(maxlen=EDITS_PER_ECHO)).append((now, update))
        self._waiting[doc] = None
        if self.due is None:
            self.due = now + ECHO_AFTER

    def take(self, now: float) -> list[Echo]:
        """What is to be said again, if it is time."""
        if self.due is None or now < self.due:
            return []
        docs = list(self._waiting) if len(self._waiting) <= DOCS_LIMIT else []
        echoes = [self._echo(doc, now) for doc in docs if doc in self._sent]
        self._waiting.clear()
        self.due = None
        if len(self._sent) > DOCS_LIMIT:
            self._sent.clear()
        return echoes

    def _echo(self, doc: DocId, now: float) -> Echo:
        """The newest edits of a document that fit; at least the last one."""
        updates: list[bytes] = []
        size = 0
        for at, update in reversed(self._sent[doc]):
            size += len(update)
            if updates and (size > ECHO_BYTES or now - at > ECHO_SPAN):
                break
            updates.append(update)
        return Echo(doc, updates[::-1])
