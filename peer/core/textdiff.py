"""What changed between two texts, as few and as meaningful pieces as a bounded time allows.

Common ends are cut off first.  What is left is compared by lines, split at lines that occur once in
both texts when it is large; what changed is compared by words; and a changed word keeps its common
ends.  Letters are compared only where that keeps far more of the old text, as when something was put
into the middle of a word: matching single letters of two different words finds crumbs, and an
insertion that others made meanwhile would land between such crumbs.
"""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rapidfuzz.distance import Indel

from peer.core.edits import Edit

__all__ = ["Hunk", "common_ends", "diff", "hunks", "missing"]

CELLS_LIMIT: Final = 1 << 24
"""Largest product of two lengths compared exactly: 2 MiB of bits and some 20 ms at this size."""

WORDS_LIMIT: Final = 1 << 16
"""Most letters of a changed hunk that are cut into words; a larger one is replaced as a whole."""

LINE_LIMIT: Final = 4096
"""Letters of a line at most that are looked at again for being in the same line as a change."""

CRUMB_LIMIT: Final = 4
"""Signs and spaces that two changed words have between them by chance."""

SLIDE_LIMIT: Final = 256
"""Letters that a hunk is moved at most to find a better place for it; some lines."""

_OPENING: Final = frozenset("([{<«‹„“‘「『（【《#@$")
_CLOSING: Final = frozenset(")]}>»›”’」』）】》.,;:!?。、，")

_EXTEND: Final = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u0900-\u0903\u093a-\u094f"
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff\u200d\u20d0-\u20ff\u3099\u309a"
    "\ufe00-\ufe0f\ufe20-\ufe2f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f\U000e0100-\U000e01ef"
)
"""Code points that a reader sees as part of the one before them."""

_IDEOGRAPHS: Final = "\u2e80-\u9fff\ua000-\ua4cf\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff"
"""Letters of scripts that write no spaces: each is a word of its own."""

_CLUSTER: Final = f"(?:\r\n|[\U0001f1e6-\U0001f1ff]{{2}}|.(?:[{_EXTEND}]|(?<=\u200d).)*)"
_WORDS: Final = re.compile(f"(?:[^\\W{_IDEOGRAPHS}]|(?<=\\w)[{_EXTEND}])+|{_CLUSTER}", re.DOTALL)
_LETTER: Final = re.compile(r"\w")
_DIGIT: Final = re.compile(r"\d")
_LETTERS: Final = re.compile(_CLUSTER, re.DOTALL)
_JOINED: Final = re.compile(f"[{_EXTEND}]")


@dataclass(frozen=True, slots=True)
class Hunk:
    """The letters from *start* to *end* of the old text became *inserted*."""

    start: int
    end: int
    inserted: str


def diff(old: str, new: str) -> list[Edit]:
    """Edits, from the front to the back, that turn *old* into *new*; none when they are equal."""
    edits, shift = list[Edit](), 0
    for hunk in hunks(old, new):
        edits.append(Edit(hunk.start + shift, hunk.end - hunk.start, hunk.inserted))
        shift += len(hunk.inserted) - (hunk.end - hunk.start)
    return edits


def hunks(old: str, new: str) -> list[Hunk]:
    """What changed, in positions of *old*, from the front to the back; no two of them touch."""
    if old == new:
        return []
    front = _line_start(old, _whole(old, new, common_prefix(old, new)))
    back = common_suffix(old, new, min(len(old), len(new)) - front)
    back = len(old) - _next_line(old, len(old) - back)
    middle = _compare_lines(old[front : len(old) - back], new[front : len(new) - back])
    return _settled(old, _joined(old, (Hunk(h.start + front, h.end + front, h.inserted) for h in middle)))


def missing(old: str, new: str) -> list[tuple[int, int]]:
    """Where *old* has words that are not in *new*, in the same order; it says nothing of what people did."""
    front = common_prefix(old, new)
    back = common_suffix(old, new, min(len(old), len(new)) - front)
    b, d = len(old) - back, len(new) - back
    if (b - front) * (d - front) > CELLS_LIMIT:
        return [(hunk.start, hunk.end) for hunk in hunks(old, new)]
    left, right = _spread(_WORDS.findall(old, front, b), _WORDS.findall(new, front, d))
    return [(front + i, front + j) for i, j, _, _ in _exactly(left, right, 0, 0)]


def _line_start(text: str, at: int) -> int:
    """Step back to the beginning of a line, or it would not be known as the line that it is."""
    start = text.rfind("\n", max(0, at - LINE_LIMIT), at) + 1
    return start if start or at <= LINE_LIMIT else at


def _next_line(text: str, at: int) -> int:
    """Step forward to the beginning of a line."""
    end = text.find("\n", max(0, at - 1), at + LINE_LIMIT) + 1
    return end or (len(text) if at + LINE_LIMIT >= len(text) else at)


def common_ends(one: bytes, two: bytes) -> int:
    """How many bytes the two begin with and end with alike."""
    left, right = one.decode("latin-1"), two.decode("latin-1")
    front = common_prefix(left, right)
    return front + common_suffix(left, right, min(len(left), len(right)) - front)


def common_prefix(one: str, two: str) -> int:
    """How many letters both begin with; halving with slices compares at the speed of memory."""
    low, high = 0, min(len(one), len(two))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == two[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def common_suffix(one: str, two: str, limit: int) -> int:
    """How many letters both end with, at most *limit*."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if one[len(one) - middle : len(one) - low] == two[len(two) - middle : len(two) - low]:
            low = middle
        else:
            high = middle - 1
    return low


def _whole(old: str, new: str, front: int) -> int:
    """Step back to where neither text is cut inside what a reader sees as one letter."""
    while _cuts(old, front) or _cuts(new, front):
        front -= 1
    return front


def _cuts(text: str, at: int) -> bool:
    if not 0 < at < len(text):
        return False
    return text[at - 1] == "\u200d" or text[at - 1 : at + 1] == "\r\n" or _JOINED.match(text, at) is not None


def _compare_lines(old: str, new: str) -> Iterator[Hunk]:
    if not old or not new:
        yield Hunk(0, len(old), new)
        return
    old_lines, new_lines = old.splitlines(keepends=True), new.splitlines(keepends=True)
    old_at, new_at = _offsets(old_lines), _offsets(new_lines)
    for a, b, c, d in _changed(old_lines, new_lines):
        yield from _compare_words(old, new, old_at[a], old_at[b], new_at[c], new_at[d])


def _compare_words(old: str, new: str, a: int, b: int, c: int, d: int) -> Iterable[Hunk]:
    """Compare `old[a:b]` with `new[c:d]` word by word, or letter by letter if that keeps far more."""
    whole = [_tight(old, new, a, b, c, d)]
    if (b - a) + (d - c) > WORDS_LIMIT or not _is_mixed(whole):
        return whole
    if (b - a) * (d - c) > CELLS_LIMIT:
        return _compare_parts(_WORDS, old, new, a, b, c, d)
    by_words = _compare_weighed(old, new, a, b, c, d)
    if not _is_mixed(by_words):
        return by_words
    by_letters = _compare_parts(_LETTERS, old, new, a, b, c, d)
    fine = 4 * _deleted(by_letters) <= _deleted(by_words) and not _renumbers(old, by_letters)
    return by_letters if fine else by_words


def _compare_parts(part: re.Pattern[str], old: str, new: str, a: int, b: int, c: int, d: int) -> list[Hunk]:
    old_parts, new_parts = part.findall(old, a, b), part.findall(new, c, d)
    old_at, new_at = _offsets(old_parts), _offsets(new_parts)
    return [
        _tight(old, new, a + old_at[i], a + old_at[j], c + new_at[k], c + new_at[m])
        for i, j, k, m in _changed(old_parts, new_parts)
    ]


def _compare_weighed(old: str, new: str, a: int, b: int, c: int, d: int) -> list[Hunk]:
    """Compare word by word, where a word counts as much as it has letters.

    Otherwise five brackets and spaces of different words, found in the same order, would count for more
    than the one word between them that stayed, and that word would be deleted and written again.
    """
    left, right = _spread(_WORDS.findall(old, a, b), _WORDS.findall(new, c, d))
    return [_tight(old, new, a + i, a + j, c + k, c + m) for i, j, k, m in _exactly(left, right, 0, 0)]


def _spread(*texts: Sequence[str]) -> list[list[int]]:
    """For each text a number for each letter, the same only for the same letter of the same word."""
    names: dict[tuple[str, int], int] = {}
    spread = ([(word, at) for word in words for at in range(len(word))] for words in texts)
    return [[names.setdefault(letter, len(names)) for letter in letters] for letters in spread]


def _is_mixed(found: Sequence[Hunk]) -> bool:
    """Whether letters were both deleted and inserted."""
    return any(hunk.inserted for hunk in found) and _deleted(found) > 0


def _deleted(found: Sequence[Hunk]) -> int:
    return sum(hunk.end - hunk.start for hunk in found)


def _tight(old: str, new: str, a: int, b: int, c: int, d: int) -> Hunk:
    """One replacement, without the ends that both sides share, if these are most of it."""
    gone, come = old[a:b], new[c:d]
    front = _whole(gone, come, common_prefix(gone, come))
    back = common_suffix(gone, come, min(len(gone), len(come)) - front)
    while back and (_cuts(gone, len(gone) - back) or _cuts(come, len(come) - back)):
        back -= 1
    if front + back < min(len(gone), len(come)) and 2 * (front + back) < max(len(gone), len(come)):
        return Hunk(a, b, come)
    tight = Hunk(a + front, b - back, come[front : len(come) - back])
    return Hunk(a, b, come) if _renumbers(old, (tight,)) else tight


def _renumbers(old: str, found: Sequence[Hunk]) -> bool:
    """Whether digits took the place of something: item 12 and item 13 are two items, not one renamed."""
    changed = "".join(old[hunk.start : hunk.end] + hunk.inserted for hunk in found)
    return _is_mixed(found) and _DIGIT.search(changed) is not None


def _changed(old: Sequence[str], new: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Ranges of the two sequences that differ, from the front to the back."""
    names: dict[str, int] = {}
    left = [names.setdefault(item, len(names)) for item in old]
    right = [names.setdefault(item, len(names)) for item in new]
    if len(left) * len(right) <= CELLS_LIMIT:
        yield from _exactly(left, right, 0, 0)
        return
    i = k = 0
    for j, m in [*_anchors(left, right), (len(left), len(right))]:
        yield from _exactly(left[i:j], right[k:m], i, k)
        i, k = j, m


def _exactly(
    left: Sequence[Hashable], right: Sequence[Hashable], i: int, k: int
) -> Iterator[tuple[int, int, int, int]]:
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


def _settled(old: str, found: list[Hunk]) -> list[Hunk]:
    """Move each hunk, or its ends, to where a reader would say that it begins and ends."""
    slid: list[Hunk] = []
    for index, hunk in enumerate(found):
        first = slid[-1].end + 1 if slid else 0
        last = found[index + 1].start - 1 if index + 1 < len(found) else len(old)
        slid.append(hunk if _is_mixed((hunk,)) else _slid(old, hunk, first, last))
    return _widened(old, slid)


def _widened(old: str, found: list[Hunk]) -> list[Hunk]:
    """Where several words were replaced, replace whole ones: what others put between them stays whole."""
    out: list[Hunk] = []
    for hunk in found:
        if out and hunk.start <= out[-1].end:
            before = out.pop()
            inserted = before.inserted[: len(before.inserted) - (before.end - hunk.start)] + hunk.inserted
            hunk = Hunk(before.start, hunk.end, inserted)
        if _is_mixed((hunk,)) and (_has_words(old[hunk.start : hunk.end]) or _has_words(hunk.inserted)):
            hunk = _whole_words(old, hunk, out[-1].end + 1 if out else 0)
        out.append(hunk)
    return out


def _whole_words(old: str, hunk: Hunk, first: int) -> Hunk:
    start, end = hunk.start, hunk.end
    while start > max(first, hunk.start - SLIDE_LIMIT) and not old[start - 1].isspace():
        start -= 1
    while end < min(len(old), hunk.end + SLIDE_LIMIT) and not old[end].isspace():
        end += 1
    return Hunk(start, end, old[start : hunk.start] + hunk.inserted + old[hunk.end : end])


def _has_words(text: str) -> bool:
    """Whether there are letters, and spaces between or beside them."""
    return _LETTER.search(text) is not None and any(map(str.isspace, text))


def _slid(old: str, hunk: Hunk, first: int, last: int) -> Hunk:
    text = hunk.inserted or old[hunk.start : hunk.end]
    begin, size = hunk.start, len(text)
    first, last = max(first, begin - SLIDE_LIMIT), min(last, hunk.end + SLIDE_LIMIT)
    # While sliding over a stretch, the letters that leave on one side come in on the other.
    left = 0
    while begin - left > first and old[begin - left - 1] == text[size - 1 - left % size]:
        left += 1
    right = 0
    while hunk.end + right < last and old[hunk.end + right] == text[right % size]:
        right += 1
    if not left and not right:
        return hunk
    around = old[max(0, begin - left - 1) : begin] + text + old[hunk.end : hunk.end + right + 1]
    middle = min(begin, left + 1)
    moves = sorted(range(-left, right + 1), key=abs)
    best = max(moves, key=lambda by: _ease(around, middle + by) + _ease(around, middle + by + size))
    moved = around[middle + best : middle + best + size] if hunk.inserted else ""
    return Hunk(begin + best, hunk.end + best, moved)


def _ease(text: str, at: int) -> int:
    """How natural it is that something begins or ends before the letter at *at*.

    Where "<b>" was put before "<a>", "b><" after the first letter is as good a difference; but if
    somebody else deletes "<a>" meanwhile, only the first leaves what was meant.
    """
    if not 0 < at < len(text):
        return 5
    before, after = text[at - 1], text[at]
    if _cuts(text, at):
        return -9
    if before == "\n":
        return 5
    if after == "\n" or before.isspace() or after.isspace():
        return 4
    if before.isalnum() and after.isalnum():
        return 0
    return (
        1 + 2 * (before in _CLOSING) + 2 * (after in _OPENING) - 2 * (before in _OPENING or after in _CLOSING)
    )


def _offsets(parts: Sequence[str]) -> list[int]:
    at = [0]
    for part in parts:
        at.append(at[-1] + len(part))
    return at


def _joined(old: str, pieces: Iterable[Hunk]) -> list[Hunk]:
    """Make one hunk of those that touch, or that only a crumb divides, as the brackets of two words."""
    out: list[Hunk] = []
    for hunk in pieces:
        if out and _belong_together(old, out[-1], hunk):
            before = out.pop()
            between = old[before.end : hunk.start]
            hunk = Hunk(before.start, hunk.end, before.inserted + between + hunk.inserted)
        out.append(hunk)
    return out


def _belong_together(old: str, one: Hunk, two: Hunk) -> bool:
    if one.end == two.start:
        return True
    crumb = two.start - one.end <= CRUMB_LIMIT and not _LETTER.search(old, one.end, two.start)
    return crumb and _is_mixed((one, two))
