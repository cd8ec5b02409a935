"""What one person hands to another so that they can join a session.

An invitation holds the room secret S, a key I that may certify one more device, the certificates that
entitle I, and where the server is.  The session's own name W is in those certificates.  It is written as
`weft:DATA`, or as `https://server/j#DATA` where the part after `#` never leaves the browser.  DATA is
base64url of: version (1 byte), length of the whole (2 bytes), MessagePack body, checksum (4 bytes); length
and checksum are there so that a link cut short or mistyped gets its own clear message.
"""

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import Annotated, Final
from urllib.parse import urlsplit

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from peer.core.certificates import (
    CERTIFICATE_LIMIT,
    CHAIN_LIMIT,
    KEY_SIZE,
    Certificate,
    Role,
    issue,
    public_bytes,
    read_certificate,
    verify_chain,
)
from peer.errors import RemoteError, UsageError
from signaling.messages import room_id

__all__ = [
    "SECRET_SIZE",
    "SERVERS_LIMIT",
    "Invitation",
    "lan_key",
    "lan_room_key",
    "link_key",
    "parse_invitation",
    "room_private_key",
]

SECRET_SIZE: Final = 32
"""Bytes of the room secret S: nobody guesses 256 bits."""

SERVERS_LIMIT: Final = 3
"""Server addresses in one invitation: a main one, a spare one, one for the local network."""

_SERVER_LENGTH_LIMIT: Final = 255
_TEXT_LIMIT: Final = 4096
"""Characters; three servers and three certificates of the largest size fit three times over."""

_VERSION: Final = 1
_HEADER_SIZE: Final = 3
_CHECKSUM_SIZE: Final = 4
_SALT: Final = b"weft/1"

_PASTE_RUBBISH: Final = re.compile("[\\s<>\"'`\u2018\u2019\u201c\u201d\u00ab\u00bb\u200b\u2060\ufeff]+")
"""What mail programs, chats and fingers put around or into a link."""

_NOT_BASE64URL: Final = re.compile("[^A-Za-z0-9_-]")


class _Body(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    secret: Annotated[bytes, msgspec.Meta(min_length=SECRET_SIZE, max_length=SECRET_SIZE)]
    key_seed: Annotated[bytes, msgspec.Meta(min_length=KEY_SIZE, max_length=KEY_SIZE)]
    chain: Annotated[
        tuple[Annotated[bytes, msgspec.Meta(max_length=CERTIFICATE_LIMIT)], ...],
        msgspec.Meta(min_length=1, max_length=CHAIN_LIMIT - 1),
    ]
    servers: Annotated[
        tuple[Annotated[str, msgspec.Meta(max_length=_SERVER_LENGTH_LIMIT, pattern="^[!-~]+$")], ...],
        msgspec.Meta(max_length=SERVERS_LIMIT),
    ]


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Body).decode


def room_private_key(secret: bytes) -> Ed25519PrivateKey:
    """Derive the key that opens the room from the room secret S (HKDF, RFC 5869)."""
    return Ed25519PrivateKey.from_private_bytes(_derived(secret, b"room"))


def lan_room_key(secret: bytes) -> Ed25519PrivateKey:
    """Derive the key that opens the room on members' own servers.

    Another one than the server's, so that who listens on a local network cannot tell which room on which
    server the same people meet in.
    """
    return Ed25519PrivateKey.from_private_bytes(_derived(secret, b"lan room"))


def link_key(secret: bytes) -> bytes:
    """Derive the key by which members prove to each other that they hold S (HKDF, RFC 5869)."""
    return _derived(secret, b"link")


def lan_key(secret: bytes) -> bytes:
    """Derive the key by which members recognise each other's announcements (HKDF, RFC 5869)."""
    return _derived(secret, b"lan")


def _derived(secret: bytes, label: bytes) -> bytes:
    return HKDF(algorithm=SHA256(), length=KEY_SIZE, salt=_SALT, info=label).derive(secret)


@dataclass(frozen=True, slots=True, repr=False)
class Invitation:
    """The right to join a session, as one person gives it to another.

    Attributes:
        secret: the room secret S, 32 bytes.
        key_seed: the private half of the invitation key I, 32 bytes.
        chain: the certificates from the session's owner to I, one to three of them.
        servers: where the session meets; may be empty on a local network.
    """

    secret: bytes
    key_seed: bytes
    chain: tuple[bytes, ...]
    servers: tuple[str, ...] = ()

    @classmethod
    def make(
        cls,
        issuer: Ed25519PrivateKey,
        issuer_chain: tuple[bytes, ...],
        *,
        secret: bytes,
        session: bytes,
        role: Role,
        until: int,
        key_seed: bytes,
        servers: tuple[str, ...] = (),
    ) -> "Invitation":
        """Invite somebody as *role* until *until* (unix seconds); *key_seed* is 32 fresh random bytes.

        *issuer* is the owner's session key with an empty *issuer_chain*, or a member's device key
        with the chain of that member.

        Raises:
            UsageError: this member may not invite, or not with that role.
        """
        subject = public_bytes(Ed25519PrivateKey.from_private_bytes(key_seed))
        certificate = issue(issuer, session=session, subject=subject, role=role, until=until, may_invite=True)
        chain = (*issuer_chain, certificate)
        if len(chain) >= CHAIN_LIMIT:
            raise UsageError(
                "this invitation was passed on too often; ask the owner of the session to invite"
            )
        try:
            verify_chain(chain, session, subject, 0)
        except RemoteError as error:
            raise UsageError(f"you cannot invite with the role {role.word}: {error}") from error
        return cls(secret, key_seed, chain, servers)

    def __repr__(self) -> str:
        # Secrets must not reach a log by way of a careless format string.
        return f"Invitation(session={self.session.hex()[:8]}, role={self.role.word}, servers={self.servers})"

    @property
    def session(self) -> bytes:
        """The public half of the session key W: the session's name for its members."""
        return self._certificate.session

    @property
    def role(self) -> Role:
        """The role that this invitation gives."""
        return self._certificate.role

    @property
    def until(self) -> int:
        """The last second, in unix time, in which the first certificate to run out is valid."""
        return min(read_certificate(data).until for data in self.chain)

    @property
    def _certificate(self) -> Certificate:
        return read_certificate(self.chain[-1])

    def room_private_key(self) -> Ed25519PrivateKey:
        """The key whose signature the server asks for."""
        return room_private_key(self.secret)

    @property
    def room(self) -> str:
        """The name under which the server knows the room."""
        return room_id(public_bytes(self.room_private_key()))

    def certify(self, device: bytes) -> tuple[bytes, ...]:
        """Return the chain by which *device* shows that it was invited."""
        own = self._certificate
        key = Ed25519PrivateKey.from_private_bytes(self.key_seed)
        last = issue(
            key, session=own.session, subject=device, role=own.role, until=own.until, may_invite=True
        )
        return (*self.chain, last)

    def check_date(self, now_unix: float) -> None:
        """Make sure that the invitation can still be used.

        Raises:
            UsageError: it has run out; the message says since when.
        """
        late = now_unix - self.until
        if late > 0:
            raise UsageError(f"this invitation ran out {_span(late)} ago; ask for a new one")

    def to_uri(self) -> str:
        """The invitation as `weft:…`."""
        return "weft:" + _pack(self)

    def to_web_link(self, server: str) -> str:
        """The invitation as a link that a browser opens; *server* is its `https://…` address."""
        return f"{server.rstrip('/')}/j#{_pack(self)}"


def parse_invitation(text: str) -> Invitation:
    """Read an invitation from what a person pasted, in either form.

    Raises:
        UsageError: it is none, is incomplete, mistyped or altered; the message says which.
    """
    if len(text) > _TEXT_LIMIT:
        raise UsageError(f"this is far too long for an invitation ({len(text)} characters)")
    clean = _PASTE_RUBBISH.sub("", text).rstrip(".,;!?)]}")
    if not clean:
        raise UsageError(
            "there is no invitation here: paste the whole link, it begins with weft: or https://"
        )
    data, origin = _find_data(clean)
    body = _unpack(data)
    servers = body.servers or origin
    invitation = Invitation(body.secret, body.key_seed, body.chain, servers)
    _check_chain(invitation)
    return invitation


def _find_data(clean: str) -> tuple[str, tuple[str, ...]]:
    lower = clean.lower()
    if lower.startswith("weft:"):
        return clean[len("weft:") :].lstrip("/"), ()
    if not lower.startswith(("https://", "http://")):
        raise UsageError("this is not an invitation: one begins with weft: or https://")
    address, _, data = clean.partition("#")
    if not data:
        raise UsageError(
            "this link has nothing after the # sign: copy the whole link, it is longer than that"
        )
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise UsageError(f"the server in this link cannot be read: {error}") from error
    return data, ((f"{parts.scheme}://{parts.netloc}",) if parts.netloc else ())


def _pack(invitation: Invitation) -> str:
    body = _encode(_Body(invitation.secret, invitation.key_seed, invitation.chain, invitation.servers))
    size = _HEADER_SIZE + len(body) + _CHECKSUM_SIZE
    covered = bytes([_VERSION]) + size.to_bytes(2, "big") + body
    return base64.urlsafe_b64encode(covered + _checksum(covered)).decode().rstrip("=")


def _unpack(text: str) -> _Body:
    wrong = _NOT_BASE64URL.search(text)
    if wrong:
        raise UsageError(f"no invitation contains the character {wrong[0]!r}: copy the link again")
    # A length of 4n+1 cannot come from whole bytes; the stray character is dropped and the size tells.
    usable = text[: len(text) - (len(text) % 4 == 1)]
    data = base64.urlsafe_b64decode(usable + "=" * (-len(usable) % 4))
    size = _declared_size(data)
    if len(data) < size or usable != text:
        raise UsageError(
            f"the invitation is incomplete ({len(data)} of {size} bytes): copy the whole link again"
        )
    covered, checksum = data[:-_CHECKSUM_SIZE], data[-_CHECKSUM_SIZE:]
    if len(data) > size or _checksum(covered) != checksum:
        raise UsageError("the invitation is mistyped: a character was changed, added or lost; copy it again")
    try:
        return _decode(covered[_HEADER_SIZE:])
    except msgspec.MsgspecError as error:
        raise UsageError(f"the invitation cannot be read: {error}") from error


def _declared_size(data: bytes) -> int:
    if len(data) < _HEADER_SIZE + _CHECKSUM_SIZE:
        raise UsageError(
            "the invitation is incomplete: only its beginning is here; copy the whole link again"
        )
    if data[0] != _VERSION:
        raise UsageError(
            "the invitation was made by a newer version of Weft, or is mistyped: update, or copy it again"
        )
    return int.from_bytes(data[1:_HEADER_SIZE], "big")


def _checksum(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()[:_CHECKSUM_SIZE]


def _check_chain(invitation: Invitation) -> None:
    subject = public_bytes(Ed25519PrivateKey.from_private_bytes(invitation.key_seed))
    try:
        verify_chain(invitation.chain, invitation.session, subject, 0)
        may_invite = read_certificate(invitation.chain[-1]).may_invite
    except RemoteError as error:
        raise UsageError(f"the invitation is not genuine: {error}") from error
    if not may_invite:
        raise UsageError("the invitation is not genuine: its key may not let anybody in")


def _span(seconds: float) -> str:
    for name, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{int(seconds // length)} {name}"
    return f"{int(seconds)} seconds"
