"""Lists of servers, which may hold anything."""

from peer.edge.ice_servers import IceServer, Servers, TurnServer, kinds, sorted_servers

WHO = ("user", "pass")


def test_each_server_is_known_by_what_it_is_asked_over() -> None:
    servers = sorted_servers(
        [
            IceServer(("stun:a.example:3479", "stun:b.example")),
            IceServer(("turn:c.example?transport=tcp", "turns:d.example:443"), *WHO),
            IceServer(("turn:[2001:db8::1]:99?transport=udp",), *WHO),
        ]
    )
    assert servers.stun == (("a.example", 3479), ("b.example", 3478))
    assert servers.turn == (
        TurnServer("c.example", 3478, "tcp", *WHO),
        TurnServer("d.example", 443, "tls", *WHO),
        TurnServer("2001:db8::1", 99, "udp", *WHO),
    )
    assert kinds(servers) == ("udp", "tcp", "tls")
    assert kinds(Servers()) == ()


def test_turn_without_a_transport_means_both() -> None:
    servers = sorted_servers([IceServer(("turn:a.example", "turn:a.example?transport=udp"), *WHO)])
    assert [server.kind for server in servers.turn] == ["udp", "tcp"]
    assert [server.kind for server in sorted_servers([IceServer(("turns:a.example",), *WHO)]).turn] == ["tls"]


def test_servers_that_cannot_be_used_are_left_out() -> None:
    urls = (
        "stuns:a.example",
        "stun:a.example?transport=udp",
        "turns:a.example?transport=udp",
        "http://c.example",
        "stun:",
        "turn:d.example:99999999",
        "turn:d.example:99999",
        "stun:user@a.example",
    )
    assert sorted_servers([IceServer(urls), IceServer(())]) == Servers()
