"""The laboratory does not lie: each NAT behaves as its kind should, and nothing of it stays behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.town import until
from tests.netlab.classifier import Finding, Rule, classify, mapping
from tests.netlab.lab import Host, Lab
from tests.netlab.nats import Kind
from tests.netlab.wire import Wire

Servers = tuple[Host, Host]

EXPECTED = {
    Kind.NONE: Finding(Rule.INDEPENDENT, Rule.INDEPENDENT, False, True, True),
    Kind.FULL_CONE: Finding(Rule.INDEPENDENT, Rule.INDEPENDENT, True, True, True),
    Kind.ADDRESS_RESTRICTED: Finding(Rule.INDEPENDENT, Rule.ADDRESS, True, True, True),
    Kind.PORT_RESTRICTED: Finding(Rule.INDEPENDENT, Rule.PORT, True, True, True),
    Kind.SYMMETRIC: Finding(Rule.PORT, Rule.PORT, True, True, True),
    Kind.UDP_BLOCKED: Finding(Rule.NONE, Rule.NONE, False, True, True),
    Kind.ONLY_443: Finding(Rule.NONE, Rule.NONE, False, False, True),
}

LISTEN = """
import socket, sys
listening = [socket.create_server(("0.0.0.0", port), backlog=64) for port in (443, 3478)]
print("listening", flush=True)
sys.stdin.read() or socket.socket().accept()
"""


@pytest.fixture(scope="module")
def servers(lab: Lab) -> Iterator[Servers]:
    """Two machines on the internet, of which the first listens for TCP."""
    first, second = lab.host("see1"), lab.host("see2")
    command = [*first.inside, sys.executable, "-S", "-c", LISTEN]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"listening\n"
        yield first, second
        process.kill()


@pytest.mark.parametrize("kind", Kind)
def test_a_nat_of_each_kind_maps_and_filters_as_its_name_says(lab: Lab, servers: Servers, kind: Kind) -> None:
    host = lab.behind(kind, f"c{list(Kind).index(kind)}")
    for _ in range(2):
        assert classify(host, servers) == EXPECTED[kind]


def test_two_nats_in_a_row_behave_as_the_stricter_one(lab: Lab, servers: Servers) -> None:
    outer = lab.nat("cgn1", Kind.SYMMETRIC)
    host = lab.host("c8", lab.nat("cgn1in", Kind.FULL_CONE, outer).lan)
    assert classify(host, servers) == EXPECTED[Kind.SYMMETRIC]
    outer = lab.nat("cgn2", Kind.FULL_CONE)
    host = lab.host("c9", lab.nat("cgn2in", Kind.PORT_RESTRICTED, outer).lan)
    assert classify(host, servers) == EXPECTED[Kind.PORT_RESTRICTED]


def test_a_packet_that_nobody_asked_for_does_not_change_a_mapping(lab: Lab, servers: Servers) -> None:
    host = lab.behind(Kind.PORT_RESTRICTED, "c10")
    first, other_port, other_address = mapping(host, servers, stranger_first=True)
    assert first == other_port == other_address
    # the reason for the rule that drops what comes to the router itself: without it the laboratory lies
    lying = lab.host("c11", lab.nat("c11.nat", Kind.PORT_RESTRICTED, guarded=False).lan)
    first, other_port, other_address = mapping(lying, servers, stranger_first=True)
    assert first == other_port != other_address


def test_bad_weather_loses_the_share_it_should_and_ends(lab: Lab, servers: Servers) -> None:
    host = lab.host("c12")
    with host.udp() as sender, servers[0].udp(9000) as receiver:
        receiver.settimeout(0.1)

        def arriving() -> int:
            count = 0
            for _ in range(5):  # a socket's buffer holds some two hundred packets
                for number in range(100):
                    sender.sendto(number.to_bytes(2, "big"), (servers[0].address, 9000))
                count += sum(1 for _ in iter(lambda: _received(receiver), b""))
            return count

        assert arriving() == 500
        host.weather(loss=20)
        assert 350 < arriving() < 450
        host.weather(loss=100)
        assert arriving() == 0
        host.weather()
        assert arriving() == 500


def _received(receiver: socket.socket) -> bytes:
    try:
        return receiver.recv(100)
    except TimeoutError:
        return b""


def test_a_slow_cable_delays_loses_and_keeps_the_order(lab: Lab, servers: Servers) -> None:
    host = lab.host("c17", wire=Wire(delay=0.05, jitter=0.02, loss=0.1, seed=7))
    with host.udp() as sender, servers[0].udp(9002) as receiver:
        receiver.settimeout(0.3)
        arrived, waits = [], []
        sender.sendto(b"\0\0", (servers[0].address, 9002))  # while addresses are asked for, packets are lost
        _received(receiver)
        for number in range(1, 101):
            sender.sendto(number.to_bytes(2, "big"), (servers[0].address, 9002))
            sent = time.monotonic()
            if number % 20 == 0:
                while data := _received(receiver):
                    arrived.append(int.from_bytes(data, "big"))
                    if arrived[-1] == number:
                        waits.append(time.monotonic() - sent)
    assert arrived == sorted(arrived)
    assert 75 < len(arrived) < 100
    assert 0.05 <= min(waits) < 0.15


def test_a_host_that_moves_is_seen_from_another_address(lab: Lab, servers: Servers) -> None:
    host = lab.behind(Kind.FULL_CONE, "c13")
    before = mapping(host, servers)[0]
    host.plug(lab.nat("c13.other", Kind.SYMMETRIC).lan)
    after = mapping(host, servers)[0]
    assert before is not None
    assert after is not None
    assert before[0] != after[0]


def test_a_lone_segment_joins_its_hosts_and_leads_nowhere(lab: Lab, servers: Servers) -> None:
    office = lab.segment("office")
    one, two = lab.host("c14", office), lab.host("c15", office)
    with one.udp() as sender, two.udp(9001) as receiver:
        receiver.settimeout(1)
        sender.sendto(b"hello", (two.address, 9001))
        assert receiver.recv(10) == b"hello"
        with pytest.raises(OSError, match="unreachable"):
            sender.sendto(b"hello", (servers[0].address, 9001))


def _running(place: Path) -> list[str]:
    """Processes whose command names *place*."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(place).encode() in entry.read_bytes():
                found.append(entry.parent.name)
        except OSError:
            pass  # it ended meanwhile
    return found


def test_nothing_stays_behind_when_whoever_made_the_laboratory_is_killed(tmp_path: Path, lab: Lab) -> None:
    code = f"""
import sys, time
from pathlib import Path
from tests.netlab.lab import Lab
with Lab(Path({str(tmp_path)!r})) as lab:
    host = lab.host("h")
    host.start(["sh", "-c", "sleep 300; : {tmp_path}/inside"], Path({str(tmp_path)!r}, "said"))
    print(lab.keeper, flush=True)
    time.sleep(300)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout is not None
    keeper = int(process.stdout.readline())
    until(lambda: len(_running(tmp_path / "inside")) > 0, 5, "the program in the laboratory")
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    until(lambda: not _running(tmp_path / "inside"), 5, "its end")
    until(lambda: not Path(f"/proc/{keeper}").exists(), 5, "the end of the keeper")
