"""Each sentence names the peer, the cause, and what to do."""

import pytest

from peer.core.advice import no_path


def advice(
    ours: str = "direct", theirs: str = "auto", offered: tuple[str, ...] = (), reached: str | None = None
) -> str:
    return no_path("Ben", ours=ours, theirs=theirs, offered=offered, reached=reached, reason="too slow")


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (advice("turn", "lan"), ["this side wants --path turn, the other one --path lan", "--path auto"]),
        (advice("direct", "relay"), ["--path direct", "--path relay"]),
        (advice("lan"), ["Ben", "that --path lan allows", "not on one local network", "too slow"]),
        (advice("auto", "lan"), ["that Ben's --path lan allows"]),
        (advice(), ["the server names no TURN server", "weft serve --turn"]),
        (advice(offered=("udp", "tls")), ["no TURN server answers this side (tried UDP, TLS)", "here"]),
        (advice(offered=("udp",), reached="udp"), ["answers here over UDP", "Ben's side", "there"]),
    ],
)
def test_people_are_told_the_side_the_cause_and_what_to_do(said: str, words: list[str]) -> None:
    assert [word for word in [*words, "no path to Ben"] if word not in said] == []
    assert said.endswith(".")
