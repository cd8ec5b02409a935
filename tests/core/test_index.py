"""The list of files as plain values under short names."""

import pytest

from peer.core.documents import Document, Documents
from peer.core.guard import KEY_LIMIT, VALUE_LIMIT
from peer.core.ids import INDEX
from peer.core.index import Index, Scalar
from peer.errors import UsageError


def new(client: int = 1) -> Document:
    return Documents(lambda: client).open(INDEX)


def exchange(source: Document, target: Document) -> None:
    target.apply(source.updates_since(target.state_vector()))


@pytest.mark.parametrize(
    "value",
    [None, True, False, 0, 5, -7, 2**31, -(2**40), 2**53 - 1, 1 - 2**53, 0.5, "", "日😀", b"", b"\xff\0"],
)
def test_a_value_comes_back_as_it_was_put_in(value: Scalar) -> None:
    source, target = new(1), new(2)
    source.index.set("key", value)
    exchange(source, target)
    for document in (source, target):
        there = document.index.entries()["key"]
        assert (there, type(there)) == (value, type(value))


def test_changes_travel_and_are_told_once_each_in_order() -> None:
    source, target = new(1), new(2)
    for key in ("b", "a", "b"):
        source.index.set(key, key + "1" if key not in source.index.entries() else "again")
    exchange(source, target)
    assert source.index.take_changed_keys() == ["b", "a"]
    assert sorted(target.index.take_changed_keys()) == ["a", "b"]
    target.index.delete("a")
    assert target.index.take_changed_keys() == ["a"]
    exchange(target, source)
    assert source.index.take_changed_keys() == ["a"]
    assert dict(source.index.entries()) == dict(target.index.entries()) == {"b": "again"}
    assert source.index.take_changed_keys() == []


def test_what_changes_nothing_makes_no_update() -> None:
    document = new()
    document.index.set("key", 1)
    document.take_local()
    document.index.set("key", 1)
    document.index.delete("absent")
    assert document.take_local() == []
    document.index.set("key", True)
    assert document.index.entries()["key"] is True
    assert len(document.take_local()) == 1


def test_the_entries_follow_every_change_and_cannot_be_written() -> None:
    document = new()
    entries = document.index.entries()
    document.index.set("key", "value")
    assert entries == {"key": "value"}
    with pytest.raises(TypeError):
        entries["key"] = "other"  # type: ignore[index]


@pytest.mark.parametrize("key", ["k" * (KEY_LIMIT + 1), "日" * (KEY_LIMIT // 3 + 1), "\ud83d"])
def test_a_key_that_peers_would_refuse_is_refused_here(key: str) -> None:
    document = new()
    with pytest.raises(UsageError):
        document.index.set(key, 1)
    assert document.take_local() == []


@pytest.mark.parametrize(
    "value",
    ["x" * (VALUE_LIMIT + 1), "\udc00", b"x" * (VALUE_LIMIT + 1), 2**53, -(2**53)],
    ids=lambda v: str(v)[:8],
)
def test_a_value_that_peers_would_refuse_is_refused_here(value: Scalar) -> None:
    document = new()
    with pytest.raises(UsageError):
        document.index.set("key", value)
    assert document.take_local() == []


def test_an_index_that_is_attached_again_tells_what_differs() -> None:
    class Shared(dict[str, Scalar | bytearray]):
        def to_py(self) -> dict[str, Scalar | bytearray] | None:
            return dict(self) or None

    index = Index(lambda change: change())
    index.attach(Shared())
    assert index.take_changed_keys() == []
    index.attach(Shared(a=1.0, b=bytearray(b"b"), c=None))
    assert index.take_changed_keys() == ["a", "b", "c"]
    index.attach(Shared(a=1.0, b=bytearray(b"x")))
    assert index.take_changed_keys() == ["b", "c"]
    assert index.entries() == {"a": 1, "b": b"x"}


def test_entries_set_many_times_merge_into_updates_that_peers_take() -> None:
    source, target = new(1), new(2)
    for number in range(40):
        source.index.set("key", number)
    updates = source.take_local()
    for update in (updates[3], *updates):
        target.apply(update, sender_clients={1})
    assert target.index.entries() == {"key": 39}
    assert target.digest() == source.digest()
