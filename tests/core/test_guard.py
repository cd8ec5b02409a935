"""The parser in front of the CRDT engine: what it lets through, and what it never does."""

import pytest

from peer.core import varints
from peer.core.guard import (
    CLIENT_LIMIT,
    CLOCK_LIMIT,
    ENTRY_LIMIT,
    KEY_LIMIT,
    RUN_LIMIT,
    UPDATE_LIMIT,
    VALUE_LIMIT,
    check_state_vector,
    check_update,
    refuse_others,
    without_clients,
)
from peer.core.schema import Kind
from peer.core.varints import encode_varint, varint
from peer.errors import Malformed, Refused, TooLarge

TEXT_ROOT = b"\x01\x04text"
INDEX_ROOT = b"\x01\x05files"
NO_DELETES = b"\x00"


def v(*numbers: int) -> bytes:
    return b"".join(encode_varint(number) for number in numbers)


def text(content: bytes) -> bytes:
    """A string struct at the beginning of the root."""
    return b"\x04" + TEXT_ROOT + v(len(content)) + content


def value(encoded: bytes, key: bytes = b"k") -> bytes:
    """A map entry without neighbours."""
    return b"\x28" + INDEX_ROOT + v(len(key)) + key + v(1) + encoded


def update(*structs: bytes, client: int = 7, clock: int = 0, deletes: bytes = NO_DELETES) -> bytes:
    return v(1, len(structs), client, clock) + b"".join(structs) + deletes


# --- what passes ------------------------------------------------------------------------------------


def test_an_empty_update_brings_nothing_and_needs_nothing() -> None:
    summary = check_update(b"\0\0", Kind.TEXT)
    assert (summary.structs, summary.needs, summary.deletes, summary.size) == ({}, {}, {}, 2)


def test_a_text_takes_as_many_clocks_as_it_has_utf16_units() -> None:
    summary = check_update(update(text("a日😀".encode()), clock=5), Kind.TEXT)
    assert summary.structs == {7: (5, 9)}
    assert not summary.has_gaps


def test_neighbours_and_deletions_are_what_an_update_needs() -> None:
    struct = b"\xc4" + v(9000, 20) + v(11, 300) + b"\x01x"
    summary = check_update(update(struct, deletes=v(1, 12, 2, 4, 3, 10, 1)), Kind.TEXT)
    assert summary.needs == {9000: 21, 11: 301, 12: 11}
    assert summary.deletes == {12: [(4, 7), (10, 11)]}


def test_the_largest_of_several_needs_counts() -> None:
    structs = [b"\x84" + v(9, clock) + b"\x01x" for clock in (20, 30, 25)]
    assert check_update(update(*structs), Kind.TEXT).needs == {9: 31}


@pytest.mark.parametrize("info", [0x84, 0x44, 0xC4, 0x81, 0x41, 0xC1])
def test_every_placement_of_text_and_of_deleted_text_is_read(info: int) -> None:
    neighbours = b"\x09\x00" * (2 if info >= 0xC0 else 1)
    content = b"\x01x" if info & 4 else b"\x01"
    assert check_update(update(bytes([info]) + neighbours + content), Kind.TEXT).structs == {7: (0, 1)}


def test_gaps_are_noticed_and_count_as_clocks() -> None:
    summary = check_update(update(b"\x0a" + v(5), text(b"x")), Kind.TEXT)
    assert summary.has_gaps
    assert summary.structs == {7: (0, 6)}
    assert not check_update(update(b"\x00" + v(5), text(b"x")), Kind.TEXT).has_gaps


@pytest.mark.parametrize(
    "encoded",
    [
        b"\x7f",
        b"\x7e",
        b"\x79",
        b"\x78",
        b"\x7c\0\0\0\0",
        b"\x7b" + bytes(8),
        b"\x7a" + bytes(8),
        b"\x7d\x05",
        b"\x7d\xbf\x01",
        b"\x77\x00",
        b"\x77\x03" + "日".encode(),
        b"\x74\x02\xff\x00",
    ],
)
def test_every_plain_value_is_let_into_the_index(encoded: bytes) -> None:
    assert check_update(update(value(encoded)), Kind.INDEX).structs == {7: (0, 1)}


@pytest.mark.parametrize("info", [0x88, 0xA8, 0x48, 0x68, 0xC8, 0xE8])
def test_entries_beside_others_are_read_with_and_without_a_key_bit(info: int) -> None:
    neighbours = b"\x09\x00" * (2 if info & 0xC0 == 0xC0 else 1)
    struct = bytes([info]) + neighbours + b"\x02\x78\x79"
    assert check_update(update(struct), Kind.INDEX).structs == {7: (0, 2)}


def test_a_deleted_entry_names_its_key() -> None:
    struct = b"\x21" + INDEX_ROOT + b"\x01k" + v(18)
    assert check_update(update(struct), Kind.INDEX).structs == {7: (0, 18)}


def test_large_numbers_pass_up_to_their_limits() -> None:
    big = 2**53 - 1
    summary = check_update(
        update(b"\x00" + v(RUN_LIMIT), client=big, clock=CLOCK_LIMIT - RUN_LIMIT - 1), Kind.TEXT
    )
    assert summary.structs == {big: (CLOCK_LIMIT - RUN_LIMIT - 1, CLOCK_LIMIT - 1)}
    assert varint(v(big), 0) == (big, 8)


def test_leaving_out_a_client_keeps_the_others_and_all_deletions() -> None:
    parts = [v(1, client, 3) + text(b"x" * client) for client in (1, 2, 200)]
    data = v(3) + b"".join(parts) + v(1, 2, 1, 0, 1)
    summary = check_update(data, Kind.TEXT)
    rest = without_clients(data, summary, frozenset({2}))
    after = check_update(rest, Kind.TEXT)
    assert after.structs == {1: (3, 4), 200: (3, 203)}
    assert after.deletes == {2: [(0, 1)]}
    assert check_update(without_clients(data, summary, frozenset(summary.structs)), Kind.TEXT).structs == {}


def test_only_the_named_clients_may_have_made_an_edit() -> None:
    summary = check_update(update(text(b"x")), Kind.TEXT)
    refuse_others(summary, {7})
    with pytest.raises(Refused, match="client 7"):
        refuse_others(summary, {8})


def test_a_state_vector_is_read() -> None:
    assert check_state_vector(b"\0") == {}
    assert check_state_vector(v(2, 7, 300, 2**53 - 1, 0)) == {7: 300, 2**53 - 1: 0}


# --- what does not ------------------------------------------------------------------------------------


MALFORMED = {
    "nothing": b"",
    "clients without content": v(2**28, 0),
    "structs without content": v(1, 2**31, 7, 0, 0, 0, 0),
    "no structs": v(1, 0, 7, 0) + NO_DELETES,
    "a number of 54 bits": v(1, 1, 2**53, 0) + text(b"x") + NO_DELETES,
    "a number that never ends": v(1, 1) + b"\xff" * 12,
    "bytes after the end": b"\0\0\0",
    "no deletions": update(text(b"x"))[:-1],
    "a first clock that is too large": update(text(b"x"), clock=CLOCK_LIMIT),
    "clocks that grow too large": update(text(b"xx"), clock=CLOCK_LIMIT - 2),
    "an empty text": update(text(b"")),
    "a text past the end": update(b"\x04" + TEXT_ROOT + v(2**31) + b"aa"),
    "a text that is not UTF-8": update(text(b"\xff\xfe")),
    "a text with half a character": update(text("😀".encode()[:2])),
    "a surrogate": update(text(b"\xed\xa0\xbd")),
    "a garbage range of no length": update(b"\x00\x00"),
    "a gap of no length": update(b"\x0a\x00"),
    "a left neighbour of its own that is not there yet": update(b"\x84\x07\x05\x01x", clock=5),
    "a right neighbour of its own that is not there yet": update(b"\x44\x07\x06\x01x", clock=5),
    "a neighbour beyond all clocks": update(b"\x84" + v(9, CLOCK_LIMIT) + b"\x01x"),
    "a client twice": v(2) + (v(1, 7, 0) + text(b"x")) * 2 + NO_DELETES,
    "a deleting client twice": v(0, 2, 7, 1, 0, 1, 7, 1, 5, 1),
    "deleted ranges without content": v(0, 1, 7, 2**30, 0, 1),
    "no deleted range": v(0, 1, 7, 0),
    "a deleted range of no length": v(0, 1, 7, 1, 3, 0),
    "a deleted range beyond all clocks": v(0, 1, 7, 1, CLOCK_LIMIT - 1, 1),
    "deleting clients without content": v(0, 2**20, 7),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_an_update_is_malformed_that_has(name: str) -> None:
    with pytest.raises(Malformed):
        check_update(MALFORMED[name], Kind.TEXT)


MALFORMED_ENTRIES = {
    "values without content": b"\x28" + INDEX_ROOT + b"\x01k" + v(2**30) + b"\x78",
    "no value": b"\x28" + INDEX_ROOT + b"\x01k\x00",
    "a float past the end": value(b"\x7b\0"),
    "a text past the end": value(b"\x77" + v(50) + b"a"),
    "bytes past the end": value(b"\x74" + v(50) + b"a"),
    "a text that is not UTF-8": value(b"\x77\x01\xff"),
    "a key that is not UTF-8": value(b"\x78", key=b"\xff"),
    "an integer that never ends": value(b"\x7d" + b"\xff" * 12),
}


@pytest.mark.parametrize("name", MALFORMED_ENTRIES)
def test_an_entry_is_malformed_that_has(name: str) -> None:
    with pytest.raises(Malformed):
        check_update(update(MALFORMED_ENTRIES[name]), Kind.INDEX)


def test_what_is_larger_than_agreed_is_too_large() -> None:
    for data in (
        v(CLIENT_LIMIT + 1) + b"\0" * (2 * CLIENT_LIMIT + 2),
        update(b"\x00" + v(RUN_LIMIT + 1)),
        v(0, 1, 7, 1, 0, RUN_LIMIT + 1),
        update(*[b"\x00\x01"] * (ENTRY_LIMIT + 1)),
        bytes(UPDATE_LIMIT + 1),
    ):
        with pytest.raises(TooLarge):
            check_update(data, Kind.TEXT)
    for entry in (
        value(b"\x78", key=b"k" * (KEY_LIMIT + 1)),
        value(b"\x77" + v(VALUE_LIMIT + 1) + b"x" * (VALUE_LIMIT + 1)),
        value(b"\x74" + v(VALUE_LIMIT + 1) + b"x" * (VALUE_LIMIT + 1)),
    ):
        with pytest.raises(TooLarge):
            check_update(update(entry), Kind.INDEX)


def test_the_limit_of_an_update_can_be_lowered() -> None:
    with pytest.raises(TooLarge, match="is 19, the limit is 18"):
        check_update(update(text(b"x" * 6)), Kind.TEXT, limit=18)


@pytest.mark.parametrize("content", [2, 3, 5, 6, 7, 8, 9, 11, 12, 15, 16, 20, 31])
def test_a_text_holds_nothing_but_text(content: int) -> None:
    for flags in (0, 0x80, 0x40, 0xC0):
        with pytest.raises(Refused, match=f"holds content of type {content} "):
            check_update(update(bytes([flags | content]) + TEXT_ROOT + b"\x01\x01x"), Kind.TEXT)


@pytest.mark.parametrize("content", [2, 3, 4, 5, 6, 7, 9, 11, 12, 15, 16, 24, 31])
def test_the_index_holds_nothing_but_values(content: int) -> None:
    for flags in (0, 0x20, 0x80, 0xA0, 0x40, 0xC0):
        with pytest.raises(Refused, match=f"holds content of type {content} "):
            check_update(update(bytes([flags | content]) + INDEX_ROOT + b"\x01k\x01x"), Kind.INDEX)


@pytest.mark.parametrize("info", [0x24, 0x21, 0x20, 0x2A, 0xA4, 0x8A, 0x80, 0x40])
def test_a_text_has_no_keys_and_bare_structs_have_no_place(info: int) -> None:
    with pytest.raises(Refused):
        check_update(update(bytes([info]) + TEXT_ROOT + b"\x01k\x01x"), Kind.TEXT)


@pytest.mark.parametrize("kind", list(Kind))
@pytest.mark.parametrize(
    "parent", [b"\x01\x01t", b"\x01\x05texts", b"\x01\x84\x00text", b"\x00\x07\x00", b"\x01\x05file"]
)
def test_an_item_belongs_to_the_one_root_and_to_nothing_else(kind: Kind, parent: bytes) -> None:
    struct = b"\x04" + parent + b"\x01x" if kind is Kind.TEXT else b"\x28" + parent + b"\x01k\x01\x78"
    with pytest.raises(Refused, match="part that this document does not have"):
        check_update(update(struct), kind)


def test_the_root_of_the_other_kind_is_refused() -> None:
    with pytest.raises(Refused, match="part that"):
        check_update(update(b"\x04" + INDEX_ROOT + b"\x01x"), Kind.TEXT)
    with pytest.raises(Refused, match="part that"):
        check_update(update(b"\x28" + TEXT_ROOT + b"\x01k\x01\x78"), Kind.INDEX)


def test_an_entry_without_neighbours_must_name_its_key() -> None:
    with pytest.raises(Refused):
        check_update(update(b"\x08" + INDEX_ROOT + b"\x01\x78"), Kind.INDEX)


@pytest.mark.parametrize("depth", [1, 25_000, 100_000])
def test_nested_values_are_refused_at_the_first_level(depth: int) -> None:
    for opening in (b"\x75\x01", b"\x76\x01\x01k"):
        with pytest.raises(Refused, match="plain values only"):
            check_update(update(value(opening * depth + b"\x78")), Kind.INDEX)


@pytest.mark.parametrize(
    "data", [b"", v(2**28), v(1, 7), v(1, 7, 3, 0), v(2, 7, 3, 7, 3), v(1, 7, CLOCK_LIMIT), v(1, 2**53, 1)]
)
def test_a_state_vector_that_cannot_be_true_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        check_state_vector(data)


def test_a_state_vector_of_too_many_clients_is_too_large() -> None:
    with pytest.raises(TooLarge):
        check_state_vector(v(CLIENT_LIMIT + 1) + b"\x01\x01" * (CLIENT_LIMIT + 1))


@pytest.mark.parametrize("kind", list(Kind))
def test_an_update_cut_off_anywhere_is_malformed(kind: Kind) -> None:
    struct = text("é😀x".encode()) if kind is Kind.TEXT else value(b"\x77\x02hi")
    whole = update(struct, b"\x00\x05", client=300, clock=1000, deletes=v(1, 9, 1, 400, 2))
    check_update(whole, kind)
    for end in range(len(whole)):
        with pytest.raises((Malformed, Refused)):
            check_update(whole[:end], kind)


def test_numbers_are_read_the_same_however_often_and_beside_whatever() -> None:
    numbers = [2**shift + offset for shift in range(52) for offset in (0, 1)] + [2**53 - 1]
    for _ in range(2):
        for number in numbers:
            encoded = encode_varint(number)
            for tail in (b"", b"\x00", b"\x80" * 8, encode_varint(2**52)):
                assert varint(encoded + tail, 0) == (number, len(encoded))
                assert varint(b"\xff" + encoded + tail, 1) == (number, len(encoded) + 1)


def test_only_so_many_numbers_are_known_by_sight() -> None:
    for number in range(2**52, 2**52 + 2 * varints.REMEMBERED):
        assert varint(encode_varint(number), 0) == (number, 8)
    assert len(varints._client_ids) <= varints.REMEMBERED
