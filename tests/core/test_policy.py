import pytest

from peer.core.policy import POLICIES, allows_relay, ruled_out, ways

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


@pytest.mark.parametrize(
    ("ours", "theirs", "words"),
    [
        ("auto", "direct", ""),
        ("turn", "auto", "--path turn was chosen here"),
        ("turn", "turn", "--path turn was chosen here"),
        ("direct", "lan", "--path lan was chosen on the other side"),
        ("relay", "auto", "--path relay was chosen here"),
        ("auto", "relay", "--path relay was chosen on the other side"),
        ("lan", "turn", "--path lan here and --path turn on the other side have no path in common"),
    ],
)
def test_a_choice_that_rules_out_a_direct_path_is_named(ours: str, theirs: str, words: str) -> None:
    assert ruled_out(ours, theirs) == words
