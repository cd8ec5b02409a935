"""Servers are tried in order, rested when they fail, and left for a better one; every branch by hand."""

import math
from random import Random

from peer.core.rota import (
    CANDIDATES_LIMIT,
    HINT_LIMIT,
    HURRY_EVERY,
    RETRY_DOUBLINGS,
    RETRY_LONGEST,
    STAGGER,
    STEADY,
    Rota,
    State,
)


def longest(_: float, high: float) -> float:
    return high


def rota(*servers: str) -> Rota:
    made = Rota(longest)
    made.offer(servers)
    return made


def test_the_first_is_tried_first_and_the_next_one_beside_it_after_a_while() -> None:
    servers = rota("a", "b", "c")
    assert servers.is_trying(0.0)
    assert servers.due(0.0) == "a"
    assert servers.due(0.0) is None
    assert servers.next_deadline() == STAGGER
    assert servers.due(STAGGER - 0.01) is None
    assert servers.due(STAGGER) == "b"
    assert servers.due(STAGGER) is None
    assert servers.next_deadline() == 2 * STAGGER
    assert servers.due(2 * STAGGER) == "c"
    assert servers.next_deadline() is None, "only an event can help"


def test_one_that_fails_at_once_lets_the_next_one_begin_at_once() -> None:
    servers = rota("a", "b")
    assert servers.due(0.0) == "a"
    servers.ended("a", 0.1)
    assert servers.state("a") is State.WAITING
    assert servers.next_deadline() == 0.0
    assert servers.due(0.1) == "b"


def test_the_waits_of_one_server_grow_and_do_not_touch_the_others() -> None:
    servers = rota("a", "b")
    now = 0.0
    waits = []
    for _ in range(10):
        servers.offer(("a", "b"))
        breaker = servers._breakers["a"]
        now = max(now, breaker.until)
        assert servers.due(now) == "a"
        servers.ended("a", now)
        waits.append(breaker.until - now)
    assert waits == [0.5, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]
    assert servers._breakers["a"].failures == RETRY_DOUBLINGS
    assert servers._breakers["b"].failures == 0


def test_waits_are_spread_over_their_whole_range() -> None:
    random = Random(7)
    servers = Rota(random.uniform)
    servers.offer(("a",))
    waits = []
    for number in range(200):
        servers._breakers["a"].state = State.TRYING
        servers.ended("a", 100.0 * number)
        waits.append(servers._breakers["a"].until - 100.0 * number)
    assert all(0 <= wait <= RETRY_LONGEST for wait in waits)
    assert max(waits) > 25
    assert min(waits[10:]) < 5


def test_who_was_away_for_a_moment_is_found_a_moment_later() -> None:
    servers = Rota(lambda least, most: most if servers._breakers["a"].failures > 6 else 0.1)
    servers.offer(("a",))
    for moment in range(7):  # by chance a connection was tried again and again in this half second
        servers.ended("a", 100.0 + moment * 0.1)
    assert servers._breakers["a"].until <= 101.2


def test_a_wait_that_the_server_asks_for_is_kept_within_reason() -> None:
    servers = rota("a")
    servers.due(0.0)
    servers.ended("a", 0.0, wait=40.0)
    assert servers.next_deadline() == 40.0
    assert servers.due(39.0) is None
    assert servers.due(40.0) == "a"
    servers.ended("a", 40.0, wait=1e9)
    assert servers.next_deadline() == 40.0 + HINT_LIMIT


def test_a_visit_that_lasted_closes_the_breaker_and_a_short_one_does_not() -> None:
    servers = rota("a")
    for _ in range(4):
        servers.ended("a", 0.0)
    servers.entered("a", 10.0)
    assert servers.state("a") is State.INSIDE
    servers.ended("a", 10.0 + STEADY)
    assert servers._breakers["a"].failures == 5
    servers.entered("a", 100.0)
    servers.ended("a", 100.1 + STEADY)
    assert servers._breakers["a"].failures == 1


def test_while_a_good_one_is_used_only_better_ones_are_tried_one_at_a_time() -> None:
    servers = rota("a", "b", "c", "d")
    assert servers.due(0.0) == "a"
    servers.ended("a", 0.0)
    assert servers.due(0.0) == "b"
    servers.ended("b", 0.0)
    assert servers.due(0.0) == "c"
    servers.entered("c", 0.1)
    servers.used = "c"
    assert servers.next_deadline() == 0.5
    assert servers.due(0.5) == "a"
    assert servers.due(0.6) is None
    assert servers.next_deadline() is None
    servers.entered("a", 0.7)
    assert servers.due(9.0) is None, "one better server is enough"
    assert servers.is_better("a", "c")
    assert not servers.is_better("c", "a")
    servers.used = "a"
    servers.given_up("c", 0.7)
    assert servers.state("c") is State.READY
    assert servers.next_deadline() is None


def test_a_server_that_refuses_for_good_is_not_tried_again_and_when_all_do_there_is_no_hope() -> None:
    servers = rota("a", "b")
    servers.due(0.0)
    servers.ended("a", 0.0, final=True)
    assert servers.state("a") is State.REFUSED
    assert not servers.is_hopeless()
    assert servers.due(1.0) == "b"
    servers.ended("b", 1.0, final=True)
    assert servers.is_hopeless()
    assert servers.due(1e6) is None
    assert not servers.is_trying(1e6)
    servers.retry_now()
    assert servers.is_hopeless()


def test_without_any_server_there_is_still_hope() -> None:
    servers = rota()
    assert not servers.is_hopeless()
    assert servers.next_deadline() is None
    assert servers.state("a") is None


def test_a_new_network_makes_all_that_wait_ready() -> None:
    servers = rota("a", "b")
    for name in ("a", "b"):
        for moment in range(5):
            servers.ended(name, moment - 4.0)
    assert servers.due(1.0) is None
    assert not servers.is_trying(1.0)
    servers.retry_now()
    assert servers.next_deadline() == -math.inf
    assert servers.due(1.0) == "a"
    assert servers._breakers["b"].failures == 0


def test_when_somebody_leaves_better_servers_are_looked_at_but_not_all_the_time() -> None:
    servers = rota("a", "b")
    servers.hurry(0.0)
    servers.due(0.0)
    for moment in range(7):
        servers.ended("a", moment - 6.0)
    servers.due(0.0)
    servers.entered("b", 0.0)
    servers.used = "b"
    assert servers.due(1.0) is None
    servers.hurry(1.0)
    assert servers.due(1.0) == "a"
    servers.hurry(1.0 + HURRY_EVERY)
    assert servers.state("a") is State.TRYING
    servers.ended("a", 2.0 + HURRY_EVERY)
    servers.hurry(2.0 + HURRY_EVERY)
    assert servers.due(2.0 + HURRY_EVERY) is None, "asked too often"


def test_new_candidates_keep_what_is_known_and_those_where_we_are() -> None:
    servers = rota("a", "b", "c")
    servers.due(0.0)
    servers.ended("a", 0.0)
    servers.due(0.0)
    servers.entered("b", 0.0)
    servers.used = "b"
    servers.offer(("lan", "a"))
    assert servers.state("a") is State.WAITING
    assert servers.state("b") is State.INSIDE
    assert servers.state("c") is None
    assert servers.due(0.0) == "lan", "it comes first now"
    servers.offer([str(number) for number in range(50)])
    assert len(servers._breakers) == CANDIDATES_LIMIT + 2
