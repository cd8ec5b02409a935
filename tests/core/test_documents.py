"""Documents: what is typed, what arrives, what is sent, and what never happens."""

import random
from collections.abc import Callable

import pycrdt
import pytest

from peer.core import clocks, document, replay, sharedtext
from peer.core.documents import Document, Documents, merge_updates
from peer.core.edits import Edit, apply_edits
from peer.core.engine import NOTHING, attempt
from peer.core.guard import CLIENT_LIMIT, check_state_vector, check_update
from peer.core.ids import INDEX, DocId
from peer.core.replay import Replay
from peer.core.schema import Kind
from peer.core.varints import encode_varint
from peer.errors import Malformed, Refused, StorageError, TooLarge, UsageError

DOC = DocId(b"document")


def new(client: int = 1, text: str = "") -> Document:
    made = Documents(lambda: client).open(DOC)
    if text:
        made.edit([Edit(0, 0, text)])
    return made


def type_at(made: Document, at: int, text: str) -> list[bytes]:
    made.edit([Edit(at, 0, text)])
    return made.take_local()


def engine_text(made: Document) -> str:
    return str(made.doc.get("text", type=pycrdt.Text))


def sync(source: Document, target: Document) -> list[Edit]:
    return target.apply(source.updates_since(target.state_vector()))


# --- the collection -------------------------------------------------------------------------------------


def test_documents_are_opened_once_and_kept_in_order() -> None:
    ids = iter([5, 6, 7])
    documents = Documents(lambda: next(ids))
    second, index = documents.open(DOC), documents.open(INDEX)
    assert documents.open(DOC) is second
    assert (second.client_id, index.client_id) == (5, 6)
    assert (second.kind, index.kind) == (Kind.TEXT, Kind.INDEX)
    assert documents.ids() == [DOC, INDEX]
    assert list(documents) == [second, index]
    assert len(documents) == 2
    assert documents.get(INDEX) is index
    documents.drop(DOC)
    documents.drop(DOC)
    assert documents.get(DOC) is None
    assert documents.ids() == [INDEX]


def test_a_document_that_was_edited_is_told_of_once_until_something_was_taken() -> None:
    documents = Documents(lambda: 1)
    told: list[DocId] = []
    made = documents.open(DOC)
    type_at(made, 0, "x")
    documents.changed.clear()
    documents.on_change = told.append
    for take in (made.take_local, made.take_edits):
        made.edit([Edit(0, 0, "a")])
        made.edit([Edit(0, 0, "b")])
        assert told == [DOC]
        assert list(documents.changed) == [DOC]
        take()
        told.clear()
    documents.changed.discard(DOC)
    documents.changed.discard(DOC)
    assert not documents.changed
    made.edit([Edit(0, 0, "c")])
    documents.drop(DOC)
    assert not documents.changed


def test_each_kind_of_document_has_only_its_own_content() -> None:
    documents = Documents(lambda: 1)
    with pytest.raises(UsageError):
        _ = documents.open(DOC).index
    index = documents.open(INDEX)
    for use in (lambda: index.text, lambda: index.length, index.take_edits, lambda: index.edit([])):
        with pytest.raises(UsageError):
            use()


# --- typing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(10))
def test_a_document_is_edited_like_a_plain_text(seed: int) -> None:
    rng = random.Random(seed)
    made, copy, model = new(1), new(2), ""
    for _ in range(60):
        edits = []
        for _ in range(rng.choice([1, 1, 3])):
            at = rng.randint(0, len(model))
            deleted = rng.randint(0, min(4, len(model) - at))
            edits.append(Edit(at, deleted, "".join(rng.choice("aé日😀") for _ in range(rng.randint(0, 4)))))
            model = apply_edits(model, edits[-1:])
        made.edit(edits)
        assert made.length == len(model)
        assert made.text == engine_text(made) == model
        before = copy.text
        arrived = [edit for update in made.take_local() for edit in copy.apply(update, sender_clients={1})]
        assert apply_edits(before, arrived) == model == copy.text == engine_text(copy)
        assert copy.take_edits() == [(True, edit) for edit in arrived]
    assert made.digest() == copy.digest()


def test_edits_are_logged_in_order_with_where_they_came_from() -> None:
    one, two = new(1), new(2)
    one.edit([Edit(0, 0, "ab"), Edit(1, 0, "日")])
    for update in one.take_local():
        two.apply(update, sender_clients={1})
    two.edit([Edit(3, 0, "c")])
    assert one.take_edits() == [(False, Edit(0, 0, "ab")), (False, Edit(1, 0, "日"))]
    assert two.take_edits() == [(True, Edit(0, 0, "a日b")), (False, Edit(3, 0, "c"))]
    assert two.take_edits() == []


@pytest.mark.parametrize(
    "bad", [Edit(-1, 0, "x"), Edit(0, -1, "x"), Edit(4, 0, "x"), Edit(2, 2, ""), Edit(0, 0, "\ud83d")]
)
def test_edits_that_cannot_be_made_are_refused_altogether(bad: Edit) -> None:
    made = new(text="a日😀")
    made.take_local()
    with pytest.raises(UsageError):
        made.edit([Edit(0, 0, "b"), Edit(0, 1, ""), bad])
    assert made.text == engine_text(made) == "a日😀"
    assert made.take_local() == []


def test_edits_that_change_nothing_make_no_update() -> None:
    made = new()
    made.edit([])
    made.edit([Edit(0, 0, "")])
    assert made.take_local() == []


def test_many_edits_are_divided_into_transactions() -> None:
    made = new()
    made.edit([Edit(0, 0, "x")] * 130)
    assert made.text == "x" * 130
    assert len(made.take_local()) == 3


def test_long_insertions_are_divided_and_longer_ones_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sharedtext, "INSERT_LIMIT", 10)
    made = new()
    made.edit([Edit(0, 0, "日日"), Edit(0, 0, "12345")])
    assert made.text == "12345日日"
    assert len(made.take_local()) == 2
    with pytest.raises(UsageError, match="12 bytes"):
        made.edit([Edit(0, 0, "日日日日")])


def test_a_full_document_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    made = new(1, "x" * 100)
    made.edit([Edit(0, 50, "")])
    update = new(2, "y" * 200).full_state()
    monkeypatch.setattr(document, "UPDATE_LIMIT", 200)
    made.edit([Edit(0, 0, "y")])
    with pytest.raises(UsageError, match="at most 200 bytes"):
        made.edit([Edit(0, 0, "y" * 150)])
    with pytest.raises(TooLarge, match="a document"):
        made.apply(update)
    assert made.text == engine_text(made) == "y" + "x" * 50


# --- applications that use the engine's document -------------------------------------------------------


def test_what_an_application_types_is_captured_and_logged() -> None:
    made, copy = new(1, "aé"), new(2)
    shared = made.doc.get("text", type=pycrdt.Text)
    assert not made.has_open_transaction
    with made.doc.transaction():
        assert made.has_open_transaction
        shared.insert(3, "日")
        del shared[0:1]
    made.edit([Edit(2, 0, "!")])
    assert made.text == "é日!"
    log = [edit for _, edit in made.take_edits()]
    assert apply_edits("", log) == "é日!"
    for update in made.take_local():
        copy.apply(update, sender_clients={1})
    assert copy.text == "é日!"


def spoil_with_another_root(doc: pycrdt.Doc[pycrdt.Map[int]]) -> None:
    doc["meta"] = pycrdt.Map({"x": 1})


def spoil_with_formatting(doc: pycrdt.Doc[pycrdt.Text]) -> None:
    doc.get("text", type=pycrdt.Text).format(0, 2, {"bold": True})


def spoil_with_an_embedded_value(doc: pycrdt.Doc[pycrdt.Text]) -> None:
    doc.get("text", type=pycrdt.Text).insert_embed(0, {"x": 1})


def spoil_with_half_a_character(doc: pycrdt.Doc[pycrdt.Text]) -> None:
    doc.get("text", type=pycrdt.Text).insert(2, "x")


def spoil_with_the_work_of_others(doc: pycrdt.Doc[pycrdt.Text]) -> None:
    doc.apply_update(new(9, "foreign").full_state())


@pytest.mark.parametrize(
    "spoil",
    [
        spoil_with_another_root,
        spoil_with_formatting,
        spoil_with_an_embedded_value,
        spoil_with_half_a_character,
        spoil_with_the_work_of_others,
    ],
)
def test_what_peers_would_refuse_is_taken_back_and_said(spoil: Callable[[object], None]) -> None:
    made, copy = new(1, "aé😀"), new(2)
    before = made.doc
    with pytest.raises(ExceptionGroup) as raised:
        spoil(made.doc)
    assert raised.group_contains(UsageError, match="cannot be shared, so it was taken back")
    assert made.doc is not before
    assert made.generation == 1
    type_at(copy, 0, "-")
    made.edit([Edit(3, 0, "!")])
    assert made.text == engine_text(made) == "aé😀!"
    assert apply_edits("", [edit for _, edit in made.take_edits()]) == "aé😀!"
    for update in made.take_local():
        copy.apply(update, sender_clients={1})
    assert sorted(copy.text) == sorted("aé😀!-")
    assert copy.generation == 0


def test_writing_to_a_document_that_was_replaced_is_an_error_and_goes_nowhere() -> None:
    made = new(1, "abc")
    old = made.doc
    with pytest.raises(ExceptionGroup):
        spoil_with_formatting(old)
    made.take_local()
    with pytest.raises(ExceptionGroup) as raised:
        old.get("text", type=pycrdt.Text).insert(0, "lost?")
    assert raised.group_contains(UsageError, match="take `.doc` again")
    assert made.text == engine_text(made) == "abc"
    assert made.take_local() == []
    index = Documents(lambda: 1).open(INDEX)
    index.index.set("key", 1)
    old = index.doc
    with pytest.raises(ExceptionGroup):
        old["other"] = pycrdt.Text("x")
    with pytest.raises(ExceptionGroup):
        old.get("files", type=pycrdt.Map)["key"] = 2
    assert index.index.entries() == {"key": 1}


def test_nothing_of_ours_joins_the_transaction_of_an_application() -> None:
    made, update = new(), new(2, "x").full_state()
    with made.doc.transaction():
        with pytest.raises(UsageError, match="open"):
            made.edit([Edit(0, 0, "x")])
        with pytest.raises(UsageError, match="open"):
            made.apply(update)
        with pytest.raises(UsageError, match="open"):
            made.load(update)
    assert made.text == ""


def test_an_observer_that_fails_neither_stops_us_nor_goes_unnoticed() -> None:
    def fail(event: pycrdt.TransactionEvent) -> None:
        raise ValueError("a fault of the application")

    made = new()
    made.doc.observe(fail)
    made.edit([Edit(0, 0, "ours")])
    assert "a fault of the application" in repr(made.observer_error)
    made.observer_error = None
    assert made.apply(new(2, "theirs ").full_state()) != []
    assert "a fault of the application" in repr(made.observer_error)
    assert len(made.text) == len("ourstheirs ")
    assert made.generation == 0


def test_a_panic_in_the_middle_of_an_update_leaves_the_document_as_it_was() -> None:
    made, update = new(1, "ours"), new(2, "theirs").full_state()
    text = made.doc.get("text", type=pycrdt.Text)

    def fail(update: bytes) -> None:
        del text[0:1000]  # deletes everything, and then panics

    made.doc.apply_update = fail  # type: ignore[method-assign]
    vector = made.state_vector()
    with pytest.raises(Malformed, match="CRDT engine"):
        made.apply(update, sender_clients={2})
    assert made.generation == 1
    assert made.text == engine_text(made) == "ours"
    assert made.state_vector() == vector
    assert made.take_edits() == [(False, Edit(0, 0, "ours"))]
    made.apply(update, sender_clients={2})
    made.edit([Edit(0, 0, "!")])
    assert sorted(made.text) == sorted("!ourstheirs")
    copy = new(3)
    sync(made, copy)
    assert copy.digest() == made.digest()


def test_what_is_no_error_passes_through_and_leaves_the_document_as_it_was() -> None:
    class Stop(BaseException):
        pass

    def stop(update: bytes) -> None:
        raise Stop

    made = new(1, "ours")
    made.doc.apply_update = stop  # type: ignore[method-assign]
    with pytest.raises(Stop):
        made.apply(NOTHING)
    assert made.text == engine_text(made) == "ours"
    assert made.apply(new(2, "theirs").full_state()) != []


def test_bytes_that_the_engine_cannot_read_are_malformed() -> None:
    doc: pycrdt.Doc[pycrdt.Text] = pycrdt.Doc()
    with pytest.raises(Malformed, match="CRDT engine"):
        attempt(doc.apply_update, b"\xff")


# --- updates from others ---------------------------------------------------------------------------------


def test_a_live_edit_must_be_made_by_its_sender() -> None:
    one, two = new(1, "x"), new(2)
    update = one.full_state()
    with pytest.raises(Refused, match="client 1"):
        two.apply(update, sender_clients={3})
    assert two.text == ""
    two.apply(update, sender_clients={1, 3})
    assert two.text == "x"
    assert two.taken == update


def test_a_live_edit_may_delete_what_others_made() -> None:
    one, two = new(1, "abc"), new(2)
    sync(one, two)
    two.edit([Edit(1, 1, "")])
    for update in two.take_local():
        assert one.apply(update, sender_clients={2}) == [Edit(1, 1, "")]
    assert one.text == "ac"


def test_bulk_leaves_out_those_who_speak_for_themselves() -> None:
    one, two, three = new(1, "one"), new(2), new(3)
    sync(one, two)
    type_at(two, 3, " two")
    three.apply(two.full_state(), withheld={1, 7})
    assert three.text == ""
    assert three.has_pending()
    assert check_update(three.taken, Kind.TEXT).structs.keys() == {2}
    for update in one.take_local():
        three.apply(update, sender_clients={1})
    assert three.text == "one two"
    assert not three.has_pending()
    assert three.digest() == two.digest()


def test_nobody_makes_anything_in_our_name() -> None:
    made = new(1, "abc")
    forged = [
        b"\x01\x01\x01\x03\x84\x01\x02\x01x\0",
        b"\x01\x01\x01\x00\x00\xc0\x84\x3d\0",
        b"\0\x01\x01\x01\x02\x05",
        b"\x01\x01\x09\x00\x84\x01\x07\x01x\0",
    ]
    for update in forged:
        with pytest.raises(Refused, match="in our name"):
            made.apply(update)
        with pytest.raises(Refused, match="in our name"):
            made.apply(update, sender_clients={1, 9})
    assert made.text == "abc"
    assert made.apply(made.full_state()) == []


def test_our_clock_counts_what_we_and_our_applications_made() -> None:
    made = new(1, "a😀")
    made.doc.get("text", type=pycrdt.Text).insert(0, "日")
    echo = made.full_state()
    assert check_update(echo, Kind.TEXT).structs == {1: (0, 4)}
    assert made.apply(echo) == []
    with pytest.raises(Refused):
        made.apply(b"\x01\x01\x01\x04\x84\x01\x03\x01x\0")


def test_updates_in_any_order_wait_for_each_other() -> None:
    one, two = new(1), new(2)
    updates = [update for text in "abc" for update in type_at(one, one.length, text)]
    sync(one, two)
    updates += type_at(two, 3, "d")
    third = new(3)
    for update in (updates[3], updates[2], updates[0], updates[0]):
        third.apply(update)
    assert third.text == "a"
    assert third.has_pending()
    assert not third.is_up_to_date(one.state_vector())
    earlier = third.state_vector()
    third.apply(updates[1])
    assert third.text == "abcd"
    assert not third.has_pending()
    assert third.is_up_to_date(two.state_vector())
    assert third.is_known_to(two.state_vector())
    assert not third.is_known_to(earlier)
    assert third.digest() == two.digest()


def test_what_waits_is_part_of_the_full_state_but_not_of_the_state_vector() -> None:
    one = new(1)
    updates = [update for text in "abc" for update in type_at(one, one.length, text)]
    two, three = new(2), new(3)
    two.apply(updates[0])
    two.apply(updates[2])
    assert check_state_vector(two.state_vector()) == {1: 1}
    three.load(two.full_state())
    assert three.has_pending()
    three.apply(updates[1])
    assert three.text == "abc"


def test_a_gap_in_an_update_is_noticed() -> None:
    one = new(1)
    updates = [update for text in "abc" for update in type_at(one, one.length, text)]
    two = new(2)
    two.apply(merge_updates([updates[0], updates[2]]))
    assert two.text == "a"
    assert two.has_pending()
    assert sync(one, two) == [Edit(1, 0, "bc")]
    assert not two.has_pending()


def test_a_deletion_can_arrive_before_what_it_deletes() -> None:
    one, two, three = new(1, "ab"), new(2), new(3)
    sync(one, two)
    two.edit([Edit(0, 1, "")])
    three.apply(two.take_local()[0], sender_clients={2})
    assert three.has_pending()
    sync(one, three)
    assert three.text == "b"
    assert not three.has_pending()


def test_waiting_updates_are_bounded_and_healing_ones_always_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    one = new(1)
    updates = [update for _ in range(20) for update in type_at(one, one.length, "x")]
    two = new(2)
    monkeypatch.setattr(document, "PENDING_LIMIT", 3 * (clocks.WAITING_COST + 13))
    for update in updates[1:5]:
        two.apply(update)
    with pytest.raises(TooLarge, match="waits for missing"):
        two.apply(updates[5])
    two.apply(updates[0])
    assert sync(one, two)
    assert two.text == one.text
    assert not two.has_pending()


def test_the_clients_of_one_document_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    made = new(1)
    parts = [
        encode_varint(1) + encode_varint(c) + b"\0\x04\x01\x04text\x01x"
        for c in range(100, 100 + CLIENT_LIMIT)
    ]
    made.apply(encode_varint(CLIENT_LIMIT) + b"".join(parts) + b"\0")
    assert made.length == CLIENT_LIMIT
    repeated = b"\x01" + parts[0] + b"\0"
    assert made.apply(repeated) == []
    with pytest.raises(TooLarge, match="clients"):
        made.apply(b"\x01" + b"\x01\x05\0\x04\x01\x04text\x01x" + b"\0")
    assert made.length == CLIENT_LIMIT


# --- updates for others -------------------------------------------------------------------------------


def test_two_documents_have_the_same_digest_exactly_if_they_hold_the_same() -> None:
    one, two = new(1, "abc"), new(2)
    assert one.digest() != two.digest()
    sync(one, two)
    assert one.digest() == two.digest()
    one.edit([Edit(1, 1, "")])
    assert one.digest() != two.digest()
    sync(one, two)
    assert one.digest() == two.digest()
    assert len(one.digest()) == 16


def test_the_digest_does_not_depend_on_the_order_of_things() -> None:
    ranges = {5: [(0, 2), (4, 5)], 3: [(1, 9)]}
    other = {3: [(4, 9), (1, 5)], 5: [(4, 5), (0, 1), (1, 2)]}
    assert clocks.fingerprint({1: 4, 2: 0, 9: 1}, ranges) == clocks.fingerprint({9: 1, 1: 4}, other)
    assert clocks.fingerprint({1: 4}, {}) != clocks.fingerprint({}, {1: [(0, 4)]})
    assert clocks.fingerprint({1: 1}, {}, "a") != clocks.fingerprint({1: 1}, {}, "b")


def test_a_document_is_empty_until_something_is_in_it() -> None:
    made = new()
    assert made.is_empty()
    made.edit([Edit(0, 0, "x")])
    assert not made.is_empty()


def test_questions_with_bad_state_vectors_are_refused() -> None:
    made = new(text="x")
    for question in (made.updates_since, made.is_up_to_date, made.is_known_to):
        with pytest.raises(Malformed):
            question(b"\xff\xff\xff\x7f")
    assert made.updates_since(made.state_vector()) == NOTHING


def test_any_number_of_updates_merge_into_one_that_does_the_same() -> None:
    made = new()
    updates = [update for number in range(300) for update in type_at(made, number // 2, "é")]
    copy = new(2)
    copy.apply(merge_updates(updates), sender_clients={1})
    assert copy.text == made.text
    assert copy.digest() == made.digest()
    assert merge_updates([]) == NOTHING
    assert merge_updates(updates[:1]) == updates[0]


def test_updates_that_nobody_takes_are_merged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "LOCAL_KEPT", 10)
    made, copy = new(), new(2)
    for _ in range(95):
        made.edit([Edit(0, 0, "x")])
    updates = made.take_local()
    assert len(updates) <= 11
    copy.apply(merge_updates(updates), sender_clients={1})
    assert copy.text == "x" * 95


# --- the store -----------------------------------------------------------------------------------------


def test_what_was_stored_is_loaded_without_being_edited_or_sent_again() -> None:
    old = new(1, "aé日😀")
    made = new(2)
    made.load(old.full_state())
    assert made.text == "aé日😀"
    assert made.take_edits() == []
    assert made.take_local() == []
    made.edit([Edit(4, 0, "!")])
    assert made.take_edits() == [(False, Edit(4, 0, "!"))]


def test_a_damaged_update_in_the_store_is_a_fault_of_the_store() -> None:
    made = new(1, "kept")
    for data in (b"", b"\xff" * 9, new(2, "x" * 50).full_state()[:20]):
        with pytest.raises(StorageError, match="the others can"):
            made.load(data)
    assert made.text == engine_text(made) == "kept"


def test_a_client_id_is_never_used_by_two_runs() -> None:
    made = new(1)
    with pytest.raises(UsageError, match="fresh one"):
        made.load(new(1, "earlier run").full_state())


def test_what_a_document_is_made_again_from_stays_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "FOLD_LEAST", 200)
    made, copy = new(1), new(2)
    for number in range(300):
        for update in type_at(made, number, "日"):
            copy.apply(update, sender_clients={1})
    for either in (made, copy):
        assert either._replay.size < 4 * len(either.full_state()) + 400
        with pytest.raises(ExceptionGroup):
            spoil_with_formatting(either.doc)
        assert either.text == engine_text(either) == "日" * 300


def test_a_replay_gives_back_everything_in_order() -> None:
    kept = Replay()
    assert list(kept) == []
    kept.add(b"first")
    kept.add(b"second")
    assert list(kept) == [b"first", b"second"]
    assert kept.size == 11
    kept.fold(b"all")
    kept.add(b"third")
    assert list(kept) == [b"all", b"third"]
