"""Ten broken places, each with one fault: the doctor names it, and blames nothing else."""

import time
from typing import Final

import pytest

from tests.doctor.certificates import make_certificate
from tests.doctor.place import DOCTOR_SECONDS, SECRET, SERVER, STUN, Place

WEFT = f"http://{SERVER}:8787"

EXPECTED_HERE = {"server.certificate"}
"""These places have no TLS, which the doctor remarks upon; that is no fault of theirs."""

DROP_UDP_ON_THE_WAY = """
table inet broken {
  chain in { type filter hook input priority 0; iifname "world0" meta l4proto udp drop; }
}
"""

REFUSE_UDP_AT_HOME = """
table inet broken {
  chain out { type filter hook output priority 0; ip daddr 203.0.113.0/24 meta l4proto udp drop; }
}
"""

DROP_MULTICAST = """
table inet broken {
  chain in { type filter hook input priority 0; ip daddr 224.0.0.0/4 meta l4proto udp drop; }
}
"""

DROP_ALL_BUT_THE_SERVER = """
table inet broken {
  chain in { type filter hook input priority 0; iifname "world0" ip daddr != 203.0.113.1 drop; }
  chain on { type filter hook forward priority 0; drop; }
}
"""

AN_HOUR_AHEAD: Final = """
import asyncio, email.utils, re, sys, time

async def pump(reader, writer, change):
    while data := await reader.read(65536):
        writer.write(change(data))
    writer.close()

def later(data):
    date = email.utils.formatdate(time.time() + 3600, usegmt=True).encode()
    return re.sub(rb"Date: [^\\r]+", b"Date: " + date, data)

async def serve(reader, writer):
    there, back = await asyncio.open_connection(sys.argv[1], 8787)
    await asyncio.gather(pump(reader, back, bytes), pump(there, writer, later), return_exceptions=True)

async def main():
    async with await asyncio.start_server(serve, sys.argv[1], 8788) as server:
        await server.serve_forever()

asyncio.run(main())
"""
"""A server in front of ours whose clock is wrong: it passes everything on but the date."""


def serve(place: Place, secret: str = SECRET, stun: tuple[str, ...] = ()) -> None:
    """A server that names the STUN and TURN server of this place, and signs with *secret*."""
    file = place.directory / "turn-secret"
    file.write_text(secret)
    file.chmod(0o600)
    place.serve({"stun": [*stun, f"stun:{STUN}"], "turn": [f"turn:{STUN}"], "turn_secret_file": str(file)})


@pytest.mark.needs("turnserver")
def test_in_a_place_without_a_fault_nothing_is_blamed(place: Place) -> None:
    place.coturn()
    serve(place)
    found = place.doctor("--server", WEFT)
    assert found.not_good() <= EXPECTED_HERE, found
    assert found.finding("internet.nat_mapping")["data"] == {"mapped": 1, "asked": 2, "kind": "none"}
    assert found.finding("internet.nat_filtering")["data"] == {"kind": "endpoint-independent"}
    for id_ in ("server.reach", "server.enter", "server.relay", "server.turn_udp", "server.turn_tcp"):
        assert found.verdict(id_) == "ok", found
    assert found.code == 10


def nat(how: str) -> str:
    """A NAT on the way out, in the words of nftables."""
    return f"""
table ip nat {{
  chain out {{
    type nat hook postrouting priority 100;
    oifname "wlan0" meta l4proto udp ip daddr 203.0.113.0/24 snat to 192.168.77.3{how}
  }}
}}
"""


@pytest.mark.needs("turnserver")
@pytest.mark.parametrize(
    ("how", "kind", "lets_in", "verdict"),
    [
        # the router is this computer itself: with the port kept, everything that comes is for it
        ("", "easy", "endpoint-independent", "ok"),
        (":20000-60000 random", "hard", "address-and-port-dependent", "note"),
    ],
    ids=["easy", "hard"],
)
def test_a_router_is_told_by_what_it_does_to_ports(
    place: Place, how: str, kind: str, lets_in: str, verdict: str
) -> None:
    place.coturn()
    serve(place)
    place.run("ip addr add 192.168.77.3/24 dev wlan0", home=True)
    place.rule(nat(how))
    found = place.doctor("--server", WEFT, "--only", "internet")
    mapping, filtering = found.finding("internet.nat_mapping"), found.finding("internet.nat_filtering")
    assert (mapping["data"]["kind"], mapping["verdict"]) == (kind, verdict), found  # type: ignore[index]
    assert filtering["data"] == {"kind": lets_in}
    assert found.verdict("internet.udp") == "ok"


def test_no_route_is_named(place: Place) -> None:
    place.serve()
    place.run("ip route del default", home=True)
    found = place.doctor("--server", WEFT)
    assert found.verdict("internet.route") == "broken", found
    assert "no interface has a default route" in found.words("internet.route")
    assert "no way leads there" in found.words("server.reach")
    assert found.not_good() == {"internet.route", "server.reach"}
    assert found.code == 1


@pytest.mark.needs("turnserver")
def test_blocked_udp_is_named_and_no_server_is_blamed_for_it(place: Place) -> None:
    place.coturn()
    serve(place)
    place.rule(DROP_UDP_ON_THE_WAY, home=False)
    found = place.doctor("--server", WEFT)
    assert "drops UDP" in found.words("internet.udp"), found
    assert found.verdict("internet.stun") == "skipped", "a silent server may be a blocked one"
    assert found.verdict("server.turn_tcp") == "ok"
    assert "blocks UDP" in found.words("server.turn_udp")
    assert found.not_good() - EXPECTED_HERE == {"internet.udp", "server.turn_udp"}, found
    assert found.code == 10, "it works, by the relay"


@pytest.mark.needs("turnserver")
def test_a_firewall_of_ones_own_is_named_as_such(place: Place) -> None:
    place.coturn()
    serve(place)
    place.rule(REFUSE_UDP_AT_HOME)
    found = place.doctor("--server", WEFT)
    assert "this computer's own firewall" in found.words("internet.udp"), found
    assert found.not_good() - EXPECTED_HERE == {"internet.udp", "server.turn_udp"}, found


def test_dropped_multicast_is_named_with_the_interface(place: Place) -> None:
    place.rule(DROP_MULTICAST)
    found = place.doctor("--only", "lan")
    assert found.verdict("lan.multicast") == "broken", found
    assert "sent on wlan0 by mDNS and beacon" in found.words("lan.multicast")
    assert "ufw allow 5353/udp" in found.words("lan.multicast")
    assert found.code == 1, "without a server there is no other way to meet"


def test_blocked_mdns_alone_is_a_note_because_the_beacon_still_works(place: Place) -> None:
    place.rule(DROP_MULTICAST.replace("ip daddr 224.0.0.0/4", "ip daddr 224.0.0.251"))
    found = place.doctor("--only", "lan")
    assert found.verdict("lan.multicast") == "note", found
    assert "(UDP 5353); the other way still works" in found.words("lan.multicast")
    assert found.code == 10


@pytest.mark.needs("turnserver")
def test_a_dead_stun_server_is_named_where_another_one_answers(place: Place) -> None:
    place.coturn()
    serve(place, stun=(f"stun:{SERVER}:3999",))
    found = place.doctor("--server", WEFT)
    assert found.verdict("internet.udp") == "ok", found
    assert found.verdict("internet.stun") == "broken"
    assert f"{SERVER}:3999" in found.words("internet.stun")
    assert found.not_good() - EXPECTED_HERE == {"internet.stun"}, found
    assert found.code == 1


@pytest.mark.needs("turnserver")
def test_a_wrong_turn_secret_is_named(place: Place) -> None:
    place.coturn()
    serve(place, SECRET[::-1])
    found = place.doctor("--server", WEFT)
    for id_ in ("server.turn_udp", "server.turn_tcp"):
        assert found.verdict(id_) == "broken", found
        assert "the secret of the server and that of the TURN server differ" in found.words(id_)
    assert found.not_good() - EXPECTED_HERE == {"server.turn_udp", "server.turn_tcp"}, found
    assert found.code == 1


def test_a_server_that_is_down_is_told_from_one_that_is_away(place: Place) -> None:
    found = place.doctor("--server", WEFT)
    assert "no server runs at that port" in found.words("server.reach"), found
    assert "weft serve --port 8787" in found.words("server.reach")
    assert found.not_good() == {"server.reach"}
    gone = place.doctor("--server", "http://192.168.77.99:8787", "--only", "server")
    assert "firewall on the way" in gone.words("server.reach"), gone
    assert found.code == gone.code == 1


def test_a_taken_port_is_named_with_who_has_it(place: Place) -> None:
    place.program("import socket; s = socket.create_server(('', 8787)); s.accept()")
    place.wait_for_port(8787)
    found = place.doctor("--only", "computer", "--port", "8787", home=False)
    assert found.verdict("computer.port") == "broken", found
    assert "taken by python" in found.words("computer.port")
    assert "--port 8788" in found.words("computer.port")
    assert found.not_good() == {"computer.port"}
    assert found.code == 1


def test_a_used_up_limit_of_watches_is_named(place: Place) -> None:
    # the limit belongs to a user namespace, so this one has no watch at all to give
    script = 'echo 0 > /proc/sys/user/max_inotify_watches && exec "$@"'
    apart = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]
    found = place.doctor("--only", "computer", before=apart)
    assert found.verdict("computer.watches") == "broken", found
    assert "sysctl fs.inotify.max_user_watches" in found.words("computer.watches")
    assert found.not_good() == {"computer.watches"}
    assert found.code == 1


def test_a_low_limit_of_watches_is_a_note(place: Place) -> None:
    script = 'echo 500 > /proc/sys/user/max_inotify_watches && exec "$@"'
    apart = ["unshare", "--user", "--map-root-user", "sh", "-c", script, "sh"]
    found = place.doctor("--only", "computer", before=apart)
    assert found.verdict("computer.watches") == "note", found
    assert "of 500 watches" in found.words("computer.watches")
    assert found.code == 10


def serve_with_tls(place: Place, *, days: float) -> str:
    """A server whose certificate ends in *days*; whom to trust to believe it."""
    chain, key, trusted = make_certificate(place.directory, SERVER, days=days)
    place.serve({"tls_certificate": str(chain), "tls_key": str(key)})
    return str(trusted)


def test_an_expired_certificate_is_named_with_its_age(place: Place) -> None:
    trust = serve_with_tls(place, days=-3)
    found = place.doctor("--server", f"https://{SERVER}:8787", SSL_CERT_FILE=trust)
    assert found.verdict("server.certificate") == "broken", found
    assert "certificate has expired; it ran out 3 days ago" in found.words("server.certificate")
    assert "certbot renew" in found.words("server.certificate")
    assert found.verdict("computer.clock") == "ok", "it is not the clock"
    assert found.not_good() == {"server.certificate"}, found
    assert found.code == 1


def test_a_good_certificate_is_told_with_the_days_that_are_left(place: Place) -> None:
    trust = serve_with_tls(place, days=83.5)
    found = place.doctor("--server", f"https://{SERVER}:8787", SSL_CERT_FILE=trust)
    assert found.finding("server.certificate")["found"] == "83 days left", found
    assert found.verdict("server.relay") == "ok"
    assert found.not_good() == set()
    assert found.code == 0


def test_a_clock_that_is_an_hour_off_is_named(place: Place) -> None:
    place.serve()
    place.program(AN_HOUR_AHEAD, SERVER)
    place.wait_for_port(8788)
    found = place.doctor("--server", f"http://{SERVER}:8788")
    assert found.verdict("computer.clock") == "broken", found
    assert f"60 min behind that of {SERVER}:8788" in found.words("computer.clock")
    assert "timedatectl set-ntp true" in found.words("computer.clock")
    assert found.not_good() - EXPECTED_HERE == {"computer.clock"}, found
    assert found.code == 1


def test_where_everything_is_dead_the_doctor_still_answers_in_time(place: Place) -> None:
    secret = place.directory / "turn-secret"
    secret.write_text(SECRET)
    away = {"stun": ["stun:203.0.113.77:3478"], "turn": ["turn:203.0.113.78:3478"]}
    place.serve({**away, "turn_secret_file": str(secret)})
    place.rule(DROP_ALL_BUT_THE_SERVER, home=False)
    began = time.monotonic()
    found = place.doctor("--server", WEFT)
    assert time.monotonic() - began < DOCTOR_SECONDS * place.patience
    assert {"internet.udp", "server.turn_udp", "server.turn_tcp"} <= found.not_good(), found


def test_the_self_test_passes_where_there_is_no_network_at_all(place: Place) -> None:
    place.run("ip link set wlan0 down", home=True)
    found = place.doctor("--self-test")
    assert {each["verdict"] for each in found.findings} == {"ok"}, found
    assert found.code == 0
