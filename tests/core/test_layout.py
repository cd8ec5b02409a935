"""Entries of the index and where they go: the same on every peer, whatever a peer writes into it."""

import itertools
import random

import pytest

from peer.core.ids import DocId
from peer.core.index import Scalar
from peer.core.layout import (
    UNCONDITIONAL,
    Blob,
    Entry,
    blob_digests,
    doc_of,
    key_of,
    lay_out,
    read_entry,
    read_layout,
    same_path_name,
)

DIGEST = bytes(range(32))


def doc(number: int) -> DocId:
    return DocId(number.to_bytes(8, "big"))


def entry(number: int, path: str, by: str = "ben") -> Entry:
    return Entry(doc(number), path, None, executable=False, crlf=False, by=by, since=b"", gone=None)


def paths(*entries: Entry) -> list[str]:
    placed = lay_out(entries)
    return [placed[one.doc] for one in entries]


def test_a_path_that_one_entry_wants_is_its_own() -> None:
    assert paths(entry(1, "a.txt"), entry(2, "b/c.txt")) == ["a.txt", "b/c.txt"]


def test_the_lowest_id_keeps_a_path_and_the_others_are_named_after_their_makers() -> None:
    assert paths(
        entry(2, "x/a.txt"), entry(1, "x/a.txt"), entry(3, "x/a.txt"), entry(4, "x/a.txt", "ann")
    ) == [
        "x/a (ben).txt",
        "x/a.txt",
        "x/a (ben 2).txt",
        "x/a (ann).txt",
    ]


def test_paths_that_differ_in_case_or_spelling_only_cannot_both_be() -> None:
    assert paths(entry(1, "Read.me"), entry(2, "READ.ME"), entry(3, "e\u0301"), entry(4, "é")) == [
        "Read.me",
        "READ (ben).ME",
        "e\u0301",
        "é (ben)",
    ]


def test_a_file_gives_way_to_a_directory_of_its_name() -> None:
    assert paths(entry(1, "a"), entry(2, "a/b/c"), entry(3, "A/b")) == [
        "a (ben)",
        "a/b/c",
        "A (ben)/b",
    ] or paths(entry(1, "a"), entry(2, "a/b/c"), entry(3, "A/b")) == ["a (ben)", "a/b/c", "A/b (ben)"]


def test_a_new_name_never_takes_one_that_another_entry_has() -> None:
    assert paths(entry(1, "a"), entry(2, "a"), entry(3, "a (ben)")) == ["a", "a (ben 2)", "a (ben)"]


def test_a_maker_whose_name_cannot_be_in_a_path_is_called_copy() -> None:
    assert paths(entry(1, "a"), entry(2, "a", "../\x00"), entry(3, "a", "Zoë/\\")) == [
        "a",
        "a (..)",
        "a (Zoë)",
    ]
    assert paths(entry(1, "a"), entry(2, "a", "///")) == ["a", "a (copy)"]


def test_a_path_too_long_for_a_mark_is_named_by_its_id() -> None:
    name = "n" * 250
    assert paths(entry(1, name), entry(2, name))[1] == f"{doc(2).hex()}.copy"


def test_every_order_of_entries_gives_the_same_places() -> None:
    entries = [entry(n, path) for n, path in enumerate(["a", "a", "A", "a/b", "a (ben)", "c"], 1)]
    expected = lay_out(entries)
    assert len({path.casefold() for path in expected.values()}) == len(entries)
    for order in itertools.permutations(entries):
        assert lay_out(order) == expected


@pytest.mark.parametrize(
    ("path", "named"),
    [("a.txt", "a (x).txt"), ("d.e/a", "d.e/a (x)"), (".env", ".env (x)"), ("a.tar.gz", "a.tar (x).gz")],
)
def test_a_mark_goes_before_the_ending(path: str, named: str) -> None:
    assert same_path_name(path, "x") == named


def text_keys(number: int, path: Scalar, **more: Scalar) -> dict[str, Scalar]:
    fields: dict[str, Scalar] = {"path": path, "kind": "text", **more}
    return {key_of(doc(number), field): value for field, value in fields.items()}


def test_an_entry_is_read_from_its_keys() -> None:
    keys = text_keys(1, "run.sh", exec=True, eol="crlf", by="ann", since=b"s", gone=b"g")
    read = read_entry(doc(1), keys)
    assert read == Entry(doc(1), "run.sh", None, executable=True, crlf=True, by="ann", since=b"s", gone=b"g")
    assert (read.kind, read.digest, read.eol) == ("text", None, "crlf")


def test_a_blob_says_what_it_replaced() -> None:
    first = Blob(DIGEST, 3)
    second = Blob(bytes(32), 4).after(first)
    keys = {**text_keys(1, "a.bin"), key_of(doc(1), "kind"): "blob", key_of(doc(1), "blob"): str(second)}
    read = read_entry(doc(1), keys)
    assert read is not None
    assert read.blob == second
    assert (read.kind, read.digest, read.eol) == ("blob", bytes(32), "")
    assert second.follows(DIGEST)
    assert not first.follows(bytes(32))


@pytest.mark.parametrize("path", [None, 7, "../up", "/etc/passwd", "a\x00b", ".git/config", "", "a//b"])
def test_an_entry_with_a_path_that_cannot_be_used_is_left_out(path: Scalar) -> None:
    assert read_entry(doc(1), text_keys(1, path)) is None


@pytest.mark.parametrize(
    "blob", [None, 7, b"", "x", f"{DIGEST.hex()} 99999999999", f"{DIGEST.hex()} -1", DIGEST.hex()]
)
def test_a_blob_that_cannot_be_read_or_is_too_large_is_left_out(blob: Scalar) -> None:
    keys = {**text_keys(1, "a"), key_of(doc(1), "kind"): "blob", key_of(doc(1), "blob"): blob}
    assert read_entry(doc(1), keys) is None


def test_fields_of_another_type_count_as_not_there() -> None:
    keys = text_keys(1, "a", exec=1, eol=3, by=4, since="s", gone="g")
    assert read_entry(doc(1), keys) == Entry(doc(1), "a", None, False, False, "", b"", None)


def test_a_key_of_another_form_belongs_to_no_file() -> None:
    assert doc_of(key_of(doc(5), "path")) == doc(5)
    assert doc_of("settings/colour") is None
    assert doc_of("0000/path") is None


def test_an_edit_beats_a_delete() -> None:
    keys = {**text_keys(1, "dead", gone=b"1"), **text_keys(2, "edited", gone=b"2"), **text_keys(3, "there")}
    keys |= text_keys(4, "gone", gone=UNCONDITIONAL)
    keys |= {
        **text_keys(5, "b", gone=DIGEST),
        key_of(doc(5), "kind"): "blob",
        key_of(doc(5), "blob"): str(Blob(DIGEST, 1)),
    }
    keys |= {
        **text_keys(6, "c", gone=b"x"),
        key_of(doc(6), "kind"): "blob",
        key_of(doc(6), "blob"): str(Blob(DIGEST, 1)),
    }
    keys |= text_keys(7, "../out")
    layout = read_layout(keys, lambda name, state: name == doc(2) and state == b"2")
    assert sorted(layout.files) == ["c", "edited", "there"]
    assert layout.refused == {doc(7)}


def test_no_index_that_a_peer_can_write_makes_two_files_collide() -> None:
    chance = random.Random(5)
    names = ["a", "A", "a/b", "a/B", "a/b/c", "a (ben)", "..", "é", "e\u0301", "x" * 300]
    for _ in range(300):
        keys: dict[str, Scalar] = {}
        for number in range(1, 8):
            by: Scalar = chance.choice(["ben", "", "b/n"])
            keys |= text_keys(number, chance.choice(names), by=by)
        files = read_layout(keys, lambda name, state: False).files
        folded = {path.casefold() for path in files}
        assert len(folded) == len(files)
        assert not any(other.startswith(path + "/") for path in folded for other in folded)


def test_the_contents_of_deleted_files_are_named_too() -> None:
    entries: dict[str, Scalar] = {
        key_of(DocId(b"a" * 8), "blob"): str(Blob(b"1" * 32, 10)),
        key_of(DocId(b"b" * 8), "blob"): str(Blob(b"2" * 32, 10).after(Blob(b"3" * 32, 10))),
        key_of(DocId(b"b" * 8), "gone"): b"2" * 32,
        key_of(DocId(b"c" * 8), "blob"): "garbage",
        key_of(DocId(b"c" * 8), "path"): str(Blob(b"4" * 32, 10)),
    }
    assert blob_digests(entries) == {b"1" * 32, b"2" * 32}
