"""When a client is asked, and when it is given up."""

from random import Random

from signaling.heartbeat import Beat, Heartbeat


def heartbeat(ping: float = 20, pong: float = 8) -> Heartbeat:
    return Heartbeat(ping_seconds=ping, pong_seconds=pong, now=0, random=Random(1))


def ping_time(heart: Heartbeat, since: float) -> float:
    """When, in steps of 0.1 s, the next ping goes out."""
    now = since
    while heart.check(now, Random(1)) is not Beat.PING:
        now += 0.1
        assert now < since + 100
    return now


def test_the_first_ping_comes_after_20_seconds_more_or_less() -> None:
    times = set()
    for seed in range(50):
        heart = Heartbeat(ping_seconds=20, pong_seconds=8, now=0, random=Random(seed))
        times.add(round(ping_time(heart, 0), 1))
    assert min(times) >= 15
    assert max(times) <= 25.2
    assert len(times) > 20


def test_a_client_that_answers_is_asked_again() -> None:
    heart = heartbeat()
    asked = ping_time(heart, 0)
    heart.heard_at = asked + 1
    again = ping_time(heart, asked)
    assert 15 <= again - asked <= 25.2


def test_a_client_that_says_nothing_for_8_seconds_is_given_up() -> None:
    heart = heartbeat()
    asked = ping_time(heart, 0)
    assert heart.check(asked + 8, Random(1)) is Beat.NOTHING
    assert heart.check(asked + 8.1, Random(1)) is Beat.GIVE_UP


def test_what_was_heard_before_the_ping_is_no_answer() -> None:
    heart = heartbeat()
    heart.heard_at = 14.0
    asked = ping_time(heart, 0)
    assert heart.check(asked + 8.1, Random(1)) is Beat.GIVE_UP


def test_anything_heard_is_an_answer() -> None:
    heart = heartbeat()
    asked = ping_time(heart, 0)
    heart.heard_at = asked
    assert heart.check(asked + 8.1, Random(1)) is Beat.NOTHING


def test_a_second_ping_does_not_prolong_the_wait_for_the_first() -> None:
    heart = heartbeat(ping=1, pong=8)
    asked = ping_time(heart, 0)
    ping_time(heart, asked)
    assert heart.check(asked + 8.1, Random(1)) is Beat.GIVE_UP
