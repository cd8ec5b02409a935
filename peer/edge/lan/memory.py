"""What a session remembers of local networks: our own port, and where other members were."""

import json
from dataclasses import dataclass
from typing import Final

from peer.core.candidates import REMEMBERED, Endpoint
from peer.edge.store import Store
from peer.errors import StorageError

__all__ = ["Memory", "recall", "remember"]

_KEY: Final = "lan"


@dataclass(frozen=True, slots=True)
class Memory:
    """*port*: what our server listened on, so that those who remember it find it again; 0 for any."""

    port: int = 0
    endpoints: tuple[Endpoint, ...] = ()


def recall(store: Store | None) -> Memory:
    """What was remembered; what cannot be read is as good as forgotten."""
    try:
        data = None if store is None else store.get_meta(_KEY)
        known = json.loads(data) if data else {}
        endpoints = tuple(Endpoint(str(host), int(port)) for host, port in known.get("endpoints", ()))
        return Memory(int(known.get("port", 0)), endpoints[:REMEMBERED])
    except (StorageError, ValueError, TypeError, AttributeError):
        return Memory()


def remember(store: Store | None, memory: Memory) -> None:
    """Store *memory*; a disk that refuses costs only the convenience."""
    if store is None:
        return
    endpoints = [[each.host, each.port] for each in memory.endpoints]
    try:
        store.set_meta(_KEY, json.dumps({"port": memory.port, "endpoints": endpoints}).encode())
        store.commit()
    except StorageError:
        return
