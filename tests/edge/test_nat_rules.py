"""Why two people are not direct: the golden table as a rule, and what follows from it for one of the two."""

import pytest

from peer.edge.probes import peer_path
from peer.edge.probes.finding import Finding, broken, note, ok
from peer.edge.probes.nat_rules import Nat, can_be_direct
from tests.netlab.golden import golden_pairs
from tests.netlab.nats import Kind


def test_the_rule_says_what_the_golden_table_says() -> None:
    for (one, other), path in golden_pairs().items():
        if Kind.ONLY_443 not in (one, other):
            assert can_be_direct(Nat(one), Nat(other)) == (path == "direct"), (one, other)


DROPPED = {"blocked": "on the way", "asked": ["turn.example:3478"]}


def turn(transport: str, reach: str = "ok", host: str = "turn.example") -> Finding:
    """What the doctor found out about a TURN server, which may have refused all the same."""
    say = ok if reach == "ok" else broken
    return say(f"server.turn_{transport}", "TURN", "-", data={"steps": {"reach": reach}, "host": host})


def internet(mapping: str, filtering: str = "", *, udp: bool = True) -> list[Finding]:
    """What the doctor found out about this side."""
    if not udp:
        return [note("internet.udp", "UDP out", "-", data=DROPPED), turn("tcp")]
    found = [ok("internet.udp", "UDP out", "-")]
    found.append(ok("internet.nat_mapping", "-", "-", data={"kind": mapping, "mapped": 1}))
    lets_in = ok("internet.nat_filtering", "-", "-", data={"kind": filtering})
    return [*found, lets_in] if filtering else found


WORDS = "{} {}".format
"""Names a path and its address."""
EASY = internet("easy", "address-and-port-dependent")
HARD = internet("hard")
NO_UDP = internet("", udp=False)
PLAIN = internet("none")
UDP_ONLY = [ok("internet.udp", "UDP out", "-")]
SILENT = [note("internet.udp", "UDP out", "-", data=DROPPED)]
OWN_RULE = [note("internet.udp", "UDP out", "-", data={"blocked": "here"})]
BARE = ("private4", "turn4")
AT_HOME = ("private4", "seen4")
WITH_IPV6 = (*AT_HOME, "public6")
SIX_ONLY = ("public6", "turn4")


@pytest.mark.parametrize(
    ("findings", "here", "there", "cause", "do"),
    [
        (EASY, AT_HOME, AT_HOME, "most likely ben's router takes another port", "ben: use another network"),
        (HARD, AT_HOME, AT_HOME, "this side's router takes another port", "here: use another network"),
        (NO_UDP, ("private4",), AT_HOME, "this side's network lets no UDP out", "here: have UDP let out"),
        (EASY, AT_HOME, ("private4", "turn4"), "ben's network lets no UDP out", "ben: weft doctor there"),
        (EASY, WITH_IPV6, WITH_IPV6, "both have IPv6, and still a firewall", "on both"),
        (EASY, AT_HOME, SIX_ONLY, "one side has IPv6 alone", "this side: needs a network with IPv6"),
        ([], SIX_ONLY, AT_HOME, "one side has IPv6 alone", "ben: needs a network with IPv6"),
        (EASY, AT_HOME, ("public4",), "by the rules these two networks can be direct", "weft ping ben"),
        (HARD, WITH_IPV6, AT_HOME, "this side's router", "IPv6, which ben needs"),
        (EASY, AT_HOME, WITH_IPV6, "most likely ben's router", "IPv6, which this side needs"),
        (internet("easy"), AT_HOME, AT_HOME, "most likely ben's router", "IPv6, which both need"),
        (PLAIN, BARE, BARE, "possible are: a firewall on one of the two", "ben: weft doctor there"),
        (
            [ok("internet.udp", "-", "-")],
            BARE,
            BARE,
            "it cannot be told: no STUN server",
            "when STUN answers",
        ),
        ([], BARE, BARE, "it cannot be told: no STUN server", "without --only"),
        ([], BARE, AT_HOME, "nothing measured tells which", "without --only"),
        ([turn("udp")], BARE, AT_HOME, "by the rules these two", "weft ping ben"),
        (SILENT, BARE, BARE, "it cannot be told: no STUN server", "when STUN answers"),
        ([*SILENT, turn("tcp", "failed")], BARE, AT_HOME, "nothing measured tells which", "without --only"),
        (NO_UDP, BARE, BARE, "it cannot be told: no STUN server", "when STUN answers"),
        ([*NO_UDP, turn("udp")], BARE, AT_HOME, "by the rules these two", "weft ping ben"),
        ([*SILENT, turn("tcp", host="b.example")], BARE, AT_HOME, "nothing measured tells", "without --only"),
        (OWN_RULE, BARE, AT_HOME, "this side's network lets no UDP out", "here: have UDP let out"),
        (EASY, AT_HOME, ("turn4",), "it cannot be told", "weft doctor --peer ben"),
        ([], ("private6",), ("private6",), "it cannot be told", "weft doctor --peer ben"),
        ([], AT_HOME, AT_HOME, "one of the two routers takes another port", "weft doctor on both"),
    ],
)
def test_the_reason_follows_from_both_sides(
    findings: list[Finding], here: tuple[str, ...], there: tuple[str, ...], cause: str, do: str
) -> None:
    peer = {"name": "ben", "path": "relay", "shown_here": list(here), "shown_there": list(there)}
    path, *sides = peer_path.probe(peer, WORDS, findings)
    assert cause in path.cause
    assert do in path.do
    assert [each.id for each in sides] == ["peer.here", "peer.there"]
    assert sides[1].data["showed"] == list(there)


def test_two_in_parts_of_one_network_are_not_told_that_a_router_is_symmetric() -> None:
    peer = {"name": "ben", "path": "turn", "shown_here": AT_HOME, "shown_there": AT_HOME, "one_router": True}
    path, _, there = peer_path.probe(peer, WORDS, EASY)
    assert "one router" in path.cause
    assert "symmetric" in str(there.data["nat"])
    assert "port-restricted" in str(there.data["nat"])


def test_both_sides_are_named_side_by_side() -> None:
    peer = {"name": "ben", "path": "relay", "shown_here": WITH_IPV6, "shown_there": AT_HOME}
    _, here, there = peer_path.probe(peer, WORDS, EASY)
    assert here.found == "a router that lets in exactly who was asked (port-restricted); IPv6"
    assert here.data == {"nat": ["port-restricted"], "ipv6": True, "showed": list(WITH_IPV6)}
    assert there.data["nat"] == ["symmetric"]
    assert "no IPv6" in there.found
    _, _, unsure = peer_path.probe(peer, WORDS, HARD)
    assert unsure.data["nat"] == ["port-restricted", "symmetric"]


def test_without_nat_it_is_not_concluded_that_no_udp_gets_out() -> None:
    peer = {"name": "ben", "path": "relay", "shown_here": BARE, "shown_there": BARE}
    _, here, there = peer_path.probe(peer, WORDS, PLAIN)
    assert here.found == "IPv4 without NAT; no IPv6"
    assert there.found.startswith("IPv4 without NAT, or no UDP gets out; no IPv6")
    _, here, there = peer_path.probe(peer, WORDS, UDP_ONLY)
    assert here.found == "what stands before its IPv4 is not known; no IPv6"
    assert "UDP-blocked" not in str(here.data["nat"])
    assert "UDP-blocked" in str(there.data["nat"])


def test_whoever_is_on_a_path_over_the_turn_address_of_the_other_has_udp() -> None:
    peer = {"name": "ben", "path": "turn", "shown_here": BARE, "shown_there": ("private4",)}
    path, _, there = peer_path.probe(peer, WORDS, PLAIN)
    assert "by the rules these two networks can be direct" in path.cause
    assert there.data["nat"] == ["none"]
    peer |= {"shown_here": ("private4",), "shown_there": AT_HOME}
    assert peer_path.probe(peer, WORDS)[1].data["nat"] == ["none"]


@pytest.mark.parametrize("path", ["turn", "relay"])
def test_who_chose_the_path_is_told_nothing_of_networks(path: str) -> None:
    peer: dict[str, object] = {"name": "ben", "path": path, "shown_here": ["turn4"], "shown_there": ["turn4"]}
    (here,) = peer_path.probe(peer | {"chosen": f"--path {path} was chosen here"}, WORDS, EASY)
    assert here.cause == f"--path {path} was chosen here"
    assert here.do == "here: to change that, start Weft again with --path auto"
    (there,) = peer_path.probe(peer | {"chosen": f"--path {path} was chosen on the other side"}, WORDS, EASY)
    assert there.do.startswith("ben: to change that")


def test_who_chose_the_path_and_has_none_is_told_how_the_last_attempt_ended() -> None:
    chosen = "--path turn here and --path lan on the other side have no path in common"
    peer = {"name": "ben", "path": None, "chosen": chosen, "why_not_direct": "no answer"}
    (found,) = peer_path.probe(peer, WORDS)
    assert found.cause == f"{chosen}; no answer"
    assert found.do.startswith("on both sides:")
