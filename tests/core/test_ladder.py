from peer.core.ladder import (
    EVERYTHING,
    KINDS,
    NETWORKS_REMEMBERED,
    RELAY_AFTER,
    RELAY_SOON,
    RUNG_EVERY,
    TURN_AFTER,
    Ladder,
    Means,
    Rung,
)
from peer.core.policy import ways


def kinds(means: Means) -> list[str]:
    return [rung.kind for rung in means.turn]


def test_rungs_come_one_after_the_other_the_best_first() -> None:
    ladder = Ladder()
    assert ladder.means(ways("auto")) == Means()
    ladder.offer(("tls", "udp", "carrier pigeon"))
    assert ladder.offered == ("udp", "tls")
    assert ladder.means(ways("auto")).turn == (Rung("udp", TURN_AFTER), Rung("tls", TURN_AFTER + RUNG_EVERY))
    assert kinds(EVERYTHING) == list(KINDS)


def test_what_worked_on_a_network_is_first_there_and_nowhere_else() -> None:
    ladder = Ladder()
    ladder.offer(KINDS)
    ladder.moved(b"office")
    assert ladder.reached is None
    ladder.worked("tls")
    assert ladder.reached == "tls"
    assert kinds(ladder.means(ways("auto"))) == ["tls", "udp", "tcp"]
    ladder.moved(b"home")
    assert kinds(ladder.means(ways("auto"))) == list(KINDS)
    ladder.moved(b"office")
    ladder.worked("udp")
    assert kinds(ladder.means(ways("auto"))) == list(KINDS)


def test_old_networks_are_forgotten() -> None:
    ladder = Ladder()
    for number in range(NETWORKS_REMEMBERED + 1):
        ladder.moved(bytes([number]))
        ladder.worked("tcp")
    ladder.moved(bytes([0]))
    assert ladder.reached is None
    ladder.moved(bytes([1]))
    assert ladder.reached == "tcp"


def test_only_what_is_allowed_is_used() -> None:
    ladder = Ladder()
    ladder.offer(("udp",))
    assert ladder.means(ways("lan")) == Means(host=True, stun=False)
    assert ladder.means(ways("turn")) == Means(host=False, stun=False, turn=(Rung("udp", 0.0),), hold=0.0)


def test_two_who_needed_turn_last_time_wait_less_for_a_direct_path() -> None:
    assert Ladder().means(ways("auto")).hold == RELAY_AFTER
    assert Ladder().means(ways("auto"), soon=True).hold == RELAY_SOON
