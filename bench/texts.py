"""What is typed and sent: editing traces, and texts made by a seeded generator."""

import base64
import gzip
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import pycrdt

__all__ = ["KINDS", "Patch", "Trace", "TwoAuthors", "load_trace", "load_two_authors", "make_text", "record"]

DATA: Final = Path(__file__).parent / "data"
KINDS: Final = ("words", "random")
_WORDS: Final = 4000
_LINES: Final = 4000
_SHORTEST: Final = 12
"""Characters of the shortest line: six letters, five spaces and the end."""
_LETTERS: Final = "etaoinshrdlucmfwypvbgkqjxz"

Patch = tuple[int, int, str]
"""Position, characters deleted there, text inserted there."""


@dataclass(frozen=True, slots=True)
class Trace:
    """What one author typed; the traces here are ASCII, so that a position is the same in any unit."""

    patches: Sequence[Patch]
    end: str

    def first(self, count: int | None) -> "Trace":
        """The same, cut off after *count* patches."""
        if count is None or count >= len(self.patches):
            return self
        text = ""
        for at, deleted, inserted in self.patches[:count]:
            text = text[:at] + inserted + text[at + deleted :]
        return Trace(self.patches[:count], text)


@cache
def load_trace(name: str) -> Trace:
    """A trace of one author from `bench/data`."""
    with gzip.open(DATA / f"{name}.json.gz") as file:
        data = json.load(file)
    patches = [tuple(patch) for txn in data["txns"] for patch in txn["patches"]]
    return Trace(patches, data["endContent"])


@dataclass(frozen=True, slots=True)
class TwoAuthors:
    """What two authors typed at once, as updates under two client ids.

    Attributes:
        steps: per author, each update with how many clocks of the other one it was typed on top of.
        end: the text that both must end with.
    """

    steps: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]]
    end: str


def load_two_authors(name: str, clients: tuple[int, int], count: int | None) -> TwoAuthors:
    """Type a trace of two authors (up to *count* transactions) into two bare documents.

    Each transaction was typed on top of others: whatever of them its author has not seen is
    handed over first, as the updates that the other one made.
    """
    with gzip.open(DATA / f"{name}.json.gz") as file:
        data = json.load(file)
    txns = data["txns"][:count]
    docs = [pycrdt.Doc[pycrdt.Text](client_id=client) for client in clients]
    texts = [doc.get("text", type=pycrdt.Text) for doc in docs]
    made: tuple[list[bytes], list[bytes]] = ([], [])
    clocks: tuple[list[int], list[int]] = ([0], [0])
    seen = [0, 0]  # of the other one's updates
    above: list[list[int]] = []  # per transaction, how many updates of each author are at or below it
    steps: tuple[list[tuple[int, bytes]], list[tuple[int, bytes]]] = ([], [])
    for txn in txns:
        me, other = txn["agent"], 1 - txn["agent"]
        below = [max((above[parent][who] for parent in txn["parents"]), default=0) for who in (0, 1)]
        for update in made[other][seen[me] : below[other]]:
            docs[me].apply_update(update)
        seen[me] = max(seen[me], below[other])
        update = _typed(docs[me], texts[me], txn["patches"])
        made[me].append(update)
        clocks[me].append(clocks[me][-1] + sum(len(patch[2]) for patch in txn["patches"]))
        below[me] = len(made[me])
        above.append(below)
        steps[me].append((clocks[other][seen[me]], update))
    for update in made[1][seen[0] :]:
        docs[0].apply_update(update)
    return TwoAuthors(steps, str(texts[0]))


def _typed(doc: "pycrdt.Doc[pycrdt.Text]", text: pycrdt.Text, patches: Sequence[Patch]) -> bytes:
    before = doc.get_state()
    with doc.transaction():
        for patch in patches:
            _type(text, patch)
    return doc.get_update(before)


def _type(text: pycrdt.Text, patch: Patch) -> None:
    at, deleted, inserted = patch
    if deleted:
        del text[at : at + deleted]
    if inserted:
        text.insert(at, inserted)


def record(trace: Trace, client: int) -> list[bytes]:
    """The updates that typing *trace* under this client id makes, one per patch."""
    updates: list[bytes] = []
    doc = pycrdt.Doc[pycrdt.Text](client_id=client)
    text = doc.get("text", type=pycrdt.Text)
    observing = doc.observe(lambda event: updates.append(event.update))
    for patch in trace.patches:
        with doc.transaction():
            _type(text, patch)
    doc.unobserve(observing)
    return updates


def make_text(kind: str, size: int, seed: int) -> str:
    """*size* characters: `words` with the frequencies of a language, or `random` base64."""
    chance = random.Random(f"{kind} {seed}")
    if kind == "random":
        return base64.b64encode(chance.randbytes(size * 3 // 4 + 3)).decode()[:size]
    return "".join(chance.choices(_lines(), k=size // _SHORTEST + 1))[:size]


@cache
def _lines() -> list[str]:
    """Lines to choose from: each comes back, but further away than deflate looks."""
    chance = random.Random("lines")
    letters = [1 / (rank + 1) for rank in range(len(_LETTERS))]
    words = ["".join(chance.choices(_LETTERS, letters, k=chance.randint(1, 11))) for _ in range(_WORDS)]
    weights = [1 / (rank + 2) for rank in range(_WORDS)]
    return [" ".join(chance.choices(words, weights, k=chance.randint(6, 16))) + "\n" for _ in range(_LINES)]
