"""What coturn has to be told to relay for Weft, and for nobody and nowhere else.

`render` fills the templates in `turn_templates`; it reads and writes nothing. Networks are given as CIDR
and come out as ranges, which every version of coturn understands.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from string import Template
from typing import Final

__all__ = ["DENIED", "SINCE_COTURN", "TEMPLATES", "USER_QUOTA", "TurnConfig", "render"]

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

TEMPLATES: Final = ("turnserver.conf", "coturn-weft.conf", "compose.yaml", "turn.nft")
"""The files that there are."""

DENIED: Final[dict[str, str]] = {
    "0.0.0.0/8": "this host",
    "10.0.0.0/8": "private networks (RFC 1918)",
    "100.64.0.0/10": "inner networks of providers (RFC 6598)",
    "127.0.0.0/8": "this machine",
    "169.254.0.0/16": "link-local, and where clouds keep the secrets of a machine",
    "172.16.0.0/12": "private networks",
    "192.0.0.0/24": "protocols of the IETF",
    "192.0.2.0/24": "documentation",
    "192.88.99.0/24": "6to4 relays",
    "192.168.0.0/16": "private networks",
    "198.18.0.0/15": "benchmarks",
    "198.51.100.0/24": "documentation",
    "203.0.113.0/24": "documentation",
    "240.0.0.0/4": "reserved, and broadcast",
    # not ::/127: coturn 4.6 takes a range that begins with :: for all of IPv4, and it refuses :: anyway
    "::1/128": "this machine",
    "::ffff:0:0/96": "IPv4 in another dress",
    "64:ff9b::/96": "IPv4 behind a translator",
    "64:ff9b:1::/48": "the same, private",
    "100::/64": "discarded",
    "2001::/23": "protocols of the IETF",
    "2001:db8::/32": "documentation",
    "2002::/16": "IPv4 in a tunnel",
    "fc00::/7": "private networks",
    "fe80::/10": "link-local",
    "fec0::/10": "private networks, as they once were",
}
"""Networks that nobody is relayed into, and what they are (IANA's registries of special addresses)."""

SINCE_COTURN: Final[dict[str, tuple[int, ...]]] = {
    "no-rfc5780": (4, 7),
    "no-stun-backward-compatibility": (4, 7),
    "response-origin-only-with-rfc5780": (4, 7),
    "no-software-attribute": (4, 7),
    "no-tlsv1": (4, 7),
    "no-tlsv1_1": (4, 7),
    "no-cli": (4, 10),
    "no-dtls": (4, 17),
}
"""What older versions have to be told, and from which version on coturn does so by itself.  Newer ones read
past such a word, with a line in the log: a file for an older version is right for them, not the reverse."""

_OLDER_LINE: Final = "# what newer versions do by themselves; they log these words as unknown or deprecated"
_NO_SECRET: Final = (
    "# (here `weft turn-config --secret-file` puts static-auth-secret=..., one line for each secret)"
)

USER_QUOTA: Final = 64
"""Allocations of one room from one network: as many as the largest room has members."""

_MAX_BPS: Final = 1_000_000
"""Bytes per second of one allocation."""

_FIRST_FREE_PORT: Final = 1024
_HIGHEST_PORT: Final = 65_535


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnConfig:
    """One TURN server.

    Attributes:
        domain: its name, for clients and certificates.
        secrets: shared with `weft serve`; every one is accepted.
        external: the addresses under which the world knows it.
        listen: the addresses that the machine has, if they differ: one for each of *external* (1:1 NAT).
        port, tls_port, min_port, max_port: where it listens, and the range that it relays from.
        certificate, key: paths on the server; without them there is no TLS.
        deny, allow: further networks; what is allowed wins.
        coturn: the version that will read this.
    """

    domain: str
    secrets: tuple[str, ...] = field(default=(), repr=False)
    external: tuple[str, ...] = ()
    listen: tuple[str, ...] = ()
    port: int = 3478
    tls_port: int = 443
    min_port: int = 49_152
    max_port: int = 49_999
    certificate: str = ""
    key: str = ""
    deny: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    coturn: tuple[int, ...] = (4, 6)

    def __post_init__(self) -> None:
        """Refuse what coturn would misunderstand.

        Raises:
            ValueError: in words for the operator.
        """
        if not self.domain or not set(self.domain) <= set(_DOMAIN_LETTERS):
            raise ValueError(f"the domain {self.domain!r} has to be a name such as turn.example.org")
        for address in (*self.external, *self.listen):
            _address(address)
        if self.listen and len(self.listen) != len(self.external):
            raise ValueError("each --listen address needs the --external-ip under which the world knows it")
        if bool(self.certificate) != bool(self.key):
            raise ValueError("a certificate and its key only make sense together")
        if any(letter.isspace() for letter in self.certificate + self.key):
            raise ValueError(
                "paths of the certificate and its key must not have spaces: coturn cuts them there"
            )
        for network in (*self.deny, *self.allow):
            _network(network)
        self._check_ports()

    def _check_ports(self) -> None:
        for port in (self.port, self.tls_port, self.min_port, self.max_port):
            if not 1 <= port <= _HIGHEST_PORT:
                raise ValueError(f"there is no port {port}")
        if self.min_port > self.max_port or self.min_port < _FIRST_FREE_PORT:
            raise ValueError(
                f"{self.min_port} to {self.max_port} is no range of ports above {_FIRST_FREE_PORT - 1}"
            )
        if self.min_port <= self.port <= self.max_port or self.min_port <= self.tls_port <= self.max_port:
            raise ValueError("the server cannot listen on a port of the range that it relays from")
        if self.certificate and self.port == self.tls_port:
            raise ValueError("TLS needs a port of its own")

    @property
    def own(self) -> tuple[str, ...]:
        """The addresses of the machine itself."""
        return self.listen or self.external


_DOMAIN_LETTERS: Final = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-"


def render(config: TurnConfig, templates: Mapping[str, str]) -> dict[str, str]:
    """The files for *config*, by name; *templates* has the text of each of `TEMPLATES`."""
    values = _values(config)
    return {name: _tidy(Template(templates[name]).substitute(values)) for name in TEMPLATES}


def _values(config: TurnConfig) -> dict[str, object]:
    ports = [config.port, *([config.tls_port] if config.certificate else [])]
    low = min(ports) < _FIRST_FREE_PORT
    networks = [_network(text) for text in (*DENIED, *config.deny)]
    own = [_address(text) for text in config.own]
    return {
        "domain": config.domain,
        "port": config.port,
        "min_port": config.min_port,
        "max_port": config.max_port,
        "listeners": "\n".join(_listeners(config)),
        "tls": "\n".join(_tls(config)),
        "secrets": "\n".join(f"static-auth-secret={each}" for each in config.secrets) or _NO_SECRET,
        "user_quota": USER_QUOTA,
        "total_quota": config.max_port - config.min_port + 1,
        "max_bps": _MAX_BPS,
        "older": "\n".join(_older(config.coturn)),
        "denied": "\n".join(_denied(config.deny)),
        "allowed": "\n".join(_allowed(config, own)),
        "capabilities": "\n".join(_capabilities(low)),
        "image": ".".join(map(str, config.coturn)),
        "volumes": "\n".join(
            f"      - {each}:{each}:ro" for each in (config.certificate, config.key) if each
        ),
        "tcp_ports": ", ".join(map(str, ports)),
        "own4": _elements(each for each in own if each.version == 4),
        "own6": _elements(each for each in own if each.version == 6),
        "never4": _joined(each for each in networks if each.version == 4),
        "never6": _joined(each for each in networks if each.version == 6),
    }


def _older(version: tuple[int, ...]) -> list[str]:
    words = [word for word, since in SINCE_COTURN.items() if version < since]
    return [_OLDER_LINE, *words] if words else []


def _listeners(config: TurnConfig) -> list[str]:
    lines = []
    for address in config.own:
        lines += [f"listening-ip={address}", f"relay-ip={address}"]
    if not lines:
        lines.append("# every address of this machine; better name them with --external-ip")
    pairs = zip(config.external, config.listen, strict=False)
    lines += [f"external-ip={public}/{own}" for public, own in pairs if public != own]
    return lines


def _tls(config: TurnConfig) -> list[str]:
    if not config.certificate:
        return [
            "# without a certificate there is no TLS: pairs who can only reach port 443 will not find a way",
            "no-tls",
        ]
    return [
        f"tls-listening-port={config.tls_port}",
        f"cert={config.certificate}",
        f"pkey={config.key}",
        'cipher-list="ECDHE+AESGCM:ECDHE+CHACHA20"',
    ]


def _denied(further: Iterable[str]) -> list[str]:
    lines = [f"# {meaning}\n{_line('denied', network)}" for network, meaning in DENIED.items()]
    return lines + [f"# denied by the operator\n{_line('denied', network)}" for network in further]


def _allowed(config: TurnConfig, own: list[Address]) -> list[str]:
    """What is denied above and wanted all the same; coturn lets this win."""
    networks = [_network(text) for text in (*DENIED, *config.deny)]
    lines = [
        "# two people who both need this server meet at its own address, which is denied above\n"
        f"allowed-peer-ip={address}"
        for address in own
        if any(address in network for network in networks)
    ]
    return lines + [f"# allowed by the operator\n{_line('allowed', network)}" for network in config.allow]


def _line(word: str, text: str) -> str:
    network = _network(text)
    first, last = network[0], network[-1]
    return f"{word}-peer-ip={first}" if first == last else f"{word}-peer-ip={first}-{last}"


def _capabilities(low: bool) -> list[str]:
    wanted = "CAP_NET_BIND_SERVICE" if low else ""
    lines = [f"CapabilityBoundingSet={wanted}"]
    return [f"# for a port below 1024\nAmbientCapabilities={wanted}", *lines] if low else lines


def _elements(addresses: Iterable[Address]) -> str:
    listed = _joined(addresses)
    return f"elements = {{ {listed} }};" if listed else ""


def _joined(things: Iterable[Address | Network]) -> str:
    return ", ".join(map(str, things))


def _tidy(text: str) -> str:
    """*text* without the empty lines that values without a text left behind."""
    lines = text.split("\n")
    kept = [
        line for number, line in enumerate(lines) if line.strip() or number == 0 or lines[number - 1].strip()
    ]
    return "\n".join(line.rstrip() for line in kept).rstrip("\n") + "\n"


def _address(text: str) -> Address:
    try:
        return ip_address(text)
    except ValueError as problem:
        raise ValueError(f"{text!r} is no IP address") from problem


def _network(text: str) -> Network:
    try:
        return ip_network(text)
    except ValueError as problem:
        raise ValueError(f"{text!r} is no network such as 198.51.100.0/24: {problem}") from problem
