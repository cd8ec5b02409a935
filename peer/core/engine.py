"""The CRDT engine, pycrdt: the only module that imports it.

What it is known to do, and what the callers must therefore do: `document.py` and `guard.py`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum
from functools import partial
from typing import Any, Final, Protocol, TypeVar

import pycrdt

from peer.core.schema import Kind
from peer.core.textpositions import Step
from peer.errors import Malformed

__all__ = [
    "NOTHING",
    "CrdtDoc",
    "Engine",
    "MapEvent",
    "Origin",
    "Result",
    "TextEvent",
    "UpdateEvent",
    "attempt",
    "merge_updates",
]

NOTHING: Final = b"\0\0"
"""The update that changes nothing."""
MERGED_AT_ONCE: Final = 16
"""Merging takes time in the square of the number of updates, so it is done in small groups."""

CrdtDoc = pycrdt.Doc[Any]
"""What applications see; its roots have a type only when they are asked for."""
Result = TypeVar("Result")


class Origin(Enum):
    """Who makes the change that is under way."""

    APPLICATION = "application"
    OURS = "ours"
    REMOTE = "remote"


class TextEvent(Protocol):
    """A change to a text, told while its transaction ends."""

    delta: Sequence[Step]
    transaction: object


class MapEvent(Protocol):
    """A change to a map, told while its transaction ends: per key what was done, and the new value."""

    keys: Mapping[str, Mapping[str, Any]]


class UpdateEvent(Protocol):
    """The end of a transaction that changed something."""

    @property
    def update(self) -> bytes:
        """The change, encoded."""
        ...


class Engine:
    """One pycrdt document with its one root, and those who listen to it.

    Attributes:
        doc: the document, which applications may share.
        root: its `Text` or `Map`.
    """

    def __init__(self, kind: Kind, client_id: int, updates: Iterable[bytes]) -> None:
        self.doc: CrdtDoc = pycrdt.Doc(client_id=client_id)
        for update in updates:
            self.doc.apply_update(update)
        root_type: type[pycrdt.Text | pycrdt.Map[Any]] = pycrdt.Text if kind is Kind.TEXT else pycrdt.Map
        self.root: Any = self.doc.get(kind.value, type=root_type)

    def listen(
        self,
        on_root: Callable[[TextEvent], None] | Callable[[MapEvent], None],
        on_update: Callable[[UpdateEvent], None],
    ) -> None:
        """Tell of every change: first the root's, then the transaction's.

        The root's are told as long as this object lives, and *on_root* must not raise.  *on_update*
        hears of the document until `close`, or while an application keeps it; what it raises reaches
        the writer in an `ExceptionGroup`.
        """
        # the bare event of the root: pycrdt's wrapper would cost more than the change itself
        self._observing = self.root.integrated.observe(on_root)
        self._capturing = self.doc.observe(on_update)

    def close(self) -> None:
        """Stop telling, so that nothing keeps the document alive."""
        self._observing.drop()
        self.doc.unobserve(self._capturing)

    def after(self, event: TextEvent) -> tuple[int, Callable[[], str]]:
        """The length of the text in bytes, and a way to read it, as a change left it."""
        text = self.root.integrated
        return text.len(event.transaction), partial(text.get_string, event.transaction)

    @property
    def has_open_transaction(self) -> bool:
        """Whether an application is in the middle of a transaction.

        pycrdt would silently make our change part of it, and tell of it when it ends.
        """
        return self.doc._txn is not None


def attempt(call: Callable[[bytes], Result], data: bytes) -> Result:
    """Give the engine bytes that are not ours.

    Raises:
        Malformed: it failed, and its document must not be used any more.
        ExceptionGroup: an application's observer failed after the change was made.
    """
    try:
        return call(data)
    except ExceptionGroup:
        raise
    except BaseException as error:
        # a panic is no `Exception`, and its class cannot be imported
        if isinstance(error, Exception) or type(error).__name__ == "PanicException":
            raise Malformed("the CRDT engine cannot take these bytes") from error
        raise


def merge_updates(updates: Sequence[bytes]) -> bytes:
    """One update that does what *updates* do together, of which some may still wait for others."""
    merged = list(updates) or [NOTHING]
    while len(merged) > 1:
        groups = (merged[start : start + MERGED_AT_ONCE] for start in range(0, len(merged), MERGED_AT_ONCE))
        merged = [pycrdt.merge_updates(*group) for group in groups]
    return merged[0]
