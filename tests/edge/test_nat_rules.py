"""Why two people are not direct: the golden table as a rule, and what follows from it for one of the two."""

import pytest

from peer.edge.probes import peer_path
from peer.edge.probes.finding import Finding, note, ok
from peer.edge.probes.nat_rules import Nat, can_be_direct
from tests.netlab.golden import golden_pairs
from tests.netlab.nats import Kind


def test_the_rule_says_what_the_golden_table_says() -> None:
    for (one, other), path in golden_pairs().items():
        if Kind.ONLY_443 not in (one, other):
            assert can_be_direct(Nat(one), Nat(other)) == (path == "direct"), (one, other)


def internet(mapping: str, filtering: str = "", *, udp: bool = True) -> list[Finding]:
    """What the doctor found out about this side."""
    say = ok if udp else note
    found = [
        say("internet.udp", "UDP out", "-"),
        ok("internet.nat_mapping", "-", "-", data={"kind": mapping}),
    ]
    lets_in = ok("internet.nat_filtering", "-", "-", data={"kind": filtering})
    return [*found, lets_in] if filtering else found


EASY = internet("easy", "address-and-port-dependent")
HARD = internet("hard")
NO_UDP = internet("", udp=False)
AT_HOME = ("private4", "seen4")
WITH_IPV6 = (*AT_HOME, "public6")
SIX_ONLY = ("public6", "turn4")


@pytest.mark.parametrize(
    ("findings", "here", "there", "cause", "do"),
    [
        (EASY, AT_HOME, AT_HOME, "most likely ben's router takes another port", "ben: use another network"),
        (HARD, AT_HOME, AT_HOME, "this side's router takes another port", "here: use another network"),
        (NO_UDP, ("private4",), AT_HOME, "this side's network lets no UDP out", "here: have UDP let out"),
        (EASY, AT_HOME, ("private4", "turn4"), "ben's network lets no UDP out", "ben: have UDP let out"),
        (EASY, WITH_IPV6, WITH_IPV6, "both have IPv6, and still a firewall", "on both"),
        (EASY, AT_HOME, SIX_ONLY, "one side has IPv6 alone", "this side: needs a network with IPv6"),
        ([], SIX_ONLY, AT_HOME, "one side has IPv6 alone", "ben: needs a network with IPv6"),
        (EASY, AT_HOME, ("public4",), "by the rules these two networks can be direct", "weft ping ben"),
        (HARD, WITH_IPV6, AT_HOME, "this side's router", "IPv6, which ben needs"),
        (EASY, AT_HOME, WITH_IPV6, "most likely ben's router", "IPv6, which this side needs"),
        (internet("easy"), AT_HOME, AT_HOME, "most likely ben's router", "IPv6, which both need"),
        ([], AT_HOME, AT_HOME, "one of the two routers takes another port", "weft doctor on both"),
    ],
)
def test_the_reason_follows_from_both_sides(
    findings: list[Finding], here: tuple[str, ...], there: tuple[str, ...], cause: str, do: str
) -> None:
    peer = {"name": "ben", "path": "relay", "shown_here": list(here), "shown_there": list(there)}
    path, *sides = peer_path.probe(peer, str, findings)
    assert cause in path.cause
    assert do in path.do
    assert [each.id for each in sides] == ["peer.here", "peer.there"]
    assert sides[1].data["showed"] == list(there)


def test_two_in_parts_of_one_network_are_not_told_that_a_router_is_symmetric() -> None:
    peer = {"name": "ben", "path": "turn", "shown_here": AT_HOME, "shown_there": AT_HOME, "one_router": True}
    path, _, there = peer_path.probe(peer, str, EASY)
    assert "one router" in path.cause
    assert "symmetric" in str(there.data["nat"])
    assert "port-restricted" in str(there.data["nat"])


def test_both_sides_are_named_side_by_side() -> None:
    peer = {"name": "ben", "path": "relay", "shown_here": WITH_IPV6, "shown_there": AT_HOME}
    _, here, there = peer_path.probe(peer, str, EASY)
    assert here.found == "a router that lets in exactly who was asked (port-restricted); IPv6"
    assert here.data == {"nat": ["port-restricted"], "ipv6": True, "showed": list(WITH_IPV6)}
    assert there.data["nat"] == ["symmetric"]
    assert "no IPv6" in there.found
    _, _, unsure = peer_path.probe(peer, str, HARD)
    assert unsure.data["nat"] == ["port-restricted", "symmetric"]
