"""What a client signs, and whether it did: that it belongs into a room, and that an address was its own.

The first words of what is signed keep a signature from meaning anything elsewhere; the nonce keeps it
from meaning anything on another connection.
"""

import base64
import hashlib
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

__all__ = ["claim_bytes", "proof_bytes", "room_id", "verify", "verify_claim"]

_PROOF_DOMAIN: Final = b"weft/1 enter\0"
_CLAIM_DOMAIN: Final = b"weft/1 resume\0"


def room_id(room_public: bytes) -> str:
    """The name of the room whose members hold the key: 26 lower-case characters."""
    digest = hashlib.sha256(room_public).digest()[:16]
    return base64.b32encode(digest).decode("ascii").rstrip("=").lower()


def proof_bytes(nonce: bytes) -> bytes:
    """What the room key signs."""
    return _PROOF_DOMAIN + nonce


def claim_bytes(nonce: bytes, token: bytes) -> bytes:
    """What the member key signs to have its address back."""
    return _CLAIM_DOMAIN + nonce + token


def verify(room_public: bytes, nonce: bytes, signature: bytes) -> bool:
    """Whether *signature* shows that its maker holds the private half of *room_public*."""
    return _is_signed(room_public, proof_bytes(nonce), signature)


def verify_claim(member_public: bytes, nonce: bytes, token: bytes, signature: bytes) -> bool:
    """Whether *signature* claims *token* on this connection, by whoever entered with *member_public*."""
    return _is_signed(member_public, claim_bytes(nonce, token), signature)


def _is_signed(public: bytes, message: bytes, signature: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, message)
    except (InvalidSignature, ValueError):
        return False
    return True
