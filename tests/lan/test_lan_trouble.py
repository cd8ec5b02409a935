"""What goes wrong on a local network in the middle of a session: writing goes on, all of it is there once."""

import os
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lan.network import Capture, Host, Network, Weft, until
from tests.lan.test_lan import DISCOVERY, join, share
from tests.netlab.pulse import Pulse, recovery

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

RECOVERY_SECONDS = 3.0
"""From the moment that any path exists, until what is written then is on the other side."""
PATIENT_SECONDS = 45.0
"""How long to wait for a recovery that is too late, to say how late it was."""
QUIET_SECONDS = 2.5
"""Of writing before the trouble: more than a heartbeat."""
SLEEP_SECONDS = 17.0
"""More than the silence after which a peer is gone."""
SERVER = "10.100.0.1"


def write_through(
    here: Path, there: Path, trouble: Callable[[], None], patience: float, *, sleeper: bool = False
) -> list[float]:
    """Both write before, in and after the *trouble*; how long after it that arrived, each way.

    A *sleeper* is the one *there*, on whose machine nothing is written meanwhile.
    """
    pulses = [Pulse(here.parent, "here"), Pulse(there.parent, "there")]
    ways = [(pulses[0], there.parent), (pulses[1], here.parent)]
    for pulse in pulses:
        pulse.start()
    try:
        recovery(ways, time.monotonic() + QUIET_SECONDS, 10 * patience)
        if sleeper:
            pulses[1].asleep.set()
        trouble()
        pulses[1].asleep.clear()
        took = recovery(ways, time.monotonic(), PATIENT_SECONDS)
    finally:
        for pulse in pulses:
            pulse.stop()
    print(f"writing arrived after {took[0]:.2f} s and {took[1]:.2f} s")
    until(lambda: all(pulse.whole(to) for pulse, to in ways), 20 * patience, "all numbers, once, in order")
    return took


def meet_on_path_lan(network: Network, anna: Host, ben: Host, *options: str) -> tuple[Weft, Weft, Path, Path]:
    """Two programs that have met on the local network, and the file that both have."""
    sharer, link, here = share(network, anna, *options)
    joiner, there = join(network, ben, link)
    for weft in (sharer, joiner):
        weft.wait_for("peer.path", path="lan")
    until(there.exists, 20, "the first text")
    return sharer, joiner, here, there


def with_a_server_elsewhere(network: Network, anna: Host, ben: Host) -> Weft:
    """A server that both reach by a cable of their own, over which they do not see each other."""
    outside = network.host("internet")
    outside.run("ip", "link", "set", "lan0", "down")
    outside.run("ip", "addr", "add", f"{SERVER}/32", "dev", "lo")
    for number, host in enumerate((anna, ben), start=1):
        network.wire(host, outside, f"wan{number}", f"10.99.{number}")
        host.run("ip", "route", "add", SERVER, "via", f"10.99.{number}.2")
    server = network.start(outside, "serve", "--host", "0.0.0.0", "--port", "8787")
    server.wait_for("server.listening")
    return server


def test_the_local_network_swallows_everything_and_the_server_is_reached(
    network: Network, patience: float
) -> None:
    anna, ben = network.host("anna"), network.host("ben")
    for host in (anna, ben):
        host.block(DISCOVERY, "meta l4proto udp drop")
    with_a_server_elsewhere(network, anna, ben)
    *_, here, there = meet_on_path_lan(network, anna, ben, "--server", f"http://{SERVER}:8787")

    def dies() -> None:
        for host in (anna, ben):
            host.swallow("lan0")

    took = write_through(here, there, dies, patience)
    assert max(took) < RECOVERY_SECONDS * patience


def announcements(capture: Capture, host: Host) -> tuple[int, int]:
    """How many packets by beacon and by mDNS have told where *host* is."""
    own = socket.inet_aton(host.run("hostname", "-I").split()[0])
    sent = [frame for frame in capture.frames() if frame[12:14] == b"\x08\x00" and frame[26:30] == own]
    return sum(b"weft\x01\x01" in frame for frame in sent), sum(b"_weft" in frame for frame in sent)


@pytest.mark.parametrize("udp", ["allowed", "blocked"])
def test_a_machine_on_a_local_network_wakes_up(network: Network, udp: str, patience: float) -> None:
    anna, ben = network.host("anna"), network.host("ben")
    for host in (anna, ben) if udp == "blocked" else ():
        host.block(DISCOVERY, "meta l4proto udp drop")
    sharer, joiner, here, there = meet_on_path_lan(network, anna, ben)
    capture = network.capture()
    told: list[tuple[int, int]] = []

    def sleeps() -> None:
        os.kill(joiner.pid, signal.SIGSTOP)
        try:
            time.sleep(SLEEP_SECONDS)
            sharer.wait_for("peer.silent")
            told.append(announcements(capture, ben))
        finally:
            os.kill(joiner.pid, signal.SIGCONT)

    took = write_through(here, there, sleeps, patience, sleeper=True)
    assert max(took) < RECOVERY_SECONDS * patience

    def all_again() -> bool:
        beacons, records = announcements(capture, ben)
        return beacons >= told[0][0] + 3 and records > told[0][1]

    until(all_again, 10 * patience, "the announcements of the one who woke up")
    capture.end()
    for weft in (sharer, joiner):
        assert "Traceback" not in weft.last_words()
        assert [record["code"] for record in weft.records("warning")] == []
