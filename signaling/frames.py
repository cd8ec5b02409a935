"""Relayed frames: one byte of type, one address, and a payload that the server cannot read."""

from typing import Final, NamedTuple

__all__ = [
    "ADDRESS_BYTES",
    "FRAME_HEADER_BYTES",
    "Malformed",
    "Relayed",
    "address_of",
    "pack_frame",
    "readdress",
    "unpack_frame",
]

ADDRESS_BYTES: Final = 8
"""Length of an address: cannot be guessed within one connection, and short next to a key stroke."""

FRAME_HEADER_BYTES: Final = 1 + ADDRESS_BYTES
"""What precedes the payload of a relayed frame: its type and one address."""

_RELAYED: Final = b"\x01"


class Malformed(ValueError):
    """Bytes that do not follow `docs/protocol-signaling.md`; the only error that decoding raises."""


class Relayed(NamedTuple):
    """A relayed frame: *address* is the receiver on the way up and the sender on the way down."""

    address: bytes
    payload: bytes


def pack_frame(address: bytes, payload: bytes) -> bytes:
    """Write a relayed frame; *address* must have `ADDRESS_BYTES` bytes."""
    return b"".join((_RELAYED, address, payload))


def unpack_frame(frame: bytes) -> Relayed | None:
    """Read a relayed frame; None if it is a binary message of a type that we do not know.

    Raises:
        Malformed: it is empty, or too short to hold an address.
    """
    address = address_of(frame)
    return None if address is None else Relayed(address, frame[FRAME_HEADER_BYTES:])


def address_of(frame: bytes) -> bytes | None:
    """The address in a relayed frame, as `unpack_frame` would find it, without touching the payload.

    Raises:
        Malformed: as `unpack_frame`.
    """
    if frame[:1] == _RELAYED:
        if len(frame) < FRAME_HEADER_BYTES:
            raise Malformed(f"a frame of {len(frame)} bytes is too short for an address")
        return frame[1:FRAME_HEADER_BYTES]
    if not frame:
        raise Malformed("a binary message needs at least a type")
    return None


def readdress(frame: bytes, address: bytes) -> bytes:
    """The same relayed frame with another address in it."""
    return _RELAYED + address + frame[FRAME_HEADER_BYTES:]
