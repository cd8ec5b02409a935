"""Feeds mutated updates to documents until the time is up; run on its own, because it may die.

    python -m tests.attacks.mutations SEED SECONDS

Ends with 0 and says how many were taken and refused; anything else is a fault.
"""

import random
import sys
import time

from peer.core.documents import Document, Documents
from peer.core.edits import Edit
from peer.core.ids import INDEX, DocId
from peer.errors import RemoteError

TEXT = DocId(b"mutated!")
NEVER_TOUCHED = DocId(b"bystands")
OURS, THEIRS = 77, 300


def history(client: int, rng: random.Random) -> tuple[Documents, list[tuple[DocId, bytes]]]:
    """Documents with some history, and every update and state of it."""
    documents = Documents(lambda: client)
    text, index = documents.open(TEXT), documents.open(INDEX)
    updates: list[tuple[DocId, bytes]] = []
    for number in range(30):
        at = rng.randint(0, text.length)
        text.edit([Edit(at, min(rng.randint(0, 2), text.length - at), rng.choice(["a", "é日", "xyz"]))])
        index.index.set(rng.choice("abc"), rng.choice([number, "path", b"\0\1", None, True, 0.5]))
        for document in (text, index):
            updates += [(document.id, update) for update in document.take_local()]
            updates.append((document.id, document.full_state()))
    return documents, updates


def mutated(update: bytes, rng: random.Random) -> bytes:
    """An update with a few bytes changed, left out, repeated or put in."""
    data = bytearray(update)
    for _ in range(rng.randint(1, 4)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at : at + 1] = bytes([rng.randrange(256)])
            case 1:
                del data[at : at + rng.randint(1, 3)]
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 8)]
            case 3:
                data[at:at] = rng.choice([b"\xff\xff\xff\x7f", b"\x80\x80\x01", b"\0", b"\x01\x04text"])
            case _:
                data[at : at + 1] = bytes([rng.choice([0, 1, 4, 7, 8, 10, 0x84, 0x44, 0xC4, 0x28, 0xA8])])
    return bytes(data)


def victim(source: Documents) -> Documents:
    """Documents of ours that hold the history, and work of our own."""
    ours = Documents(lambda: OURS)
    for document in source:
        ours.open(document.id).apply(document.full_state())
    ours.open(TEXT).edit([Edit(0, 0, "ours")])
    ours.open(NEVER_TOUCHED).edit([Edit(0, 0, "safe 日")])
    return ours


def use(document: Document) -> None:
    """Do with a document what is done with documents."""
    document.updates_since(b"\0")
    document.digest()
    document.has_pending()
    if document.id == INDEX:
        document.index.set("z", 1)
        return
    length = document.length
    assert length == len(document.text)
    document.edit([Edit(length, 0, "日")])
    assert document.text.endswith("日")


def run(seed: int, seconds: float) -> tuple[int, int]:
    """Return how many mutations were taken and how many refused."""
    rng = random.Random(seed)
    source, updates = history(THEIRS, rng)
    ours = victim(source)
    taken = refused = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        doc, update = rng.choice(updates)
        document = ours.open(doc)
        before = document.digest()
        try:
            document.apply(mutated(update, rng), sender_clients={THEIRS} if rng.random() < 0.5 else None)
            taken += 1
        except RemoteError:
            refused += 1
            assert document.digest() == before
        if rng.random() < 0.05:
            use(document)
        if rng.random() < 0.01:
            assert ours.open(NEVER_TOUCHED).text == "safe 日"
            ours = victim(source)
    return taken, refused


if __name__ == "__main__":
    print(*run(int(sys.argv[1]), float(sys.argv[2])))
