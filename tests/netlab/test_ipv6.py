"""IPv6 beside IPv4, alone, and dead; and two networks behind one router: docs/connectivity.md is right."""

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

import pytest

from tests.e2e.town import until
from tests.netlab.conftest import Measured
from tests.netlab.golden import mixed_pairs
from tests.netlab.lab import ROOT, Host, Lab
from tests.netlab.nats import Kind
from tests.netlab.people import READY_SECONDS, Meeting, Stage, new_stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

AT_ONCE: Final = 2
BOTH: Final = (4, 6)
ALONE: Final = (6,)

GOLDEN: Final = mixed_pairs()
"""The path by where the two are."""

Pair = tuple[Host, Host]
Meetings = dict[str, "Future[Meeting]"]


def _hairpin(lab: Lab, mark: str, *, hairpin: bool) -> Pair:
    home = lab.nat(f"{mark}.nat", Kind.PORT_RESTRICTED)
    return lab.host(f"{mark}.s", home.lan), lab.host(f"{mark}.j", lab.guests(home, hairpin=hairpin))


def _lan(lab: Lab, mark: str) -> Pair:
    home = lab.nat(f"{mark}.nat", Kind.PORT_RESTRICTED, ipv6=True)
    return lab.host(f"{mark}.s", home.lan, versions=BOTH), lab.host(f"{mark}.j", home.lan, versions=BOTH)


def _two(
    one: tuple[Kind, tuple[int, ...]], other: tuple[Kind, tuple[int, ...]]
) -> Callable[[Lab, str], Pair]:
    return lambda lab, mark: (
        lab.behind(one[0], f"{mark}.s", one[1]),
        lab.behind(other[0], f"{mark}.j", other[1]),
    )


MADE: Final[dict[str, Callable[[Lab, str], Pair]]] = {
    "both with IPv6 behind firewalls": _two((Kind.SYMMETRIC, BOTH), (Kind.SYMMETRIC, BOTH)),
    "one with IPv6, both with IPv4 behind symmetric": _two((Kind.SYMMETRIC, BOTH), (Kind.SYMMETRIC, (4,))),
    "one with IPv6, both with IPv4 behind port-restricted": _two(
        (Kind.PORT_RESTRICTED, (4,)), (Kind.PORT_RESTRICTED, BOTH)
    ),
    "one with IPv6 alone; the other with both": _two((Kind.FULL_CONE, ALONE), (Kind.SYMMETRIC, BOTH)),
    "one with IPv6 alone; the other with IPv4 alone": _two(
        (Kind.PORT_RESTRICTED, (4,)), (Kind.FULL_CONE, ALONE)
    ),
    "on one LAN": _lan,
    "the servers' IPv6 addresses are dead": _two((Kind.UDP_BLOCKED, BOTH), (Kind.SYMMETRIC, (4,))),
    "router hairpins": lambda lab, mark: _hairpin(lab, mark, hairpin=True),
    "router does not hairpin": lambda lab, mark: _hairpin(lab, mark, hairpin=False),
}
"""How each place is made, by words that only its row has.  IPv6 alone has no NAT, whatever its kind."""


def _make(lab: Lab, where: str) -> Pair:
    (words,) = (words for words in MADE if words in where)
    return MADE[words](lab, f"v{list(GOLDEN).index(where)}")


@pytest.fixture(scope="module")
def dual(lab: Lab) -> Iterator[Stage]:
    """Servers with names, IPv4 and IPv6."""
    stage = new_stage(lab, "dual", domain="dual.example")
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def dead(lab: Lab) -> Iterator[Stage]:
    """Servers whose names have an IPv6 address from which nothing comes back."""
    stage = new_stage(lab, "dead", domain="dead.example", dead6=True)
    yield stage
    stage.close()


@pytest.fixture(scope="module")
def meetings(dual: Stage, dead: Stage, request: pytest.FixtureRequest) -> Iterator[Meetings]:
    """All meetings that the selected tests ask for, as they take place in the background."""
    items = [item for item in request.session.items if item.path == request.path]
    chosen = [getattr(item, "callspec", None) for item in items]
    places = [call.params["where"] for call in chosen if call is not None and "where" in call.params]
    pairs = {where: _make(dual.lab, where) for where in dict.fromkeys(places)}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        yield {
            where: pool.submit((dead if "dead" in where else dual).meet, *pair, expected=GOLDEN[where])
            for where, pair in pairs.items()
        }
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("where", GOLDEN)
def test_two_people_meet_at_once_and_get_the_path_of_the_table(
    where: str, meetings: Meetings, measured: Measured
) -> None:
    meeting = meetings[where].result()
    measured(where, meeting)
    if meeting.failure:
        pytest.fail(meeting.failure, pytrace=False)


def test_whoever_has_only_the_dead_addresses_of_turn_left_is_on_turn_without_the_relay(
    lab: Lab, dead: Stage, measured: Measured
) -> None:
    one = lab.behind(Kind.ONLY_443, "dead443", BOTH)
    meeting = dead.meet(one, lab.behind(Kind.SYMMETRIC, "deadsym"), expected="turn", policy="direct")
    measured("the servers' IPv6 addresses are dead; 443-only - symmetric, no relay", meeting)
    if meeting.failure:
        pytest.fail(meeting.failure, pytrace=False)


def test_an_address_that_is_ready_later_is_used_as_soon_as_it_is(lab: Lab, dual: Stage) -> None:
    # a new address is checked for a second or so, in which nothing can be sent from it
    home = lab.nat("later.nat", Kind.SYMMETRIC, ipv6=True)
    host = lab.host("later", home.lan)
    anna = dual.person("anna", lab.behind(Kind.SYMMETRIC, "later.a", BOTH))
    ben = dual.person("ben", host)
    try:
        dual.bring_together(anna, ben, "turn")
        own = home.lan.beside(host.address)
        host.run("ip", "addr", "add", f"{own}/64", "dev", "eth0")
        host.run("ip", "-6", "route", "add", "default", "via", f"{home.lan.prefix6}::1")
        assert "tentative" in host.run("ip", "-6", "addr", "show", "dev", "eth0")
        until(
            lambda: (anna.path("ben"), ben.path("anna")) == ("direct", "direct"),
            READY_SECONDS,
            f"a direct path\n{anna.story()}\n{ben.story()}",
        )
    finally:
        for person in (anna, ben):
            person.stop()
        for person in (anna, ben):
            person.running.end()


OFFERED: Final = """
import aioice.ice
from peer.edge import ice
ice.install()
print(*aioice.ice.get_host_addresses(True, True))
"""


def test_neither_link_local_nor_lasting_nor_dying_addresses_are_offered(lab: Lab) -> None:
    host = lab.host("shy", versions=BOTH)
    host.run("sh", "-c", "echo 2 > /proc/sys/net/ipv6/conf/eth0/use_tempaddr")
    lasting, dying = "2a01:4f8:1:aaaa::5", "2a01:4f8:1:bbbb::5"
    host.run("ip", "addr", "add", f"{lasting}/64", "dev", "eth0", "nodad", "mngtmpaddr")
    host.run("ip", "addr", "add", f"{dying}/64", "dev", "eth0", "nodad", "preferred_lft", "0")
    host.run("ip", "addr", "add", "2a01:4f8:1:bbbb::6/64", "dev", "eth0", "nodad")

    def temporary() -> list[str]:
        lines = host.run("ip", "-6", "-o", "addr", "show", "dev", "eth0").splitlines()
        ready = [line for line in lines if " temporary " in line and "tentative" not in line]
        return [line.split()[3].partition("/")[0] for line in ready]

    until(lambda: bool(temporary()), READY_SECONDS, "a temporary address")
    assert "fe80::" in host.run("ip", "-6", "addr", "show", "dev", "eth0")
    offered = host.run("env", f"PYTHONPATH={ROOT}", sys.executable, "-c", OFFERED).split()
    assert set(offered) == {host.address, host.address6, *temporary(), "2a01:4f8:1:bbbb::6"}


# --- the laboratory itself --------------------------------------------------------------------------------


def _arrives(sender: socket.socket, to: tuple[str, int], receiver: socket.socket, times: int = 1) -> str:
    """From whose address one of some packets arrives; empty if none does."""
    receiver.settimeout(0.2)
    for _ in range(times):
        sender.sendto(b"hello", to)
        with contextlib.suppress(TimeoutError):
            return str(receiver.recvfrom(100)[1][0])
    return ""


def test_the_firewall_lets_in_answers_only_and_changes_no_address(lab: Lab) -> None:
    host, outside = lab.behind(Kind.SYMMETRIC, "fw", BOTH), lab.host("fw.out", versions=BOTH)
    with host.udp(7001, 6) as inner, outside.udp(7002, 6) as asked, outside.udp(7003, 6) as stranger:
        at_home = (host.address6, 7001)
        assert _arrives(asked, at_home, inner) == ""
        # new interfaces take a moment until they know their neighbours
        assert _arrives(inner, (outside.address6, 7002), asked, times=20) == host.address6
        assert _arrives(asked, at_home, inner) == outside.address6
        assert _arrives(stranger, at_home, inner) == ""
    only6 = lab.behind(Kind.FULL_CONE, "fw.only", ALONE)
    with only6.udp() as sender, pytest.raises(OSError, match="unreachable"):
        sender.sendto(b"hello", (outside.address, 7002))


@pytest.mark.parametrize("hairpin", [True, False])
def test_guests_are_cut_off_but_for_a_hairpin_from_whom_was_sent_to(lab: Lab, hairpin: bool) -> None:
    one, other = _hairpin(lab, f"pin{hairpin:d}", hairpin=hairpin)
    outside, wan = lab.host(f"pin{hairpin:d}.out"), lab.hosts[f"pin{hairpin:d}.nat"].address
    with one.udp(7011) as first, other.udp(7012) as second, outside.udp(7013) as server:
        for each in (first, second):
            seen = _arrives(each, (outside.address, 7013), server, times=20)
            assert seen == wan, "guests reach the internet too"
        assert _arrives(first, (other.address, 7012), second) == "", "the two networks are apart"
        assert _arrives(first, (wan, 7012), second) == "", "nobody there has asked"
        assert _arrives(second, (wan, 7011), first) == (wan if hairpin else "")
        assert _arrives(first, (wan, 7012), second) == (wan if hairpin else "")


def test_every_row_of_the_table_is_made_and_no_other() -> None:
    for words in MADE:
        assert sum(words in where for where in GOLDEN) == 1, words
    assert len(MADE) == len(GOLDEN)
