"""`weft doctor --peer` in the laboratory: why two people are not direct, as each of the two sees it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.conftest import PATIENCE
from tests.netlab.lab import Host, Lab
from tests.netlab.nats import Kind
from tests.netlab.people import Person, Stage, new_stage

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

DOCTOR_SECONDS: Final = 30.0
Found = dict[str, dict[str, object]]


@pytest.fixture(scope="module")
def dual(lab: Lab) -> Iterator[Stage]:
    """Servers with names, IPv4 and IPv6."""
    stage = new_stage(lab, "why", domain="why.example")
    yield stage
    stage.close()


def doctor(person: Person, peer: str) -> Found:
    """What the doctor on *person*'s machine finds, by id."""
    own = {f"WEFT_{kind.upper()}_DIR": str(person.place / kind) for kind in ("config", "data", "runtime")}
    weft = Path(sys.executable).with_name("weft")
    done = subprocess.run(
        [*person.host.inside, weft, "doctor", "--peer", peer, "--json"],
        capture_output=True,
        text=True,
        env={**os.environ, **own, **person.stage.authority.environment},
        timeout=DOCTOR_SECONDS * PATIENCE,
        check=False,
    )
    assert done.stdout, done.stderr
    return {str(each["id"]): each for each in json.loads(done.stdout)["findings"]}


def both(stage: Stage, one: Host, other: Host, expected: str) -> tuple[Found, Found]:
    """What both doctors say of two who are on the *expected* path."""
    anna, ben = stage.person("anna", one), stage.person("ben", other)
    try:
        stage.bring_together(anna, ben, expected)
        return doctor(anna, "ben"), doctor(ben, "anna")
    finally:
        for person in (anna, ben):
            person.stop()
        for person in (anna, ben):
            person.running.end()


def data(found: Found, name: str) -> dict[str, object]:
    """What a finding has for programs."""
    value = found[name]["data"]
    assert isinstance(value, dict)
    return value


def test_of_a_symmetric_and_a_port_restricted_router_the_symmetric_one_is_blamed_by_both(
    lab: Lab, dual: Stage
) -> None:
    at_anna, at_ben = both(
        dual, lab.behind(Kind.PORT_RESTRICTED, "why.pr"), lab.behind(Kind.SYMMETRIC, "why.sym"), "turn"
    )
    assert data(at_ben, "peer.here")["nat"] == ["symmetric"], at_ben
    assert str(at_ben["peer.path"]["do"]).startswith("here: use another network"), at_ben
    assert data(at_anna, "peer.there")["nat"] == ["symmetric"], at_anna
    assert "most likely ben's router takes another port" in str(at_anna["peer.path"]["cause"])
    assert str(at_anna["peer.path"]["do"]).startswith("ben: use another network")
    assert "no IPv6" in str(at_anna["peer.there"]["found"])


def test_who_lets_no_udp_out_is_named_by_both(lab: Lab, dual: Stage) -> None:
    at_anna, at_ben = both(
        dual, lab.behind(Kind.UDP_BLOCKED, "why.no"), lab.behind(Kind.FULL_CONE, "why.fc"), "turn"
    )
    assert at_anna["peer.path"]["cause"] == "this side's network lets no UDP out"
    assert "anna's network lets no UDP out" in str(at_ben["peer.path"]["cause"])


def test_two_behind_one_router_that_does_not_hairpin_are_told_so(lab: Lab, dual: Stage) -> None:
    home = lab.nat("why.guests", Kind.PORT_RESTRICTED)
    guest = lab.host("why.guest", lab.guests(home, hairpin=False))
    for found in both(dual, lab.host("why.host", home.lan), guest, "turn"):
        assert "both are behind one router" in str(found["peer.path"]["cause"]), found
        assert "bring both to one network" in str(found["peer.path"]["do"])


def test_ipv6_alone_and_ipv4_alone_are_told_who_lacks_what(lab: Lab, dual: Stage) -> None:
    alone = lab.behind(Kind.FULL_CONE, "why.six", (6,))
    at_anna, at_ben = both(dual, alone, lab.behind(Kind.PORT_RESTRICTED, "why.four"), "turn")
    assert str(at_anna["peer.path"]["do"]).startswith("ben: needs a network with IPv6"), at_anna
    assert str(at_ben["peer.path"]["do"]).startswith("this side: needs a network with IPv6"), at_ben
    assert at_anna["internet.udp"]["verdict"] == "ok", "IPv6 alone is no fault"


def test_a_server_whose_ipv6_is_dead_is_not_taken_for_a_network_that_blocks_it(lab: Lab) -> None:
    stage = new_stage(lab, "dead.why", domain="dead.why", dead6=True)
    try:
        one, other = (lab.behind(Kind.PORT_RESTRICTED, f"why.dead{side}", (4, 6)) for side in "ab")
        found, _ = both(stage, one, other, "direct")
    finally:
        stage.close()
    for name in ("internet.udp", "server.reach", "server.turn_udp", "server.turn_tcp", "server.turn_tls"):
        assert found[name]["verdict"] == "ok", found[name]


def test_who_is_direct_needs_no_reason(lab: Lab, dual: Stage) -> None:
    one, other = (lab.behind(Kind.SYMMETRIC, f"why.{name}", (4, 6)) for name in "ab")
    for found in both(dual, one, other, "direct"):
        assert found["peer.path"]["verdict"] == "ok"
        assert "peer.there" not in found
