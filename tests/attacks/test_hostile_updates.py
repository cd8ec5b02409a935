"""Bytes that kill, freeze or fool the CRDT engine: refused, and nobody else notices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from peer.core.documents import Document, Documents
from peer.core.edits import Edit
from peer.core.guard import CLIENT_LIMIT, check_update
from peer.core.ids import INDEX, DocId
from peer.core.schema import Kind
from peer.core.varints import encode_varint
from peer.errors import Malformed, Refused, RemoteError

DATA = Path(__file__).parent.parent / "data" / "hostile-updates.json"
VECTORS = json.loads(DATA.read_text())["vectors"]
TEXT, OTHER = DocId(b"attacked"), DocId(b"bystands")
OURS, MALLORY, VICTIM = 77, 666, 1234


def v(*numbers: int) -> bytes:
    return b"".join(encode_varint(number) for number in numbers)


class Stage:
    """Our documents before an attack, and the proof that they are as they were and can be used."""

    def __init__(self) -> None:
        self.documents = Documents(lambda: OURS)
        for doc in (TEXT, OTHER):
            self.documents.open(doc).edit([Edit(0, 0, "aé日😀")])
        self.documents.open(INDEX).index.set("key", "value")
        self.before = [(document.digest(), document.generation) for document in self.documents]

    def attack(self, update: bytes, error: type[RemoteError] = RemoteError) -> None:
        """Try an update everywhere and in every way; each must be refused."""
        for doc in (TEXT, INDEX):
            document = self.documents.open(doc)
            for clients in ({MALLORY}, {MALLORY, VICTIM, 1, 7, 9, 207}, None):
                with pytest.raises(error):
                    document.apply(update, sender_clients=clients)

    def check(self) -> None:
        """Everything is as it was, and goes on working."""
        assert [(document.digest(), document.generation) for document in self.documents] == self.before
        friend = Documents(lambda: 5)
        for document in self.documents:
            copy = friend.open(document.id)
            copy.apply(document.updates_since(copy.state_vector()))
            assert copy.digest() == document.digest()
        for doc in (TEXT, OTHER):
            document = self.documents.open(doc)
            assert document.text == "aé日😀"
            document.edit([Edit(2, 1, "x")])
            assert document.text == "aéx😀"
        index = self.documents.open(INDEX).index
        index.set("key", "other")
        assert index.entries() == {"key": "other"}


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("name", [vector["name"] for vector in VECTORS if vector["kind"] == "update"])
def test_every_known_hostile_update_is_refused(stage: Stage, name: str) -> None:
    update = next(bytes.fromhex(vector["hex"]) for vector in VECTORS if vector["name"] == name)
    if name == "clock-squat-gc":
        # well formed, and anybody's for all the bytes say: refused by who may speak for whom
        for clients in ({MALLORY}, {MALLORY, 1}):
            with pytest.raises(Refused):
                stage.documents.open(TEXT).apply(update, sender_clients=clients)
        assert stage.documents.open(TEXT).apply(update, withheld={VICTIM}) == []
    else:
        stage.attack(update)
    stage.check()


@pytest.mark.parametrize("name", [vector["name"] for vector in VECTORS if vector["kind"] == "state-vector"])
def test_every_known_hostile_state_vector_is_refused(stage: Stage, name: str) -> None:
    vector = next(bytes.fromhex(vector["hex"]) for vector in VECTORS if vector["name"] == name)
    for document in stage.documents:
        for ask in (document.updates_since, document.is_up_to_date, document.is_known_to):
            with pytest.raises(Malformed):
                ask(vector)
    stage.check()


@pytest.mark.parametrize("depth", [1, 2, 15_000, 25_000, 100_000])
@pytest.mark.parametrize("opening", [b"\x75\x01", b"\x76\x01\x01k"], ids=["arrays", "maps"])
@pytest.mark.parametrize("root", [b"\x28\x01\x05files\x01k", b"\x08\x01\x04text", b"\xa8\x4d\x00"])
def test_nested_values_are_refused_in_every_place(
    stage: Stage, root: bytes, opening: bytes, depth: int
) -> None:
    stage.attack(v(1, 1, MALLORY, 0) + root + b"\x01" + opening * depth + b"\x7e" + b"\0", Refused)
    stage.check()


@pytest.mark.parametrize("content", [2, 3, 5, 6, 7, 9, 11, 12, 13, 14, 15])
def test_nested_types_documents_formats_and_moves_are_refused(stage: Stage, content: int) -> None:
    for place in (bytes([content]) + b"\x01\x04text", bytes([0x20 | content]) + b"\x01\x05files\x01k"):
        stage.attack(v(1, 1, MALLORY, 0) + place + b"\x01" * 20 + b"\0")
    stage.check()


def test_a_chain_of_types_inside_each_other_is_refused(stage: Stage) -> None:
    chain = b"\x27\x01\x05files\x01k\x01" + b"".join(
        b"\x27\x00" + v(MALLORY, n) + b"\x01k\x01" for n in range(20_000)
    )
    stage.attack(v(1, 20_001, MALLORY, 0) + chain + b"\0", Refused)
    stage.check()


def test_another_root_is_refused(stage: Stage) -> None:
    for root in (b"t", b"files2", b"", "日".encode()):
        stage.attack(v(1, 1, MALLORY, 0) + b"\x04\x01" + v(len(root)) + root + b"\x01x\0", Refused)
    stage.check()


def test_our_own_clock_cannot_be_taken(stage: Stage) -> None:
    for clock in (0, 4, 5, 6, 1000):
        for struct in (b"\x00" + v(10**6), b"\x0a" + v(10**6), b"\x84" + v(MALLORY, 0) + b"\x09stolen 12"):
            stage.attack(v(1, 1, OURS, clock) + struct + b"\0", Refused)
    stage.check()


def test_what_we_have_not_typed_yet_cannot_be_deleted(stage: Stage) -> None:
    for start, length in ((0, 2**28), (5, 1), (1000, 1), (0, 6)):
        stage.attack(v(0, 1, OURS, 1, start, length), Refused)
    stage.check()


def test_nobody_takes_the_clock_of_a_member_who_is_linked_with_us() -> None:
    ours, victim = Documents(lambda: OURS).open(TEXT), Documents(lambda: VICTIM).open(TEXT)
    victim.edit([Edit(0, 0, "before ")])
    for update in victim.take_local():
        ours.apply(update, sender_clients={VICTIM})
    squat = v(1, 1, VICTIM, 7) + b"\x00" + v(10**6) + b"\0"
    with pytest.raises(Refused):
        ours.apply(squat, sender_clients={MALLORY})
    assert ours.apply(squat, withheld={VICTIM, 9}) == []
    victim.edit([Edit(7, 0, "after")])
    for update in victim.take_local():
        ours.apply(update, sender_clients={VICTIM})
    victim.apply(ours.updates_since(victim.state_vector()))
    assert ours.text == victim.text == "before after"


def test_deletions_without_end_cost_nothing(stage: Stage) -> None:
    for ranges in ((0, 2**28 + 1), (2**31 - 1, 1), (0, 2**40), (2**52, 2**52)):
        stage.attack(v(0, 1, MALLORY, 1, *ranges))
    stage.attack(v(0, 1, MALLORY, 2**40) + b"\x01\x01" * 50)
    stage.attack(v(0, CLIENT_LIMIT + 1) + b"".join(v(1000 + n, 1, 0, 1) for n in range(CLIENT_LIMIT + 1)))
    stage.check()


def test_deletions_of_what_was_never_made_harm_nobody(stage: Stage) -> None:
    document = stage.documents.open(TEXT)
    document.apply(v(0, 1, MALLORY, 2, 5, 2**28, 2**29, 2**28), sender_clients={MALLORY})
    assert document.has_pending()
    stage.check()


def real_updates() -> list[tuple[Kind, bytes]]:
    documents = Documents(lambda: 300)
    text, index = documents.open(TEXT), documents.open(INDEX)
    text.edit([Edit(0, 0, "aé日😀b"), Edit(1, 2, "x"), Edit(0, 0, "first ")])
    for value in ("path", 5, None, 0.1, b"bytes", True):
        index.index.set("key", value)
    updates = [(document.kind, update) for document in documents for update in document.take_local()]
    return updates + [(document.kind, document.full_state()) for document in documents]


def test_an_update_that_is_cut_off_is_refused_wherever_it_is_cut(stage: Stage) -> None:
    for kind, update in real_updates():
        document = stage.documents.open(TEXT if kind is Kind.TEXT else INDEX)
        check_update(update, kind)
        for end in range(len(update)):
            with pytest.raises(RemoteError):
                document.apply(update[:end])
    stage.check()


def test_an_update_for_one_kind_of_document_is_refused_by_the_other(stage: Stage) -> None:
    for kind, update in real_updates():
        document = stage.documents.open(INDEX if kind is Kind.TEXT else TEXT)
        if check_update(update, kind).structs:
            with pytest.raises((Refused, Malformed)):
                document.apply(update)
    stage.check()


def test_mutated_updates_neither_kill_nor_freeze_nor_change_what_they_should_not(patience: float) -> None:
    seed = os.environ.get("SEED", "1")
    print(f"SEED={seed}")
    done = subprocess.run(
        [sys.executable, "-m", "tests.attacks.mutations", seed, "3"],
        cwd=DATA.parent.parent.parent,
        capture_output=True,
        text=True,
        timeout=30 * patience,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    taken, refused = map(int, done.stdout.split())
    assert taken > 0
    assert refused > 1000


def test_the_stage_notices_harm(stage: Stage) -> None:
    friend: Document = Documents(lambda: MALLORY).open(TEXT)
    friend.edit([Edit(0, 0, "x")])
    stage.documents.open(TEXT).apply(friend.full_state())
    with pytest.raises(AssertionError):
        stage.check()
