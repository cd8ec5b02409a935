"""The names things have: small byte strings, told apart by type.

A `PeerId` is a device key followed by the id of one run of the program, because two folders on one
machine share a device key and are still two peers.
"""

from hashlib import blake2b
from typing import Final, NewType

__all__ = [
    "ADDRESS_SIZE",
    "INDEX",
    "Attempt",
    "DeviceKey",
    "DocId",
    "PeerId",
    "client_of",
    "device_of",
    "peer_id",
    "room_of",
]

DeviceKey = NewType("DeviceKey", bytes)
"""Raw Ed25519 public key of one installation, 32 bytes."""

PeerId = NewType("PeerId", bytes)
"""Device key (32 bytes) and instance (8 random bytes, new at every start)."""

DocId = NewType("DocId", bytes)
"""Eight random bytes that name one document for as long as the session lives."""

Attempt = NewType("Attempt", int)
"""Our own number for one try at a direct path; never sent."""

ADDRESS_SIZE: Final = 8
"""Bytes of an address as a room server gives it."""

CLIENT_BITS: Final = 53
"""Of a CRDT client id: as many as Yjs can hold, so that two runs never get the same."""

INDEX: Final = DocId(bytes(8))
"""The document that lists all others."""


def peer_id(device: DeviceKey, instance: bytes) -> PeerId:
    """Join the two halves of a peer's name."""
    return PeerId(device + instance)


def device_of(peer: PeerId) -> DeviceKey:
    """The device half of a peer's name."""
    return DeviceKey(peer[:32])


def room_of(address: bytes) -> bytes:
    """Which of the rooms that we are in has this address: what stands before the server's own bytes.

    Empty for the room of the server that the session names; the edge numbers those of a local network.
    """
    return address[:-ADDRESS_SIZE]


def client_of(peer: PeerId) -> int:
    """The CRDT client id of every edit that this run makes, from 1 to 2^53 - 1.

    It follows from the peer's name, so that nobody can come with the id of somebody else.
    """
    return int.from_bytes(blake2b(peer, digest_size=8).digest()) >> (64 - CLIENT_BITS) or 1
