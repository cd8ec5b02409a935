"""Which ranges of two sequences differ: the longest common subsequence, in a bounded time."""

from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterator, Sequence
from typing import Final

from rapidfuzz.distance import Indel

__all__ = ["CELLS_LIMIT", "changed", "exactly", "offsets", "spread"]

CELLS_LIMIT: Final = 1 << 24
"""Largest product of two lengths compared exactly: 2 MiB of bits and some 20 ms at this size."""


def changed(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Ranges of the two sequences that differ, from the front to the back."""
    names: dict[str, int] = {}
    left = [names.setdefault(item, len(names)) for item in old]
    right = [names.setdefault(item, len(names)) for item in new]
    if len(left) * len(right) <= CELLS_LIMIT:
        yield from exactly(left, right, 0, 0)
        return
    i = k = 0
    for j, m in [*_anchors(left, right), (len(left), len(right))]:
        yield from exactly(left[i:j], right[k:m], i, k)
        i, k = j, m


def exactly(
    left: Sequence[Hashable], right: Sequence[Hashable], i: int, k: int
) -> Iterator[tuple[int, int, int, int]]:
    """The same for parts that begin at *i* and *k*: as few items as can be, or all if they are too many."""
    if len(left) * len(right) > CELLS_LIMIT:
        yield i, i + len(left), k, k + len(right)
        return
    # Indel knows no replacements: it tells a deletion and an insertion at one place apart.
    a = c = 0
    for step in Indel.opcodes(left, right):
        if step.tag == "equal":
            if a < step.src_start or c < step.dest_start:
                yield i + a, i + step.src_start, k + c, k + step.dest_start
            a, c = step.src_end, step.dest_end
    if a < len(left) or c < len(right):
        yield i + a, i + len(left), k + c, k + len(right)


def _anchors(left: Sequence[int], right: Sequence[int]) -> list[tuple[int, int]]:
    """The longest run of pairs, in order on both sides, of items that occur once on each."""
    once_left = {item for item, count in Counter(left).items() if count == 1}
    once_right = {item for item, count in Counter(right).items() if count == 1}
    place = {item: index for index, item in enumerate(right) if item in once_right}
    pairs = [(index, place[item]) for index, item in enumerate(left) if item in once_left and item in place]
    return _rising(pairs)


def _rising(pairs: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The longest chain of pairs whose second members rise (patience sorting)."""
    tops: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for index, (_, value) in enumerate(pairs):
        pile = bisect_left(tops, value)
        before.append(ends[pile - 1] if pile else -1)
        if pile == len(tops):
            tops.append(value)
            ends.append(index)
        else:
            tops[pile], ends[pile] = value, index
    chain: list[tuple[int, int]] = []
    at = ends[-1] if ends else -1
    while at >= 0:
        chain.append(pairs[at])
        at = before[at]
    return chain[::-1]


def spread(*texts: Sequence[str]) -> list[list[int]]:
    """For each text a number for each letter, the same only for the same letter of the same word."""
    names: dict[tuple[str, int], int] = {}
    spread = ([(word, at) for word in words for at in range(len(word))] for words in texts)
    return [[names.setdefault(letter, len(names)) for letter in letters] for letters in spread]


def offsets(parts: Sequence[str]) -> list[int]:
    """Where each part begins in the text that they make together, and where the last one ends."""
    at = [0]
    for part in parts:
        at.append(at[-1] + len(part))
    return at
