"""Local networks on which people come and go, move, and lose the internet; and what others can see there."""

import base64

import pytest

from peer.core.certificates import public_bytes
from peer.core.invitation import lan_key, lan_room_key, parse_invitation
from peer.edge.identity import load_identity
from signaling.messages import room_id
from tests.lan.network import Network, until
from tests.lan.test_lan import expect_edits_both_ways, join, paths, share

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

UDP = 17


def test_nobody_else_learns_anything_from_what_is_announced(
    network: Network, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = network.host("anna-secretname"), network.host("ben-secretname")
    capture = network.capture()
    sharer, link, _ = share(network, anna)
    joiner, there = join(network, ben, link)
    until(there.exists, 20 * patience, "the first text")
    until(lambda: capture.has(b"_weft") and capture.has(b"weft\x01"), 20 * patience, "announcements")
    for weft in (joiner, sharer):
        weft.leave()
    packets = [packet for packet in capture.end() if is_announcement(packet)]
    tags = {packet[-16:] for packet in packets if b"weft\x01" in packet}
    assert len(tags) > 4, "every announcement has a tag of its own"
    invitation = parse_invitation(link)
    secrets = {
        "user, host, or the name that others see": b"secretname",
        "folder": b"notes",
        "file": b"plan",
        "session": invitation.session,
        "secret": invitation.secret,
        "key of announcements": lan_key(invitation.secret),
        "room": room_id(public_bytes(invitation.room_private_key())).encode(),
        "room key": public_bytes(invitation.room_private_key()),
        "lan room": room_id(public_bytes(lan_room_key(invitation.secret))).encode(),
        "lan room key": public_bytes(lan_room_key(invitation.secret)),
    }
    for host in (anna, ben):
        monkeypatch.setenv("WEFT_CONFIG_DIR", str(host.place / "config"))
        secrets[f"device of {host.name}"] = bytes(load_identity().device)
    for what, value in secrets.items():
        for form in forms(value):
            assert not [packet for packet in packets if form in packet.lower()], what


def is_announcement(packet: bytes) -> bool:
    """Whether a frame of Ethernet is UDP to or from one of the two ports."""
    body = packet[14:]
    if packet[12:14] == b"\x08\x00":
        head, protocol = (body[0] & 15) * 4, body[9]
    elif packet[12:14] == b"\x86\xdd":
        head, protocol = 40, body[6]
    else:
        return False
    ports = {int.from_bytes(body[head + n : head + n + 2], "big") for n in (0, 2)}
    return protocol == UDP and bool(ports & {5353, 29718})


def forms(value: bytes) -> list[bytes]:
    """How something could be written on the wire, all in small letters; long ones also by their beginning."""
    raw = [value, value[:8]] if len(value) >= 16 else [value]
    written = [
        form for each in raw for form in (each.hex().encode(), base64.b32encode(each).rstrip(b"=")[:-1])
    ]
    return [form.lower() for form in (*raw, *written)]


def test_three_members_stay_together_when_the_one_who_shared_leaves(
    network: Network, patience: float
) -> None:
    anna, ben, cleo = (network.host(name) for name in ("anna", "ben", "cleo"))
    sharer, link, _ = share(network, anna)
    joined = [join(network, host, link, "--path", "relay") for host in (ben, cleo)]
    for weft, file in joined:
        until(file.exists, 20 * patience, "the first text")
        until(lambda weft=weft: len(weft.records("peer.joined")) == 2, 20 * patience, "everybody")  # type: ignore[misc]
    sharer.leave()
    expect_edits_both_ways(joined[0][1], joined[1][1], patience)
    assert [record["name"] for record in joined[0][0].records("peer.left")] == ["anna"]


def test_members_find_each_other_while_the_one_who_shared_is_away(network: Network, patience: float) -> None:
    anna, ben, cleo = (network.host(name) for name in ("anna", "ben", "cleo"))
    sharer, link, _ = share(network, anna)
    for host in (ben, cleo):
        weft, file = join(network, host, link)
        until(file.exists, 20 * patience, "the first text")
        weft.leave()
    sharer.leave()
    for host in (ben, cleo):
        network.start(host, "join", str(host.place / "notes"))
    expect_edits_both_ways(ben.place / "notes/plan.md", cleo.place / "notes/plan.md", patience)


def test_a_machine_that_gets_another_address_is_found_again(network: Network, patience: float) -> None:
    anna, ben = network.host("anna", ipv6=False), network.host("ben", ipv6=False)
    _, link, here = share(network, anna)
    _, there = join(network, ben, link)
    until(there.exists, 20 * patience, "the first text")
    ben.run("ip", "addr", "flush", "dev", "lan0")
    ben.run("ip", "addr", "add", "10.77.0.99/24", "dev", "lan0")
    ben.run("ip", "link", "set", "lan0", "up")
    here.write_text("moved\n")
    until(lambda: there.read_text() == "moved\n", 30 * patience, "an edit after the move")


def test_a_member_that_is_killed_comes_back(network: Network, patience: float) -> None:
    anna, ben = network.host("anna"), network.host("ben")
    sharer, link, here = share(network, anna)
    _, there = join(network, ben, link)
    until(there.exists, 20 * patience, "the first text")
    sharer.kill()
    there.write_text("while anna was away\n")
    network.start(anna, "share", str(here.parent))
    until(lambda: here.read_text() == "while anna was away\n", 30 * patience, "what happened meanwhile")


def test_the_loss_of_the_internet_does_not_separate_who_is_on_one_network(
    network: Network, patience: float
) -> None:
    anna, ben, cleo, outside = (network.host(name) for name in ("anna", "ben", "cleo", "internet"))
    server = network.start(outside, "serve", "--host", "0.0.0.0", "--port", "8787")
    server.wait_for("server.listening")
    sharer, link, here = share(network, anna, "--server", "http://10.77.0.4:8787")
    joiner, there = join(network, ben, link)
    for weft in (sharer, joiner):
        weft.wait_for("peer.path", path="lan")
    until(there.exists, 20 * patience, "the first text")
    server.kill()
    for weft in (sharer, joiner):
        weft.wait_for("server.state", state="lost")
    expect_edits_both_ways(here, there, patience)
    assert not joiner.records("peer.left")
    assert paths(joiner) <= {"relay", "lan"}
    newcomer, its = join(network, cleo, link)
    until(its.exists, 20 * patience, "a newcomer's first text, without the server")
    newcomer.wait_for("peer.path")  # told a moment later, when the round trip is known
    assert paths(newcomer) == {"lan"}


def test_who_finds_nobody_is_told_what_helps(network: Network, patience: float) -> None:
    anna, ben = network.host("anna"), network.host("ben")
    for host in (anna, ben):
        host.block("meta l4proto udp drop")
    _, link, _ = share(network, anna)
    joiner, _ = join(network, ben, link)
    warning = joiner.wait_for("warning", code="W-ALONE")
    assert "--at" in warning["message"]
