"""Each sentence names the peer, the cause, and what to do."""

import pytest

from peer.core.advice import NO_TURN, NOTHING_YET, TURN_REFUSES, no_path


def advice(
    ours: str = "direct",
    theirs: str = "auto",
    offered: tuple[str, ...] = (),
    reached: str | None = None,
    refused: int | None = None,
    reason: str = "too slow",
) -> str:
    return no_path(
        "Ben",
        ours=ours,
        theirs=theirs,
        offered=offered,
        reached=reached,
        refused=refused,
        reason=reason,
    )


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (advice("turn", "lan"), ["this side wants --path turn, the other one --path lan", "--path auto"]),
        (advice("direct", "relay"), ["--path direct", "--path relay"]),
        (advice("lan"), ["Ben", "that --path lan allows", "not on one local network", "too slow"]),
        (advice("auto", "lan"), ["that Ben's --path lan allows"]),
        (advice(), ["the server names no TURN server", "weft serve --turn"]),
        (advice(offered=("udp", "tls")), ["no TURN server answers this side (tried UDP, TLS)", "here"]),
        (advice(refused=401), ["refuses its credential (error 401)", "its operator must act", "clock"]),
        (advice(refused=486), ["no room", "(error 486)", "its operator must raise"]),
        (advice(refused=403), ["says no (error 403)", "its operator must look"]),
        (advice("lan", refused=401), ["not on one local network"]),
        (advice(offered=("udp",), reached="udp"), ["answers here over UDP", "Ben's side", "there"]),
    ],
)
def test_people_are_told_the_side_the_cause_and_what_to_do(said: str, words: list[str]) -> None:
    assert [word for word in [*words, "no path to Ben"] if word not in said] == []
    assert said.endswith(".")


@pytest.mark.parametrize("reason", [NOTHING_YET, f"{NO_TURN}, and so on", f"{TURN_REFUSES} (error 401)"])
def test_an_ending_that_adds_nothing_is_left_out(reason: str) -> None:
    said = advice(refused=401, reason=reason)
    assert said.endswith("may go through the server.")
    assert reason not in said
    assert advice(refused=401).endswith("may go through the server (too slow).")
