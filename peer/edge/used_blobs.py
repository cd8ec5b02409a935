"""Which binary contents a stored session still needs."""

from collections import deque
from collections.abc import Iterable
from typing import Final

from peer.core.actions import SaveShadow
from peer.core.documents import Documents
from peer.core.ids import INDEX, DocId
from peer.core.layout import blob_digests

__all__ = ["SHADOWS_IN_USE", "blobs_in_use"]

SHADOWS_IN_USE: Final = 2
"""Contents of a binary file that its shadows keep: what it held last, and what was to be written then."""


def blobs_in_use(shadows: Iterable[SaveShadow], documents: Documents) -> set[bytes]:
    """What the index names, and what the disk held last, holds, or is about to hold.

    Asked before anything runs: later, something may be under way that neither of them names yet.
    """
    held: dict[DocId, deque[bytes]] = {}
    for shadow in shadows:
        if shadow.binary:
            held.setdefault(shadow.doc, deque(maxlen=SHADOWS_IN_USE)).append(shadow.content)
    named = blob_digests(documents.open(INDEX).index.entries())
    return named.union(*held.values())
