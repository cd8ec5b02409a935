"""Measures what kind of NAT a host is behind, by RFC 4787's two questions.

Mapping: which address and port do three destinations see, two of them with one address?  Filtering: whose
answers arrive at a socket that has sent to the first destination only?
"""

import contextlib
import itertools
import secrets
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.netlab.lab import Host

__all__ = ["Finding", "Rule", "classify", "mapping"]

PATIENCE: Final = 0.2
"""Seconds for a packet between two namespaces of one machine, which takes a fraction of a millisecond."""
TCP_PATIENCE: Final = 0.5

Address = tuple[str, int]


class Rule:
    """How far a mapping or a filter depends on whom one talks to."""

    INDEPENDENT: Final = "endpoint-independent"
    ADDRESS: Final = "address-dependent"
    PORT: Final = "address-and-port-dependent"
    NONE: Final = "no UDP"


@dataclass(frozen=True, slots=True)
class Finding:
    """What a host's NAT was seen to do."""

    mapping: str
    filtering: str
    translated: bool
    tcp_3478: bool
    tcp_443: bool


@contextlib.contextmanager
def _sockets(*places: tuple[Host, int]) -> Iterator[list[socket.socket]]:
    opened = [host.udp(port) for host, port in places]
    try:
        for each in opened:
            each.settimeout(PATIENCE)
        yield opened
    finally:
        for each in opened:
            each.close()


def _heard(receiver: socket.socket, word: bytes) -> Address | None:
    """Who sent *word* to *receiver*, or None if nobody did."""
    for _ in range(8):
        try:
            data, sender = receiver.recvfrom(100)
        except TimeoutError:
            return None
        if data == word:
            return str(sender[0]), int(sender[1])
    return None


_ports = itertools.count(7000)


def mapping(host: Host, servers: tuple[Host, Host], *, stranger_first: bool = False) -> list[Address | None]:
    """What (first, port), (first, other port) and (second, port) see of one socket of *host*.

    With *stranger_first*, the third sends something to the socket's outside address before it is sent to.
    """
    port = next(_ports)
    places = [(servers[0], port), (servers[0], port + 1000), (servers[1], port)]
    with _sockets((host, 0), *places) as (client, *receivers):
        seen: list[Address | None] = []
        for (server, number), receiver in zip(
            [(servers[0], port), (servers[0], port + 1000), (servers[1], port)], receivers, strict=True
        ):
            if stranger_first and receiver is receivers[-1] and seen[0] is not None:
                receiver.sendto(b"nobody asked", seen[0])
            word = secrets.token_bytes(8)
            client.sendto(word, (server.address, number))
            seen.append(_heard(receiver, word))
        return seen


def _mapping_rule(seen: list[Address | None]) -> str:
    if None in seen:
        return Rule.NONE
    first, other_port, other_address = seen
    if first == other_port == other_address:
        return Rule.INDEPENDENT
    return Rule.ADDRESS if first == other_port else Rule.PORT


def _filtering_rule(host: Host, servers: tuple[Host, Host]) -> str:
    port = next(_ports)
    places = [(servers[0], port), (servers[0], port + 1000), (servers[1], port)]
    with _sockets((host, 0), *places) as (client, *answering):
        client.sendto(word := secrets.token_bytes(8), (servers[0].address, port))
        outside = _heard(answering[0], word)
        if outside is None:
            return Rule.NONE
        arrived = []
        for each in answering:
            each.sendto(word := secrets.token_bytes(8), outside)
            arrived.append(_heard(client, word) is not None)
        assert arrived[0], "the answer to a question did not arrive"
        if arrived[2]:
            return Rule.INDEPENDENT
        return Rule.ADDRESS if arrived[1] else Rule.PORT


def classify(host: Host, servers: tuple[Host, Host]) -> Finding:
    """What *host*'s NAT does; both *servers* must listen for TCP on the ports 443 and 3478."""
    seen = mapping(host, servers)
    return Finding(
        mapping=_mapping_rule(seen),
        filtering=_filtering_rule(host, servers),
        translated=seen[0] is not None and seen[0][0] != host.address,
        tcp_3478=host.tcp((servers[0].address, 3478), TCP_PATIENCE),
        tcp_443=host.tcp((servers[0].address, 443), TCP_PATIENCE),
    )
