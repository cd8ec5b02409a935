"""What changed between two texts, as few and as meaningful pieces as a bounded time allows.

Common ends are cut off first.  What is left is compared by lines, split at lines that occur once in
both texts when it is large; what changed is compared by words; and a changed word keeps its common
ends.  Letters are compared only where that keeps far more of the old text, as when something was put
into the middle of a word: matching single letters of two different words finds crumbs, and an
insertion that others made meanwhile would land between such crumbs.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from peer.core.edits import Edit
from peer.core.sequences import CELLS_LIMIT, changed, exactly, offsets, spread

__all__ = ["Hunk", "common_ends", "diff", "hunks", "missing"]

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
_MEETING: Final = f"[{re.escape(''.join(_CLOSING))}](?=[{re.escape(''.join(_OPENING))}])"
_SPACE: Final = re.compile(rf"\s|{_MEETING}")
_BORDER: Final = re.compile(rf"\s|.(?=\s)|{_MEETING}", re.DOTALL)
"""Matches the letter before which, or after which, a word with its brackets begins or ends."""
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
    found: list[tuple[int, int]] = []
    regions = list(_regions(old, new, front, back))
    # By words, or letters that are alike by chance would count; among many lines they hardly do.
    part = _WORDS if len(regions) == 1 else _LETTERS
    for a, b, c, d in regions:
        left, right = spread(part.findall(old, a, b), part.findall(new, c, d))
        found += [(a + i, a + j) for i, j, _, _ in exactly(left, right, 0, 0)]
    return found


def _regions(old: str, new: str, front: int, back: int) -> Iterator[tuple[int, int, int, int]]:
    """What is left between two ends that are alike: as one, or, if that is too large, by lines."""
    b, d = len(old) - back, len(new) - back
    if (b - front) * (d - front) <= CELLS_LIMIT:
        yield front, b, front, d
        return
    old_lines, new_lines = old[front:b].splitlines(keepends=True), new[front:d].splitlines(keepends=True)
    old_at, new_at = offsets(old_lines), offsets(new_lines)
    for i, j, k, m in changed(old_lines, new_lines):
        yield front + old_at[i], front + old_at[j], front + new_at[k], front + new_at[m]


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
    old_at, new_at = offsets(old_lines), offsets(new_lines)
    for a, b, c, d in changed(old_lines, new_lines):
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
    gone = _deleted(by_letters)
    fine = 4 * gone <= _deleted(by_words) and (not gone or len(by_letters) <= len(by_words) + 1)
    return by_letters if fine and not _renumbers(old, by_letters) else by_words


def _compare_parts(part: re.Pattern[str], old: str, new: str, a: int, b: int, c: int, d: int) -> list[Hunk]:
    old_parts, new_parts = part.findall(old, a, b), part.findall(new, c, d)
    old_at, new_at = offsets(old_parts), offsets(new_parts)
    return [
        _tight(old, new, a + old_at[i], a + old_at[j], c + new_at[k], c + new_at[m])
        for i, j, k, m in changed(old_parts, new_parts)
    ]


def _compare_weighed(old: str, new: str, a: int, b: int, c: int, d: int) -> list[Hunk]:
    """Compare word by word, where a word counts as much as it has letters.

    Otherwise five brackets and spaces of different words, found in the same order, would count for more
    than the one word between them that stayed, and that word would be deleted and written again.
    """
    left, right = spread(_WORDS.findall(old, a, b), _WORDS.findall(new, c, d))
    return [_tight(old, new, a + i, a + j, c + k, c + m) for i, j, k, m in exactly(left, right, 0, 0)]


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


def _settled(old: str, found: list[Hunk]) -> list[Hunk]:
    """Move each hunk, or its ends, to where a reader would say that it begins and ends."""
    slid: list[Hunk] = []  # each may touch the one before it, which `_widened` puts right
    for index, hunk in enumerate(found):
        first = slid[-1].end if slid else 0
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
            hunk = _whole_words(old, hunk, out[-1].end if out else 0)
        if out and hunk.start == out[-1].end:
            before = out.pop()
            hunk = Hunk(before.start, hunk.end, before.inserted + hunk.inserted)
        out.append(hunk)
    return out


def _whole_words(old: str, hunk: Hunk, first: int) -> Hunk:
    start, end = hunk.start, hunk.end
    while start > max(first, hunk.start - SLIDE_LIMIT) and not _BORDER.match(old, start - 1):
        start -= 1
    while 0 < end < min(len(old), hunk.end + SLIDE_LIMIT) and not _BORDER.match(old, end - 1):
        end += 1
    return Hunk(start, end, old[start : hunk.start] + hunk.inserted + old[hunk.end : end])


def _has_words(text: str) -> bool:
    """Whether there are letters, and spaces, or one bracket that closes and one that opens, around them."""
    return _LETTER.search(text) is not None and _SPACE.search(text) is not None


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
