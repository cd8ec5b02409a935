"""What stands between a peer's bytes and the CRDT engine: a bounded parser of Yjs V1 updates.

The engine believes every count and length, recurses into nested values and accepts clocks that are not
there; so nothing reaches it that was not read here first.  Our schema is flat (one root per document,
plain text or plain values), and every content that it never uses is refused, which leaves no nesting to
bound.  Format: github.com/yjs/yjs, `src/utils/encoding.js`, `src/structs`; values: lib0 `encoding.js`.
"""

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Final

from peer.core.halves import halves_in
from peer.core.schema import (
    BARE,
    BYTES_VALUE,
    CONTENT_BITS,
    DELETED,
    FIXED_VALUES,
    HAS_KEY,
    HAS_LEFT,
    HAS_NEIGHBOUR,
    HAS_RIGHT,
    INTEGER_VALUE,
    SCHEMAS,
    SKIP,
    STRING,
    STRING_VALUE,
    Kind,
    Schema,
)
from peer.core.varints import encode_varint, long_varint, varint
from peer.errors import Malformed, Refused, TooLarge

__all__ = [
    "CLIENT_LIMIT",
    "CLOCK_LIMIT",
    "ENTRY_LIMIT",
    "KEY_LIMIT",
    "UPDATE_LIMIT",
    "VALUE_LIMIT",
    "Kind",
    "UpdateSummary",
    "check_state_vector",
    "check_update",
    "refuse_others",
    "without_clients",
]

UPDATE_LIMIT: Final = 32 * 1024 * 1024
"""Bytes of one update: the largest document state that we hold, so that what we hold can be sent."""
CLIENT_LIMIT: Final = 10_000
"""Clients of one document; each stays in the state vector, which is sent at every sync, for ever."""
ENTRY_LIMIT: Final = 1_000_000
"""Structs and deleted ranges of one update: about a second of parsing here, far above real histories."""
CLOCK_LIMIT: Final = 2**31
"""Clocks end below this: the engine counts them in 32 bits and wraps silently."""
RUN_LIMIT: Final = 2**28
"""Length of a struct or range that carries no content: more than anybody deletes in one document."""
KEY_LIMIT: Final = 256
"""Bytes of a key in the index."""
VALUE_LIMIT: Final = 64 * 1024
"""Bytes of a text or byte string in the index; the longest is a path."""


@dataclass(slots=True)
class UpdateSummary:
    """What an update brings and what it presupposes.

    Attributes:
        structs: per client that made something, its first clock and the clock after its last.
        needs: per client, the clock below which everything must be known before this can be taken in:
            neighbours and deleted ranges.
        deletes: per client, the deleted ranges as start and end, in the order given.
        spans: per client in *structs*, where its part begins and ends in the bytes.
        body_start, body_end: where the first such part begins and the last ends.
        has_gaps: clocks between *first* and *end* of some client are left out.
        halves: per client, the clocks of the second halves of letters that take two, ascending.
        splits: whether a cut before this clock of this client goes through a letter; `None`: not asked.
        cuts: clients whose work does that, each with whose letter it was.
        size: bytes of the update.
    """

    size: int
    structs: dict[int, tuple[int, int]] = field(default_factory=dict)
    needs: dict[int, int] = field(default_factory=dict)
    deletes: dict[int, list[tuple[int, int]]] = field(default_factory=dict)
    spans: dict[int, tuple[int, int]] = field(default_factory=dict)
    body_start: int = 0
    body_end: int = 0
    has_gaps: bool = False
    entries: int = 0
    halves: dict[int, list[int]] = field(default_factory=dict)
    splits: Callable[[int, int], bool] | None = None
    cuts: set[tuple[int, int]] = field(default_factory=set)

    def need(self, client: int, clock: int) -> None:
        """Note that everything of *client* below *clock* must be known."""
        if clock > self.needs.get(client, 0):
            self.needs[client] = clock

    def count(self, entries: int, room: int) -> None:
        """Add *entries* to come; there must be *room* for them.

        Raises:
            Malformed: a count without content.
            TooLarge: more than `ENTRY_LIMIT` altogether.
        """
        if not 0 < entries <= room:
            raise Malformed(f"an update announces {entries} entries and has room for {room}")
        self.entries += entries
        if self.entries > ENTRY_LIMIT:
            raise TooLarge("the number of entries in an update", self.entries, ENTRY_LIMIT)


def check_state_vector(data: bytes) -> dict[int, int]:
    """Read a state vector: per client, how many clocks are known.

    Raises:
        Malformed: it does not follow the format.
        TooLarge: it has more than `CLIENT_LIMIT` clients.
    """
    try:
        clients, at = varint(data, 0)
        check_clients(clients, len(data) - at)
        known: dict[int, int] = {}
        for _ in range(clients):
            client, at = varint(data, at)
            known[client], at = varint(data, at)
            check_clock(known[client])
    except IndexError as error:
        raise Malformed("a state vector ends in the middle") from error
    if at != len(data) or len(known) != clients:
        raise Malformed("a state vector has bytes after its end, or names a client twice")
    return known


def check_update(
    data: bytes, kind: Kind, limit: int = UPDATE_LIMIT, splits: Callable[[int, int], bool] | None = None
) -> UpdateSummary:
    """Read an update for a document of *kind*, at most *limit* bytes long; see who *splits* letters.

    Raises:
        Malformed: it does not follow the format, or its numbers cannot be true.
        TooLarge: it is longer, or has more entries or clients, than we agreed to hold.
        Refused: it holds something that a document of this kind never does.
    """
    summary = UpdateSummary(len(data), splits=splits)
    if summary.size > limit:
        raise TooLarge("an update", summary.size, limit)
    try:
        at = read_structs(data, SCHEMAS[kind], summary)
        at = read_deletes(data, at, summary)
    except IndexError as error:
        raise Malformed("an update ends in the middle") from error
    if at != summary.size:
        raise Malformed("an update has bytes after its end, or ends in the middle")
    return summary


def without_clients(data: bytes, summary: UpdateSummary, clients: frozenset[int]) -> bytes:
    """Leave out what *clients* made, and keep everything else, deletions included, as it is."""
    kept = [data[start:end] for client, (start, end) in summary.spans.items() if client not in clients]
    return encode_varint(len(kept)) + b"".join(kept) + data[summary.body_end :]


def refuse_others(summary: UpdateSummary, clients: Container[int]) -> None:
    """Refuse what was made by anybody but *clients*.

    Raises:
        Refused: the update holds work of somebody else.
    """
    for client in summary.structs:
        if client not in clients:
            raise Refused(f"an edit holds work of client {client}, who is somebody else")


# --- structs ------------------------------------------------------------------------------------------


def read_structs(data: bytes, schema: Schema, summary: UpdateSummary) -> int:
    """Read what each client made; return where the deletions begin."""
    clients, at = varint(data, 0)
    check_clients(clients, summary.size - at)
    summary.body_start = at
    for _ in range(clients):
        start = at
        count, at = varint(data, at)
        client, at = varint(data, at)
        first, at = varint(data, at)
        check_clock(first)
        if summary.splits is not None and summary.splits(client, first):
            summary.cuts.add((client, client))
        summary.count(count, summary.size - at)
        if client in summary.structs:
            raise Malformed("an update names a client twice")
        end, at = read_run(data, at, schema, summary, client, first, count)
        summary.structs[client] = (first, end)
        summary.spans[client] = (start, at)
    summary.body_end = at
    return at


def read_run(
    data: bytes, at: int, schema: Schema, summary: UpdateSummary, client: int, clock: int, count: int
) -> tuple[int, int]:
    """Read *count* structs of *client* from *clock* on; return the clock and the place after them."""
    infos = schema.infos
    for _ in range(count):
        info = data[at]
        if info not in infos:
            raise Refused(
                f"an update holds content of type {info & CONTENT_BITS} that this document never does"
            )
        if info in BARE:
            length, at = run_length(data, at + 1)
            summary.has_gaps |= info == SKIP
        else:
            at = read_place(data, at + 1, info, schema, summary, client, clock)
            length, at = read_content(data, at, info, summary, client, clock)
        clock += length
        if clock >= CLOCK_LIMIT:
            raise Malformed(f"an update counts up to {clock}")
    return clock, at


def read_place(
    data: bytes, at: int, info: int, schema: Schema, summary: UpdateSummary, client: int, clock: int
) -> int:
    """Read where an item belongs: beside its neighbours, or, without any, in the root."""
    if info & HAS_LEFT:
        at = read_neighbour(data, at, summary, client, clock, 1)
    if info & HAS_RIGHT:
        at = read_neighbour(data, at, summary, client, clock, 0)
    if info & HAS_NEIGHBOUR:
        return at
    parent = schema.parent
    if not data.startswith(parent, at):
        raise Refused("an update is for a part that this document does not have")
    at += len(parent)
    if info & HAS_KEY:
        at = string_end(data, at, KEY_LIMIT)
    return at


def read_neighbour(data: bytes, at: int, summary: UpdateSummary, client: int, clock: int, cut: int) -> int:
    """Read the id of a neighbour, which must be older than the item itself; the cut is *cut* behind it."""
    # one-byte numbers are read in place: this runs for every key stroke
    other = data[at]
    at += 1
    if other > 127:
        other, at = long_varint(data, at, other)
    neighbour = data[at]
    at += 1
    if neighbour > 127:
        neighbour, at = long_varint(data, at, neighbour)
    if neighbour >= (clock if other == client else CLOCK_LIMIT):
        raise Malformed("an item stands beside one that does not exist yet")
    summary.need(other, neighbour + 1)
    if summary.splits is not None and summary.splits(other, neighbour + cut):
        summary.cuts.add((client, other))
    return at


def read_content(
    data: bytes, at: int, info: int, summary: UpdateSummary, client: int, clock: int
) -> tuple[int, int]:
    """Read what an item holds; return how many clocks it takes, and the place after it."""
    content = info & CONTENT_BITS
    if content == STRING:
        return read_text(data, at, summary, client, clock)
    if content == DELETED:
        return run_length(data, at)
    count, at = varint(data, at)
    if not 0 < count <= len(data) - at:
        raise Malformed(f"an update announces {count} values and has room for {len(data) - at}")
    for _ in range(count):
        at = value_end(data, at)
    return count, at


def read_text(data: bytes, at: int, summary: UpdateSummary, client: int, clock: int) -> tuple[int, int]:
    """Read a text; return its length in UTF-16 units, which is what clocks count, and where it ends."""
    size = data[at]
    at += 1
    if size > 127:
        size, at = long_varint(data, at, size)
    end = at + size
    piece = data[at:end]
    if not size or len(piece) != size:
        raise Malformed("a text in an update is empty, or ends in the middle")
    if piece.isascii():
        return size, end
    text = decoded(piece)
    halves = halves_in(text, clock)
    if halves:
        summary.halves.setdefault(client, []).extend(halves)
    return len(text) + len(halves), end


def decoded(piece: bytes) -> str:
    """A text in UTF-8."""
    try:
        return piece.decode()
    except UnicodeDecodeError as error:
        raise Malformed("a text in an update is not UTF-8") from error


def value_end(data: bytes, at: int) -> int:
    """Pass over one plain value of the index."""
    kind = data[at]
    at += 1
    fixed = FIXED_VALUES.get(kind)
    if fixed is not None:
        return at + fixed
    if kind == INTEGER_VALUE:
        return long_varint(data, at, 0x80)[1]
    if kind == STRING_VALUE:
        return string_end(data, at, VALUE_LIMIT)
    if kind == BYTES_VALUE:
        return sized_end(data, at, VALUE_LIMIT)[1]
    raise Refused(f"an update holds a value of type {kind}; the index holds plain values only")


# --- deletions -------------------------------------------------------------------------------------------


def read_deletes(data: bytes, at: int, summary: UpdateSummary) -> int:
    """Read the deleted ranges; return where they end."""
    clients, at = varint(data, at)
    check_clients(clients, summary.size - at)
    for _ in range(clients):
        client, at = varint(data, at)
        count, at = varint(data, at)
        summary.count(count, (summary.size - at) // 2)
        if client in summary.deletes:
            raise Malformed("an update names a client twice")
        ranges = summary.deletes[client] = []
        for _ in range(count):
            start, at = varint(data, at)
            length, at = run_length(data, at)
            end = start + length
            check_clock(end)
            ranges.append((start, end))
            summary.need(client, end)
    return at


# --- numbers and strings -----------------------------------------------------------------------------------


def check_clients(clients: int, room: int) -> None:
    """Refuse a number of clients for which there is no room, or that we would not keep."""
    if clients * 2 > room:
        raise Malformed(f"{clients} clients are announced and there is room for {room // 2}")
    if clients > CLIENT_LIMIT:
        raise TooLarge("the number of clients", clients, CLIENT_LIMIT)


def check_clock(clock: int) -> None:
    """Refuse a clock that the engine could not count."""
    if clock >= CLOCK_LIMIT:
        raise Malformed(f"an update counts up to {clock}")


def run_length(data: bytes, at: int) -> tuple[int, int]:
    """Read the length of something without content."""
    length, at = varint(data, at)
    if not length:
        raise Malformed("an update holds something of no length")
    if length > RUN_LIMIT:
        raise TooLarge("the length of a deletion or gap", length, RUN_LIMIT)
    return length, at


def sized_end(data: bytes, at: int, limit: int) -> tuple[int, int]:
    """Read the size of a byte string; return where it begins and ends."""
    size, at = varint(data, at)
    if size > limit:
        raise TooLarge("a key or value of the index", size, limit)
    if at + size > len(data):
        raise Malformed("a value in an update ends in the middle")
    return at, at + size


def string_end(data: bytes, at: int, limit: int) -> int:
    """Pass over a string, which must be UTF-8."""
    start, end = sized_end(data, at, limit)
    piece = data[start:end]
    if not piece.isascii():
        decoded(piece)
    return end
