"""Keeps what the core wants kept: the log, shadows and blobs of one session, in its store.

Everything of one batch is stored before anything of it is sent.  When the disk refuses, the store holds
what it was given and tries again later; what it can hold no more is made up for as soon as the disk takes
it: a text that lost a part of its log is stored whole, and of each file the last shadow.
"""

import time
from collections.abc import Callable, Iterable
from typing import Final

from peer.core.actions import Action, AppendUpdate, ForgetShadow, LoadBlob, SaveBlob, SaveShadow
from peer.core.documents import Documents
from peer.core.ids import DocId
from peer.core.notices import Notice, Trouble, Warned
from peer.edge.store import Store
from peer.errors import StorageError

__all__ = ["COMPACT_EVERY", "RETRY_EVERY", "Journal"]

COMPACT_EVERY: Final = 30.0
"""Seconds between looks at which logs are worth folding into a snapshot."""
RETRY_EVERY: Final = 1.0
"""Seconds between tries while the disk refuses: each try writes all that was refused."""

_KEPT: Final = frozenset((AppendUpdate, SaveShadow, ForgetShadow, SaveBlob))


class Journal:
    """What must survive a crash, of one running session.

    Attributes:
        is_behind: whether the disk refused and something is in memory only.
    """

    def __init__(
        self, store: Store, documents: Documents, tell: Callable[[Notice], None], now: float
    ) -> None:
        self._store = store
        self._documents = documents
        self._tell = tell
        self._compact_at = now + COMPACT_EVERY
        self._retry_at = now
        self._gaps: set[DocId] = set()
        self._shadows: dict[DocId, SaveShadow | ForgetShadow] = {}
        self.is_behind = False

    def keep(self, actions: Iterable[Action], now: float) -> None:
        """Store what *actions* say, and say so if that is not possible."""
        for action in actions:
            if type(action) in _KEPT:  # most are not, and there are many
                self._put(action)
        if self.is_behind and now < self._retry_at:
            return
        try:
            self._make_up()
            self._store.commit()
        except StorageError as error:
            self._refused(error, now)
            return
        self._accepted()
        if now >= self._compact_at:
            self._compact(now)

    def load(self, order: LoadBlob) -> tuple[int, bytes | None]:
        """The size of a blob and the part of it that is wanted, or zero and nothing."""
        try:
            return self._store.load_blob(order.digest, order.offset, order.length) or (0, None)
        except StorageError as error:
            self._tell(Trouble("E-STORAGE", str(error)))
            return (0, None)

    def _put(self, action: Action) -> None:
        try:
            match action:
                case AppendUpdate():
                    self._store.append(action.doc, action.update, action.author, time.time())
                case SaveShadow():
                    self._store.save_shadow(action)
                case ForgetShadow():
                    self._store.forget_shadow(action.doc)
                case SaveBlob():
                    self._store.save_blob(action.digest, action.content)
                case _:
                    pass
        except StorageError:
            self._leave_out(action)

    def _leave_out(self, action: Action) -> None:
        """The store has no room in memory either."""
        if isinstance(action, AppendUpdate):
            self._gaps.add(action.doc)
        elif isinstance(action, SaveShadow | ForgetShadow):
            self._shadows[action.doc] = action

    def _make_up(self) -> None:
        if not self._gaps and not self._shadows:
            return
        self._store.commit()
        for doc in list(self._gaps):
            document = self._documents.get(doc)
            if document is not None:
                self._store.snapshot(doc, document.full_state())
            self._store.commit()
            self._gaps.discard(doc)
        for doc, action in list(self._shadows.items()):
            del self._shadows[doc]
            self._put(action)

    def _refused(self, error: StorageError, now: float) -> None:
        self._retry_at = now + RETRY_EVERY
        if not self.is_behind:
            self.is_behind = True
            self._tell(Trouble("E-STORAGE", str(error)))

    def _accepted(self) -> None:
        if self.is_behind:
            self.is_behind = False
            self._tell(Warned("W-STORAGE", "the disk takes changes again, and everything is stored"))

    def _compact(self, now: float) -> None:
        self._compact_at = now + COMPACT_EVERY
        due = (document for document in self._documents if self._store.should_compact(document.id))
        document = next(due, None)  # one at a time: a large document takes some milliseconds
        if document is not None:
            self._store.snapshot(document.id, document.full_state())
