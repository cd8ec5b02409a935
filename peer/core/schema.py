"""What our documents are made of: one root each, holding plain text or plain values, and nothing nested.

The numbers are those of Yjs V1 updates (`src/structs` of github.com/yjs/yjs) and of lib0's encoding.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

__all__ = [
    "ANY",
    "BARE",
    "BYTES_VALUE",
    "CONTENT_BITS",
    "DELETED",
    "FIXED_VALUES",
    "GC",
    "HAS_KEY",
    "HAS_LEFT",
    "HAS_NEIGHBOUR",
    "HAS_RIGHT",
    "INTEGER_VALUE",
    "SCHEMAS",
    "SKIP",
    "STRING",
    "STRING_VALUE",
    "Kind",
    "Schema",
]

# the low five bits of a struct's first byte say what it holds, the high ones what precedes the content
GC: Final = 0
DELETED: Final = 1
STRING: Final = 4
ANY: Final = 8
SKIP: Final = 10
CONTENT_BITS: Final = 0x1F
HAS_KEY: Final = 0x20
HAS_RIGHT: Final = 0x40
HAS_LEFT: Final = 0x80
HAS_NEIGHBOUR: Final = HAS_LEFT | HAS_RIGHT
BARE: Final = frozenset({GC, SKIP})

FIXED_VALUES: Final = {127: 0, 126: 0, 121: 0, 120: 0, 124: 4, 123: 8, 122: 8}
"""Bytes that follow the type byte of undefined, null, false, true, float, double and big integer."""
INTEGER_VALUE: Final = 125
STRING_VALUE: Final = 119
BYTES_VALUE: Final = 116


class Kind(Enum):
    """What a document may hold; the value is the name of its root."""

    TEXT = "text"
    """A text."""
    INDEX = "files"
    """A map of plain values."""


@dataclass(frozen=True, slots=True)
class Schema:
    """What updates of one kind of document are made of.

    Attributes:
        parent: how an item without neighbours names the root, byte for byte.
        infos: the first bytes that a struct may have.
    """

    parent: bytes
    infos: frozenset[int]


def combine(contents: tuple[int, ...], flags: tuple[int, ...]) -> frozenset[int]:
    """Every content with every combination of flags, and what has neither."""
    return BARE | {content | flag for content in contents for flag in flags}


def parent(kind: Kind) -> bytes:
    """1: a root, given by name, which is short enough for a length of one byte."""
    return bytes((1, len(kind.value))) + kind.value.encode()


BESIDE: Final = (HAS_LEFT, HAS_RIGHT, HAS_NEIGHBOUR)
BESIDE_WITH_KEY: Final = (HAS_LEFT | HAS_KEY, HAS_RIGHT | HAS_KEY, HAS_NEIGHBOUR | HAS_KEY)

SCHEMAS: Final = {
    Kind.TEXT: Schema(parent(Kind.TEXT), combine((DELETED, STRING), (0, *BESIDE))),
    # an entry without neighbours must name its key; with neighbours it may say that it has one
    Kind.INDEX: Schema(parent(Kind.INDEX), combine((DELETED, ANY), (HAS_KEY, *BESIDE, *BESIDE_WITH_KEY))),
}
