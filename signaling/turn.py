"""Which STUN and TURN servers a client is told about, with credentials that expire.

The TURN server and we share a secret; it believes whoever brings a name with a date in it and that name's
HMAC (`use-auth-secret` of coturn, after draft-uberti-behave-turn-rest-00). Nothing is stored anywhere.
"""

import base64
import hashlib
import hmac
import math
import re
from dataclasses import dataclass, field
from typing import Final

from signaling.messages import IceServer

__all__ = ["SECRET_CHARACTERS", "Issuer", "ice_urls", "pseudonym", "sign", "turn_secrets"]

SECRET_CHARACTERS: Final = 16
"""The shortest secret: anyone who was given a credential can try to guess the secret behind it, at home."""

_ISSUE_SECONDS: Final = 60.0
"""Between two lists for one client: half a life of an hour is thirty times longer."""

_QUARTER: Final = 4
"""Of a short life, so that a client that asks at half of it never comes too early."""

_PSEUDONYM_CHARACTERS: Final = 12
"""48 bits: enough that two never share a quota by accident, short in a log."""

_DAY_SECONDS: Final = 86_400
_HIGHEST_PORT: Final = 65_535

_HOST: Final = r"(\[[0-9a-fA-F:.]+\]|[^\[\]?:@/,\s]+)"
_URL: Final = re.compile(
    rf"(?P<scheme>stun|turns?):{_HOST}(:(?P<port>\d{{1,5}}))?(?P<query>\?transport=(udp|tcp))?"
)


def ice_urls(url: str) -> tuple[str, ...]:
    """What clients are told for one URL of the operator: `turn:` without a transport means UDP and TCP.

    Each URL in the result names its transport, because programs differ in what they take for granted.

    Raises:
        ValueError: it is no URL of RFC 7064 or 7065, in words for the operator.
    """
    found = _URL.fullmatch(url)
    if found is None or int(found["port"] or 0) > _HIGHEST_PORT:
        raise ValueError(f"{url!r} is no address; write stun:host:3478, turn:host:3478 or turns:host:443")
    scheme, query = found["scheme"], found["query"]
    if (scheme, query) == ("turns", "?transport=udp"):
        raise ValueError(f"{url!r} asks for DTLS, which Weft does not speak; leave ?transport=udp away")
    if scheme == "stun":
        if query:
            raise ValueError(f"{url!r} has a transport, and stun: URLs have none (RFC 7064)")
        return (url,)
    if query:
        return (url,)
    return tuple(f"{url}?transport={kind}" for kind in (("tcp",) if scheme == "turns" else ("udp", "tcp")))


def turn_secrets(text: str) -> tuple[str, ...]:
    """The secrets in *text*, one a line; the first signs, the others are on their way out or in.

    Raises:
        ValueError: there is none, or one cannot be used, in words for the operator.
    """
    secrets = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not secrets:
        raise ValueError("there is no secret in it")
    for number, secret in enumerate(secrets, 1):
        if len(secret) < SECRET_CHARACTERS:
            raise ValueError(
                f"secret {number} is shorter than {SECRET_CHARACTERS} characters: it could be guessed"
            )
        if not re.fullmatch(r"[A-Za-z0-9+/=_.-]+", secret):
            raise ValueError(f"secret {number} has other characters than letters, digits and +/=_.-")
    return secrets


def sign(secret: str, expiry: int, who: str) -> tuple[str, str]:
    """Username and credential of *who*, good until *expiry* (Unix time)."""
    username = f"{expiry}:{who}"
    digest = hmac.digest(secret.encode(), username.encode(), hashlib.sha1)
    return username, base64.b64encode(digest).decode("ascii")


def pseudonym(key: bytes, unix: float, room: str, network: str) -> str:
    """What a TURN server calls those of *room* who come from *network*, on the day of *unix*."""
    day = int(unix // _DAY_SECONDS)
    digest = hmac.digest(key, f"{day}\0{room}\0{network}".encode(), hashlib.sha256)
    return digest.hex()[:_PSEUDONYM_CHARACTERS]


@dataclass(frozen=True, slots=True)
class Issuer:
    """What the operator has set; *key* makes the pseudonyms of this run of the server.

    *secrets*, *stun* and *turn* have been through `turn_secrets` and `ice_urls`.
    """

    fixed: tuple[IceServer, ...]
    stun: tuple[str, ...]
    turn: tuple[str, ...]
    secrets: tuple[str, ...] = field(repr=False)
    life: float
    key: bytes = field(repr=False)

    @property
    def ttl(self) -> float:
        """Seconds that a list can be used; 0 if nothing in it expires."""
        return self.life if self.turn else 0.0

    @property
    def issue_seconds(self) -> float:
        """How much time one client must let pass between two lists."""
        return min(_ISSUE_SECONDS, self.life / _QUARTER) if self.turn else _ISSUE_SECONDS

    def servers(self, unix: float, room: str, network: str) -> tuple[IceServer, ...]:
        """The list for a member of *room* who comes from *network*, at Unix time *unix*."""
        listed = list(self.fixed)
        if self.stun:
            listed.append(IceServer(self.stun))
        if self.turn:
            # upwards: a credential must not end sooner than we say
            expiry = math.ceil(unix + self.life)
            username, credential = sign(self.secrets[0], expiry, pseudonym(self.key, unix, room, network))
            listed.append(IceServer(self.turn, username, credential))
        return tuple(listed)
