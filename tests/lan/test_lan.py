"""`weft share` and `weft join LINK` on a network that leads nowhere else: real processes, no server."""

import json
import time
from pathlib import Path

import pytest

from tests.lan.network import WEFT, Host, Network, Weft, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

FIRST_TEXT = 3.0
"""Seconds until the first text is there; counted from when the joiner's program is up."""
DISCOVERY = "udp dport { 5353, 29718 } accept; udp sport { 5353, 29718 } accept"


def share(network: Network, host: Host, *options: str) -> tuple[Weft, str, Path]:
    """Share a folder with one file; return the program, its link and the file."""
    folder = host.place / "notes"
    folder.mkdir()
    (folder / "plan.md").write_text("one\n")
    weft = network.start(host, "share", str(folder), "--name", host.name, *options)
    return weft, str(weft.wait_for("invite.ready")["link"]), folder / "plan.md"


def join(network: Network, host: Host, link: str, *options: str) -> tuple[Weft, Path]:
    """Join into a folder; return the program and the file that will be there."""
    folder = host.place / "notes"
    return network.start(host, "join", link, str(folder), "--name", host.name, *options), folder / "plan.md"


def expect_edits_both_ways(here: Path, there: Path, patience: float) -> None:
    """What either saves is on the other side, too."""
    begin = here.read_text()
    here.write_text(begin + "from here\n")
    until(lambda: there.read_text() == begin + "from here\n", 10 * patience, "an edit from here")
    there.write_text(begin + "from here\nfrom there\n")
    until(lambda: here.read_text() == begin + "from here\nfrom there\n", 10 * patience, "an edit from there")


def expect_first_text(joiner: Weft, there: Path, patience: float) -> None:
    """The first text is there in time."""
    until(there.exists, 20 * patience, "the first text")
    until(lambda: there.read_text() == "one\n", 5 * patience, "the first text")
    now = time.time()
    up = now - joiner.wait_for("session.start")["t"]
    print(f"first text {now - joiner.began_at:.2f} s after `weft join`, {up:.2f} s after it was up")
    assert up < FIRST_TEXT * patience


def meet(network: Network, anna: Host, ben: Host, patience: float) -> tuple[Weft, Weft]:
    """Both meet, the first text is there in time, and edits go both ways."""
    sharer, link, here = share(network, anna)
    joiner, there = join(network, ben, link)
    expect_first_text(joiner, there, patience)
    expect_edits_both_ways(here, there, patience)
    return sharer, joiner


def at(host: Host, folder: Path) -> str:
    """What `weft status` says to give to `--at`."""
    runtime = f"WEFT_RUNTIME_DIR={host.place}/runtime"
    found: list[str] = []

    def known() -> bool:
        said = json.loads(host.run("env", runtime, *WEFT, "status", "--json", str(folder)))
        found[:] = said["lan"]["at"] if "lan" in said else said["sessions"][0]["lan"]["at"]
        return bool(found)

    until(known, 10, "the address of the sharer's own server")
    return found[0]


def paths(weft: Weft) -> set[str]:
    return {str(record["path"]) for record in weft.records("peer.path")}


def test_two_machines_without_a_route_anywhere(network: Network, patience: float) -> None:
    sharer, joiner = meet(network, network.host("anna"), network.host("ben"), patience)
    for weft in (sharer, joiner):
        assert paths(weft) == {"lan"}
        assert not weft.records("warning")
        assert not weft.records("server.state")
    assert joiner.leave() < 5 * patience
    sharer.wait_for("peer.left", reason="bye")
    assert sharer.leave() < 5 * patience


def test_udp_is_blocked_for_everything_but_looking(network: Network, patience: float) -> None:
    anna, ben = network.host("anna"), network.host("ben")
    for host in (anna, ben):
        host.block(DISCOVERY, "meta l4proto udp drop")
    for weft in meet(network, anna, ben, patience):
        assert paths(weft) == {"lan"}


def test_all_udp_is_blocked_and_a_person_says_where(network: Network, patience: float) -> None:
    anna, ben = network.host("anna"), network.host("ben")
    for host in (anna, ben):
        host.block("meta l4proto udp drop")
    sharer, link, here = share(network, anna)
    where = at(anna, here.parent)
    assert where.startswith("10.77.0.1:")
    joiner, there = join(network, ben, link, "--at", where)
    expect_first_text(joiner, there, patience)
    expect_edits_both_ways(here, there, patience)
    assert paths(sharer) == paths(joiner) == {"lan"}


def test_members_who_met_find_each_other_though_all_udp_is_blocked(network: Network, patience: float) -> None:
    anna, ben = network.host("anna"), network.host("ben")
    for weft in reversed(meet(network, anna, ben, patience)):
        weft.leave()
    for host in (anna, ben):
        host.block("meta l4proto udp drop")
    network.start(anna, "share", str(anna.place / "notes"))
    network.start(ben, "join", str(ben.place / "notes"))
    files = [host.place / "notes/plan.md" for host in (anna, ben)]
    files[0].write_text(files[0].read_text() + "later\n")
    until(lambda: files[1].read_text().endswith("later\n"), 20 * patience, "what was remembered")


def test_mdns_is_blocked(network: Network, patience: float) -> None:
    anna, ben = network.host("anna"), network.host("ben")
    for host in (anna, ben):
        host.block("udp dport 5353 drop")
    meet(network, anna, ben, patience)


def test_the_beacon_is_blocked(network: Network, patience: float) -> None:
    anna, ben = network.host("anna"), network.host("ben")
    for host in (anna, ben):
        host.block("udp dport 29718 drop")
    meet(network, anna, ben, patience)


def test_multicast_is_blocked(network: Network, patience: float) -> None:
    anna, ben = network.host("anna"), network.host("ben")
    for host in (anna, ben):
        host.block("ip daddr 224.0.0.0/4 drop", "ip6 daddr ff12::/16 drop", "ip6 daddr ff02::fb drop")
    meet(network, anna, ben, patience)


def test_there_is_nothing_but_ipv6_link_local(network: Network, patience: float) -> None:
    anna, ben = network.host("anna", ipv4=False), network.host("ben", ipv4=False)
    for weft in meet(network, anna, ben, patience):
        assert paths(weft) == {"lan"}


def test_there_is_nothing_but_ipv6_link_local_and_no_beacon(network: Network, patience: float) -> None:
    anna, ben = network.host("anna", ipv4=False), network.host("ben", ipv4=False)
    for host in (anna, ben):
        host.block("udp dport 29718 drop")
    meet(network, anna, ben, patience)


def test_there_is_nothing_but_ipv4(network: Network, patience: float) -> None:
    meet(network, network.host("anna", ipv6=False), network.host("ben", ipv6=False), patience)


def test_two_of_three_interfaces_are_dead(network: Network, patience: float) -> None:
    anna, ben = network.host("anna"), network.host("ben")
    for number, host in enumerate((anna, ben)):
        for dead in (1, 2):
            network.plug(host, f"dead{dead}", f"10.88.{dead}.{number + 1}/24", dead=True)
    meet(network, anna, ben, patience)
