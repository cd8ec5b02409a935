"""How much of each client's work one document holds, and how much it knows to be missing.

The engine keeps what cannot be placed yet to itself and does not say so; here that is worked out from
what each update brings and presupposes, so that asking the engine is only needed when something is
missing.
"""

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from itertools import chain
from struct import pack
from typing import Final

from peer.core.guard import CLIENT_LIMIT, UpdateSummary, check_update, without_clients
from peer.core.halves import Halves
from peer.core.schema import Kind
from peer.core.varints import encode_varint
from peer.errors import Refused, TooLarge

__all__ = ["Clocks", "fingerprint"]

Ranges = dict[int, list[tuple[int, int]]]
"""Per client, starts and ends."""

WAITING_COST: Final = 256
"""Bytes that keeping one update costs besides its own, so that many small ones are bounded too."""


class Clocks:
    """Per client, how many clocks are known, and how many there must be.

    Attributes:
        known: how many clocks of each client the engine has placed.
        waiting: updates of which some part could not be placed, until all of them are.
        waiting_size: the bytes that they cost.
        halves: where letters must not be cut.
    """

    def __init__(self) -> None:
        self.known: dict[int, int] = {}
        self._missing: dict[int, int] = {}
        self.waiting: list[bytes] = []
        self.waiting_size = 0
        self.halves = Halves()

    @property
    def has_missing(self) -> bool:
        """Whether an update waits for another one that is not here."""
        return bool(self._missing)

    def refuse_crowds(self, summary: UpdateSummary) -> None:
        """Refuse more clients than a document may have.

        Raises:
            TooLarge: with those of the update there would be.
        """
        if len(self.known) + len(summary.structs) > CLIENT_LIMIT:
            clients = len({*self.known, *self._missing, *summary.structs})
            if clients > CLIENT_LIMIT:
                raise TooLarge("the number of clients of a document", clients, CLIENT_LIMIT)

    def fits(self, summary: UpdateSummary) -> bool:
        """Whether everything that an update presupposes is here, so that all of it can be placed."""
        known = self.known
        structs = summary.structs
        if summary.has_gaps:
            return False
        for client, (first, _) in structs.items():
            if first > known.get(client, 0):
                return False
        for client, clock in summary.needs.items():
            if clock > known.get(client, 0) and (client not in structs or clock > structs[client][1]):
                return False
        return True

    def with_whole_letters(
        self, update: bytes, summary: UpdateSummary, *, live: bool
    ) -> tuple[bytes, UpdateSummary]:
        """An update without what goes through a letter, one that is here or one that it brings.

        Raises:
            Refused: there is such a thing in it, and it is *live*, so that its sender made that.  In a
                state it may be anybody's, and those who had it before the letter could not know.  Their
                engines may have cut what the letter's author made, too, so that is kept.
        """
        if not self.halves and not summary.halves:
            return update, summary
        new = Halves()
        new.add(summary.halves)

        def splits(client: int, clock: int) -> bool:
            return self.halves.splits(client, clock) or new.splits(client, clock)

        cuts = check_update(update, Kind.TEXT, splits=splits).cuts
        deletes = rounded(summary.deletes, splits)
        if not cuts and deletes == summary.deletes:
            return update, summary
        if live:
            raise Refused("an update cuts a letter in two")
        cutters = frozenset(client for client, author in cuts if client != author)
        kept = without_clients(update[: summary.body_end], summary, cutters)
        whole = kept + encode_deletes(deletes)
        return whole, check_update(whole, Kind.TEXT)

    def note(self, summary: UpdateSummary) -> None:
        """An update that fits was placed."""
        for client, (_, end) in summary.structs.items():
            if end > self.known.get(client, 0):
                self.known[client] = end
        self.halves.add(summary.halves)

    def advance(self, client: int, count: int) -> None:
        """*client* made *count* more."""
        self.known[client] = self.known.get(client, 0) + count

    def miss(self, summary: UpdateSummary, update: bytes) -> None:
        """An update was taken in that may have to wait: remember what must come; then `refresh`."""
        self.halves.add(summary.halves)
        self.waiting.append(update)
        self.waiting_size += len(update) + WAITING_COST
        for client, (_, end) in summary.structs.items():
            self._missing[client] = max(end, self._missing.get(client, 0))
        for client, clock in summary.needs.items():
            self._missing[client] = max(clock, self._missing.get(client, 0))

    def refresh(self, known: dict[int, int]) -> None:
        """This is what is known, according to the engine."""
        self.known = known
        self._missing = {c: clock for c, clock in self._missing.items() if clock > known.get(c, 0)}
        if not self._missing:
            self.waiting.clear()
            self.waiting_size = 0


def rounded(deletes: Ranges, splits: Callable[[int, int], bool]) -> Ranges:
    """Deleted ranges without the halves of letters at their ends."""
    whole: Ranges = {}
    for client, ranges in deletes.items():
        ends = [(a + splits(client, a), b - splits(client, b)) for a, b in ranges]
        if kept := [(start, end) for start, end in ends if start < end]:
            whole[client] = kept
    return whole


def encode_deletes(deletes: Ranges) -> bytes:
    """Deleted ranges as an update ends with them."""
    numbers = [len(deletes)]
    for client, ranges in deletes.items():
        numbers += [client, len(ranges), *chain.from_iterable((a, b - a) for a, b in ranges)]
    return b"".join(map(encode_varint, numbers))


def fingerprint(
    known: Mapping[int, int], deletes: Mapping[int, Iterable[tuple[int, int]]], text: str = ""
) -> bytes:
    """Sixteen bytes that are equal for two documents exactly if these hold the same.

    BLAKE2b over numbers of eight bytes, big-endian: how many clients have clocks, then each such client
    and its clock; then each client of which something is deleted, how many ranges, and each range's
    start and end.  Clients and ranges ascend, and ranges that touch are one range.  Then the text, in UTF-8:
    whoever tells two people different things for the same clocks must not go unnoticed.
    """
    clocks = sorted((client, clock) for client, clock in known.items() if clock)
    numbers = [len(clocks), *chain.from_iterable(clocks)]
    for client in sorted(deletes):
        ranges = joined(deletes[client])
        numbers += [client, len(ranges), *chain.from_iterable(ranges)]
    return blake2b(pack(f">{len(numbers)}Q", *numbers) + text.encode(), digest_size=16).digest()


def joined(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same ranges in ascending order, each as long as can be."""
    result: list[tuple[int, int]] = []
    for start, end in sorted(ranges):
        if result and start <= result[-1][1]:
            result[-1] = (result[-1][0], max(end, result[-1][1]))
        else:
            result.append((start, end))
    return result
