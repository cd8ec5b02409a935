"""Names of paths, and lists of servers that may hold anything."""

import pytest

from peer.edge.ice import IceServer, classify_path, usable_servers

LAN = ("host", "192.168.1.5")


@pytest.mark.parametrize(
    ("local", "remote", "path"),
    [
        (LAN, ("host", "192.168.1.6"), "lan"),
        (LAN, ("host", "10.1.1.1"), "lan"),
        (("host", "fe80::1%eth0"), ("host", "fe80::2"), "lan"),
        (("host", "fd00::2"), ("host", "fd00::3"), "lan"),
        (LAN, ("host", "4f1c.local"), "lan"),
        (LAN, ("host", "printer.example"), "direct"),
        (LAN, LAN, "direct"),
        (LAN, ("host", "172.17.0.1"), "direct"),
        (("host", "127.0.0.1"), ("host", "127.0.0.1"), "direct"),
        (("host", "::1"), ("host", "::1"), "direct"),
        (LAN, ("host", "8.8.8.8"), "direct"),
        (LAN, ("srflx", "192.168.1.6"), "direct"),
        (LAN, ("prflx", "192.168.1.6"), "direct"),
        (("host", "2001:470::1"), ("host", "2001:470::2"), "direct"),
        (("relay", "8.8.8.8"), ("host", "192.168.1.6"), "turn"),
        (LAN, ("relay", "192.168.1.6"), "turn"),
    ],
)
def test_a_path_is_named_after_its_two_ends(
    local: tuple[str, str], remote: tuple[str, str], path: str
) -> None:
    assert classify_path(local, remote, {"192.168.1.5", "172.17.0.1"}) == path


def test_servers_that_cannot_be_used_are_left_out() -> None:
    servers = [
        IceServer(("stun:a.example:3478", "stuns:a.example", "stun:a.example?transport=udp")),
        IceServer(("turn:b.example?transport=tcp", "turns:b.example:443"), "user", "pass"),
        IceServer(("http://c.example", "stun:", "turn:d.example:99999999")),
        IceServer(()),
    ]
    assert usable_servers(servers) == [
        IceServer(("stun:a.example:3478",)),
        IceServer(("turn:b.example?transport=tcp", "turns:b.example:443"), "user", "pass"),
    ]
