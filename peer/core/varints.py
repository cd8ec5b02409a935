"""Numbers of changing length as Yjs writes them: seven bits to the byte, the lowest first."""

from typing import Final

from peer.errors import Malformed

__all__ = ["INTEGER_LIMIT", "encode_varint", "long_varint", "varint"]

INTEGER_LIMIT: Final = 2**53
"""Numbers are below this, as in JavaScript."""

REMEMBERED: Final = 4096
"""Numbers of eight bytes that are known by sight: each edit names three of the same few client ids."""

_client_ids: dict[bytes, int] = {}


def varint(data: bytes, at: int) -> tuple[int, int]:
    """Read a number; return it and the place after it.

    Raises:
        IndexError: the bytes end first.
        Malformed: it takes more than 53 bits.
    """
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    return long_varint(data, at + 1, byte)


def long_varint(data: bytes, at: int, byte: int) -> tuple[int, int]:
    """Go on reading a number whose first *byte* says that there is more."""
    known = _client_ids.get(data[at - 1 : at + 7])
    if known is not None:
        return known, at + 7
    start, first = at, byte
    value = byte & 127
    shift = 7
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            break
        shift += 7
        if shift > 49:
            raise Malformed("a number in an update takes more than 53 bits")
    if value >= INTEGER_LIMIT:
        raise Malformed("a number in an update takes more than 53 bits")
    if at - start == 7 and data[start - 1] == first:
        if len(_client_ids) >= REMEMBERED:
            _client_ids.clear()
        _client_ids[data[start - 1 : at]] = value
    return value, at


def encode_varint(value: int) -> bytes:
    """Write a number, seven bits to the byte, the lowest first."""
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
