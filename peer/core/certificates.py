"""Who may act in a session, shown by a short chain of signed statements.

A certificate says: key K may act as ROLE in session W until DATE, and may or may not invite others.
The first one in a chain is signed by W itself, each later one by the key that the one before it names.
Everything needed for the check is in the chain, so nobody has to be online to be believed.  The
signature covers a fixed prefix and the body, so it can never be taken for a signature over something else.
"""

import enum
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from peer.errors import Malformed, Refused, TooLarge

__all__ = [
    "CERTIFICATE_LIMIT",
    "CHAIN_LIMIT",
    "FOREVER",
    "KEY_SIZE",
    "Certificate",
    "Role",
    "issue",
    "public_bytes",
    "read_certificate",
    "verify_chain",
]

KEY_SIZE: Final = 32
"""Bytes in an Ed25519 key, public or private (RFC 8032 section 5.1.5)."""

CHAIN_LIMIT: Final = 4
"""Owner, two who passed the invitation on, and the device: longer chains only make removal harder."""

CERTIFICATE_LIMIT: Final = 256
"""Bytes in one certificate; a real one has fewer than 160, the rest is room for later fields."""

FOREVER: Final = 1 << 48
"""A date for certificates that do not run out, in unix seconds."""

_SIGNATURE_SIZE: Final = 64
_SIGNED_PREFIX: Final = b"weft certificate 1\x00"
_FORMAT: Final = 1

_Key = Annotated[bytes, msgspec.Meta(min_length=KEY_SIZE, max_length=KEY_SIZE)]
_Date = Annotated[int, msgspec.Meta(ge=0, le=FOREVER)]


class Role(enum.IntEnum):
    """What a member may do; a higher role includes the lower ones."""

    VIEWER = 1
    EDITOR = 2
    OWNER = 3

    @property
    def word(self) -> str:
        """The role as people and programs read it."""
        return self.name.lower()


class Certificate(msgspec.Struct, array_like=True, frozen=True, forbid_unknown_fields=True):
    """The signed half of a certificate; *until* is in unix seconds and is the last valid one."""

    format: int
    session: _Key
    subject: _Key
    role: Role
    until: _Date
    may_invite: bool


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Certificate).decode


def public_bytes(key: Ed25519PrivateKey) -> bytes:
    """Return the public half of *key*, 32 bytes."""
    return key.public_key().public_bytes_raw()


def issue(
    issuer: Ed25519PrivateKey, *, session: bytes, subject: bytes, role: Role, until: int, may_invite: bool
) -> bytes:
    """Sign that *subject* may act as *role* in *session* until *until* (unix seconds).

    Whether *issuer* is entitled to say so is for `verify_chain` to judge.
    """
    body = _encode(Certificate(_FORMAT, session, subject, role, until, may_invite))
    return issuer.sign(_SIGNED_PREFIX + body) + body


def read_certificate(data: bytes) -> Certificate:
    """Return what *data* says, without asking who signed it.

    Raises:
        TooLarge: more than `CERTIFICATE_LIMIT` bytes.
        Malformed: not a certificate, or not in the one form that `issue` writes.
    """
    if len(data) > CERTIFICATE_LIMIT:
        raise TooLarge("a certificate", len(data), CERTIFICATE_LIMIT)
    body = data[_SIGNATURE_SIZE:]
    try:
        certificate = _decode(body)
    except msgspec.MsgspecError as error:
        raise Malformed(f"a certificate cannot be read: {error}") from error
    if certificate.format != _FORMAT:
        raise Malformed(f"a certificate has format {certificate.format}; this version knows only {_FORMAT}")
    # Two encodings of one statement would be two names for one thing.
    if _encode(certificate) != body:
        raise Malformed("a certificate is not in its canonical form")
    return certificate


def verify_chain(chain: Sequence[bytes], session: bytes, device: bytes, now_unix: float) -> Role:
    """Return the role in which *device* may act in *session* at *now_unix*.

    Raises:
        Malformed, TooLarge: a certificate, or the chain, does not follow the format.
        Refused: the chain does not lead from *session* to *device*, or has run out.
    """
    if not chain:
        raise Refused("it showed no certificate for this session")
    if len(chain) > CHAIN_LIMIT:
        raise TooLarge("a certificate chain", len(chain), CHAIN_LIMIT)
    issuer, may_invite, role = session, True, Role.OWNER
    for data in chain:
        certificate = read_certificate(data)
        if not may_invite:
            raise Refused("its certificate was signed by somebody who may not invite")
        _check_signature(issuer, data)
        _check_statement(certificate, session, role, now_unix)
        issuer, may_invite, role = certificate.subject, certificate.may_invite, certificate.role
    if issuer != device:
        raise Refused("its certificate belongs to another device")
    return role


def _check_signature(issuer: bytes, data: bytes) -> None:
    try:
        Ed25519PublicKey.from_public_bytes(issuer).verify(
            data[:_SIGNATURE_SIZE], _SIGNED_PREFIX + data[_SIGNATURE_SIZE:]
        )
    except InvalidSignature as error:
        raise Refused("its certificate is not signed by the one who should have signed it") from error


def _check_statement(certificate: Certificate, session: bytes, limit: Role, now_unix: float) -> None:
    if certificate.session != session:
        raise Refused("its certificate is for another session")
    if certificate.role > limit:
        raise Refused(
            f"its certificate claims the role {certificate.role.word}, above its issuer's {limit.word}"
        )
    if now_unix > certificate.until:
        raise Refused("its certificate has run out; it needs a new invitation")
