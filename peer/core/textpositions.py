"""Where a code point is in UTF-8, and back, in a text that keeps changing.

The CRDT engine counts UTF-8 bytes, and a byte index inside a character makes copies differ for ever;
everything else here counts code points.  As long as a text is ASCII the two are the same and only its
length is kept.  From the first other character on, the text is mirrored in short chunks: a position
costs one chunk and the way from the last position, so typing anywhere costs the same however long the
text is.
"""

from collections.abc import Callable, Iterable
from typing import Final, TypedDict

from peer.core.edits import Edit

__all__ = ["Step", "TextPositions", "utf8_length", "utf16_length"]

CHUNK: Final = 1024
"""Code points of a fresh chunk: encoding one takes about a microsecond."""
CHUNK_LIMIT: Final = 2 * CHUNK
"""A chunk longer than this is cut up."""


class Step(TypedDict, total=False):
    """One step of a change as the engine tells it: exactly one of these, counted in bytes."""

    retain: int
    insert: object
    """A string, or something embedded, which our texts never hold for long."""
    delete: int


class TextPositions:
    """The length of one text, and its positions in code points and in bytes."""

    def __init__(self, text: str) -> None:
        self.length = 0
        """Code points."""
        self._mirror: Mirror | None = None
        self._start_over(text)

    def _start_over(self, text: str) -> None:
        self.length = len(text)
        self._mirror = None if text.isascii() else Mirror(text)

    def text(self) -> str | None:
        """The text itself if it is kept here; `None` for one that is ASCII."""
        return None if self._mirror is None else self._mirror.text()

    def splice(self, edit: Edit, read: Callable[[], str]) -> tuple[int, int]:
        """Take over an edit about to be made; return its place and how much it deletes, in bytes.

        *read* gives the text as it is before the edit, within whose length the edit must be.
        """
        if self._mirror is None and not edit.inserted.isascii():
            self._mirror = Mirror(read())
        self.length += len(edit.inserted) - edit.deleted
        if self._mirror is None:
            return edit.at, edit.deleted
        start = self._mirror.to_bytes(edit.at)
        return start, self._mirror.splice(edit.at, edit.deleted, edit.inserted)

    def absorb(self, delta: Iterable[Step], size: int, read: Callable[[], str]) -> list[Edit]:
        """Take over a change that was made; return it as edits in code points.

        *size* is the length in bytes and *read* gives the text, both after the change.  A change that
        does not add up (someone cut a character in two) becomes one edit that replaces everything.
        """
        before = self.length
        edits = self._follow(delta)
        if self._mirror is None and not all(edit.inserted.isascii() for edit in edits):
            self._mirror = Mirror(read())
        if size == (self.length if self._mirror is None else self._mirror.size):
            return edits
        text = read()
        self._start_over(text)
        return [Edit(0, before, text)]

    def _follow(self, delta: Iterable[Step]) -> list[Edit]:
        at = 0  # in code points, in the text as the steps so far leave it
        edits: list[Edit] = []
        for step in delta:
            if "retain" in step:
                at += self._chars(at, step["retain"])
                continue
            inserted = step.get("insert", "")
            if not isinstance(inserted, str):
                inserted = ""
            deleted = self._chars(at, step.get("delete", 0))
            if self._mirror is not None:
                self._mirror.splice(at, deleted, inserted)
            self.length += len(inserted) - deleted
            if edits and edits[-1].at + len(edits[-1].inserted) == at:
                last = edits.pop()
                edits.append(Edit(last.at, last.deleted + deleted, last.inserted + inserted))
            else:
                edits.append(Edit(at, deleted, inserted))
            at += len(inserted)
        return edits

    def _chars(self, at: int, size: int) -> int:
        """How many code points the *size* bytes after code point *at* are."""
        if self._mirror is None or not size:
            return size
        return self._mirror.to_chars(self._mirror.to_bytes(at) + size) - at


CHARS: Final = 0
BYTES: Final = 1


class Mirror:
    """A text in chunks of known length in code points and in bytes, and the place last used in it."""

    def __init__(self, text: str) -> None:
        self._chunks = cut(text)
        self._lengths = ([len(chunk) for chunk in self._chunks], [utf8_length(c) for c in self._chunks])
        self._text: str | None = text
        self.size = sum(self._lengths[BYTES])
        """Bytes."""
        # the chunk last used, and how many code points and bytes are before it
        self._index = 0
        self._before = [0, 0]

    def text(self) -> str:
        """The whole text; costs its length after a change, nothing if asked again."""
        if self._text is None:
            self._text = "".join(self._chunks)
        return self._text

    def to_bytes(self, at: int) -> int:
        """The place in bytes of code point *at*."""
        offset = self._seek(at, CHARS)
        if not self._is_ascii():
            offset = utf8_length(self._chunks[self._index][:offset])
        return self._before[BYTES] + offset

    def to_chars(self, place: int) -> int:
        """The code point at a place in bytes; inside a character, that character."""
        offset = self._seek(place, BYTES)
        if not self._is_ascii():
            offset = len(self._chunks[self._index].encode()[:offset].decode(errors="ignore"))
        return self._before[CHARS] + offset

    def splice(self, at: int, deleted: int, inserted: str) -> int:
        """Replace *deleted* code points at *at* by *inserted*; return how many bytes went."""
        offset = self._seek(at, CHARS)
        first = last = self._index
        chunk = self._chunks[first]
        end = offset + deleted
        while end > len(self._chunks[last]) and last + 1 < len(self._chunks):
            end -= len(self._chunks[last])
            last += 1
        kept = chunk[:offset] + inserted + self._chunks[last][end:]
        grown = self._replace(first, last + 1, cut(kept))
        self._text = None
        return utf8_length(inserted) - grown

    def _replace(self, first: int, stop: int, pieces: list[str]) -> int:
        """Put *pieces* in the place of some chunks; return by how many bytes the text grew."""
        if pieces == [""] and stop - first < len(self._chunks):
            pieces = []
        sizes = [utf8_length(piece) for piece in pieces]
        grown = sum(sizes) - sum(self._lengths[BYTES][first:stop])
        self._chunks[first:stop] = pieces
        self._lengths[CHARS][first:stop] = [len(piece) for piece in pieces]
        self._lengths[BYTES][first:stop] = sizes
        self.size += grown
        if self._index >= len(self._chunks):
            self._index = 0
            self._before = [0, 0]
        return grown

    def _seek(self, target: int, unit: int) -> int:
        """Make the chunk that holds *target* the last used one; return the way into it."""
        chars, sizes = self._lengths
        lengths, before = self._lengths[unit], self._before
        while target < before[unit]:
            self._index -= 1
            before[CHARS] -= chars[self._index]
            before[BYTES] -= sizes[self._index]
        while target > before[unit] + lengths[self._index] and self._index + 1 < len(lengths):
            before[CHARS] += chars[self._index]
            before[BYTES] += sizes[self._index]
            self._index += 1
        return target - before[unit]

    def _is_ascii(self) -> bool:
        return self._lengths[CHARS][self._index] == self._lengths[BYTES][self._index]


def cut(text: str) -> list[str]:
    """Cut a text into chunks; a short one, even an empty one, is one chunk."""
    if len(text) <= CHUNK_LIMIT:
        return [text]
    return [text[start : start + CHUNK] for start in range(0, len(text), CHUNK)]


def utf8_length(text: str) -> int:
    """The length of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def utf16_length(text: str) -> int:
    """The length of a text in UTF-16 units, which is what CRDT clocks count."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le")) // 2
