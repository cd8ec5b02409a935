"""Token buckets and the address book: time is an argument, so these tests take none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from signaling import limits
from signaling.errors import Refusal
from signaling.limits import AddressBook, Bucket, Throttle
from signaling.messages import CloseCode


def throttle(now: float = 0.0) -> Throttle:
    return Throttle(frame_rate=10, frame_burst=5, byte_rate=1000, byte_burst=2000, now=now)


def test_a_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = Bucket(rate=2, burst=3, now=0)
    assert [bucket.take(0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.take(0.4)
    assert bucket.take(0.5)
    assert not bucket.take(0.5)


def test_a_refused_request_costs_nothing() -> None:
    bucket = Bucket(rate=1, burst=5, now=0)
    assert not bucket.take(0, 6)
    assert bucket.take(0, 5)


def test_a_bucket_says_how_long_to_wait() -> None:
    bucket = Bucket(rate=0.1, burst=1, now=0)
    assert bucket.wait(0) == 0
    assert bucket.take(0)
    assert bucket.wait(4) == pytest.approx(6)
    assert bucket.wait(100) == 0


def test_a_bucket_never_holds_more_than_its_burst() -> None:
    bucket = Bucket(rate=100, burst=3, now=0)
    assert bucket.is_full(1000)
    assert [bucket.take(1000) for _ in range(4)] == [True, True, True, False]
    assert not bucket.is_full(1000)
    assert bucket.is_full(1001)


def test_frames_within_the_burst_do_not_wait() -> None:
    slow = throttle()
    assert [slow.charge(10, 0) for _ in range(5)] == [0] * 5


def test_too_many_frames_wait_for_the_frame_rate() -> None:
    slow = throttle()
    for _ in range(5):
        slow.charge(10, 0)
    assert slow.charge(10, 0) == pytest.approx(0.1)
    assert slow.charge(10, 0.1) == pytest.approx(0.1)
    assert slow.charge(10, 100) == 0


def test_too_many_bytes_wait_for_the_byte_rate() -> None:
    slow = throttle()
    assert slow.charge(2000, 0) == 0
    assert slow.charge(500, 0) == pytest.approx(0.5)
    assert slow.charge(0, 0.5) == 0


def test_frames_saved_up_are_bounded_by_the_burst() -> None:
    slow = throttle()
    assert [slow.charge(0, 1000) for _ in range(5)] == [0] * 5
    assert slow.charge(0, 1000) > 0


def test_bytes_saved_up_are_bounded_by_the_burst() -> None:
    slow = throttle()
    assert slow.charge(2000, 1000) == 0
    assert slow.charge(1, 1000) > 0


@given(st.lists(st.integers(0, 3000), max_size=60))
def test_a_client_that_waits_as_told_never_beats_the_limits(sizes: list[int]) -> None:
    slow, now = throttle(), 0.0
    for size in sizes:
        now += slow.charge(size, now)
    assert len(sizes) <= 5 + 10 * now + 1e-6
    assert sum(sizes) <= 2000 + 1000 * now + 1e-6


@given(st.lists(st.tuples(st.integers(0, 3000), st.floats(0, 1)), max_size=60))
def test_a_wait_is_never_longer_than_what_was_sent_costs(steps: list[tuple[int, float]]) -> None:
    slow, now = throttle(), 0.0
    for size, pause in steps:
        delay = slow.charge(size, now)
        assert delay <= max(1 / 10, size / 1000) + 1e-6
        now += delay + pause


def book(connection_limit: int = 2, rate: float = 1, burst: float = 3) -> AddressBook:
    return AddressBook(connection_limit=connection_limit, rate=rate, burst=burst)


def test_connections_from_one_address_are_counted() -> None:
    addresses = book()
    addresses.arrive("a", 0)
    addresses.arrive("a", 0)
    with pytest.raises(Refusal, match="2 at once") as refused:
        addresses.arrive("a", 0)
    assert refused.value.code == CloseCode.ADDRESS_FULL
    addresses.arrive("b", 0)
    addresses.depart("a", 0)
    addresses.arrive("a", 0)


def test_coming_back_too_fast_is_refused() -> None:
    addresses = book()
    for _ in range(3):
        addresses.arrive("a", 0)
        addresses.depart("a", 0)
    with pytest.raises(Refusal, match="1 new ones a second"):
        addresses.arrive("a", 0)
    addresses.arrive("a", 1)


def test_an_address_is_forgotten_once_it_has_recovered() -> None:
    addresses = book()
    addresses.arrive("a", 0)
    addresses.arrive("a", 0)
    addresses.depart("a", 100)
    assert len(addresses) == 1
    addresses.depart("a", 100)
    assert len(addresses) == 0


def test_an_address_that_came_too_fast_is_remembered() -> None:
    addresses = book()
    addresses.arrive("a", 0)
    addresses.depart("a", 0)
    assert len(addresses) == 1


def test_attack_from_countless_addresses_does_not_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_REMEMBERED_ADDRESSES", 100)
    addresses = book()
    addresses.arrive("stays", 0)
    for number in range(1000):
        addresses.arrive(f"a{number}", 0)
        addresses.depart(f"a{number}", 0)
        assert len(addresses) <= 101
    addresses.depart("stays", 0)


def test_recovered_addresses_are_forgotten_before_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_REMEMBERED_ADDRESSES", 2)
    addresses = book(burst=1)
    for name, now in (("early", 0.0), ("late", 9.9)):
        addresses.arrive(name, now)
        addresses.depart(name, now)
    addresses.arrive("new", 10)
    assert len(addresses) == 2
    with pytest.raises(Refusal):
        addresses.arrive("late", 10)
