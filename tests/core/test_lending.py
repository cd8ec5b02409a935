"""Credentials on loan: two clocks, and whatever speaks against them counts."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peer.core.lending import CLOCKS_APART, Lease, ask_again

HOUR = Lease(given=100.0, unix=1_000_000.0, ttl=3600.0)


def after(lease: Lease, seconds: float, *, slept: float = 0.0) -> bool:
    return lease.is_good(lease.given + seconds, lease.unix + seconds + slept)


def test_a_credential_is_good_until_shortly_before_its_end() -> None:
    assert after(HOUR, 0)
    assert after(HOUR, 3569)
    assert not after(HOUR, 3570)
    assert not after(HOUR, 1e9)


def test_the_margin_of_a_short_life_is_a_part_of_it() -> None:
    short = Lease(0.0, 0.0, 10.0)
    assert after(short, 8.9)
    assert not after(short, 9.1)


def test_nothing_is_good_after_a_sleep() -> None:
    assert after(HOUR, 10, slept=CLOCKS_APART)
    assert not after(HOUR, 10, slept=CLOCKS_APART + 1)
    assert HOUR.is_suspect(HOUR.given + 10, HOUR.unix + 10 + CLOCKS_APART + 1)


def test_a_date_that_went_back_makes_them_suspect_too() -> None:
    assert not after(HOUR, 10, slept=-CLOCKS_APART - 1)


def test_a_clock_that_crept_ahead_counts() -> None:
    almost = Lease(0.0, 0.0, 100.0)
    assert after(almost, 88)
    assert not after(almost, 88, slept=3)


def test_what_never_expires_is_always_good() -> None:
    forever = Lease(0.0, 0.0, 0.0)
    assert after(forever, 1e9, slept=1e9)
    assert not forever.is_suspect(0.0, 1e9)
    assert forever.renew_at(0.5) == float("inf")


def test_no_server_can_make_us_keep_them_longer_than_a_day() -> None:
    generous = Lease(0.0, 0.0, 1e300)
    assert after(generous, 86_000)
    assert not after(generous, 86_400)
    assert generous.renew_at(1.0) == 43_200


def test_they_are_renewed_around_half_of_their_life_and_not_by_all_at_once() -> None:
    assert HOUR.renew_at(0.0) == pytest.approx(100 + 1440)
    assert HOUR.renew_at(1.0) == pytest.approx(100 + 1800)


def test_attack_a_server_that_lends_for_no_time_does_not_keep_us_busy() -> None:
    assert Lease(5.0, 7.0, 1e-9).renew_at(0.0) == pytest.approx(5.2)


@given(st.floats(1, 1e5), st.floats(0, 1))
def test_they_are_still_good_when_they_are_renewed_and_a_server_may_be_asked(
    ttl: float, spread: float
) -> None:
    lease = Lease(5.0, 7.0, ttl)
    age = lease.renew_at(spread) - lease.given
    assert lease.is_good(5.0 + age, 7.0 + age)
    assert age > min(60.0, ttl / 4)


@pytest.mark.parametrize(("ttl", "seconds"), [(0.0, 1.0), (2.0, 1.0), (20.0, 5.0), (3600.0, 60.0)])
def test_who_was_not_answered_asks_again_as_often_as_servers_allow(ttl: float, seconds: float) -> None:
    assert ask_again(ttl) == seconds
