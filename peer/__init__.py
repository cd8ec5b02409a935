"""Weft's client: share a folder, or texts, straight with other people's machines.

`peer.share` and `peer.join` are the way in; see `peer.api`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from peer.api import IceServer, Session, Text, join, share

__all__ = ["IceServer", "Session", "Text", "join", "share"]


def __getattr__(name: str) -> object:
    # loaded when first used: `weft --help` must not wait for the CRDT engine and the network
    if name in __all__:
        from peer import api

        return getattr(api, name)
    raise AttributeError(f"module 'peer' has no attribute {name!r}")
