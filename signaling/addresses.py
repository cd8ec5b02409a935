"""Where a connection comes from, also when it came through reverse proxies.

Anybody can write an `X-Forwarded-For` header, so it counts only as far as trusted proxies wrote it:
read from the right, the first hop that is not one of ours is the client.
"""

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

__all__ = ["Network", "client_address", "counted_as", "is_in", "parse_network"]

Network = IPv4Network | IPv6Network

_IPV6_SITE_BITS = 64


def parse_network(text: str) -> Network:
    """Read `10.0.0.0/8` or a single address.

    Raises:
        ValueError: it is neither; the text of the error says why.
    """
    return ip_network(text)


def is_in(address: str, networks: Iterable[Network]) -> bool:
    """Whether *address* is one of *networks*; what is not an IP address is in none."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def client_address(peer: str, forwarded: Iterable[str], trusted: tuple[Network, ...]) -> str:
    """The address to hold responsible: *peer*, or whom trusted proxies name instead.

    *forwarded* are the values of all `X-Forwarded-For` headers, in the order they came. A hop that
    cannot be read ends the search: the proxy that passed it on is as far as we can see.
    """
    hops = [hop.strip() for value in forwarded for hop in value.split(",")]
    address = peer
    while hops and is_in(address, trusted):
        hop = hops.pop()
        if not _is_address(hop):
            break
        address = hop
    return address


def counted_as(address: str) -> str:
    """The name under which limits count *address*: an IPv6 site gets one name for its whole /64."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    site = int(parsed) >> _IPV6_SITE_BITS << _IPV6_SITE_BITS
    return f"{IPv6Address(site)}/{_IPV6_SITE_BITS}"


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
