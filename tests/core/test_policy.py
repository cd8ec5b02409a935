import pytest

from peer.core.policy import POLICIES, allows_relay, ways

EVERY = {"host", "stun", "turn"}
TABLE: dict[str, tuple[set[str], bool]] = {
    "auto": (EVERY, True),
    "lan": ({"host"}, False),
    "direct": (EVERY, False),
    "turn": ({"turn"}, False),
    "relay": (set(), True),
}


@pytest.mark.parametrize("policy", POLICIES)
def test_each_word_allows_what_the_table_says(policy: str) -> None:
    assert (set(ways(policy)), allows_relay(policy)) == TABLE[policy]


@pytest.mark.parametrize("one", POLICIES)
@pytest.mark.parametrize("other", POLICIES)
def test_two_people_use_what_both_allow(one: str, other: str) -> None:
    assert ways(one, other) == TABLE[one][0] & TABLE[other][0]
    assert allows_relay(one, other) == (TABLE[one][1] and TABLE[other][1])


def test_a_word_of_a_newer_peer_allows_everything() -> None:
    assert ways("auto", "pigeon") == EVERY
    assert allows_relay("pigeon")
