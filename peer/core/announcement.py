"""What a member says on a local network so that other members find it, and nobody else learns anything.

    beacon  = "weft" · version:1 · kind:1 · instance:8 · port:2 · nonce:12 · tag:16
    DNS-SD  = instance name hex(instance), port in SRV, TXT v=1 n=hex(nonce) t=hex(tag)
    tag     = HMAC-SHA256(key from the session's secret, "weft/1 lan" · 0 · all before it)[:16]

The tag is fresh with every nonce: without the key, two announcements of one session look like any two.  The
instance is random and lives as long as the program runs.
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

__all__ = [
    "BEACON_SIZE",
    "INSTANCE_SIZE",
    "NONCE_SIZE",
    "Announcement",
    "read_beacon",
    "read_txt",
    "write_beacon",
    "write_txt",
]

INSTANCE_SIZE: Final = 8
"""Bytes: enough that two programs never get the same."""
NONCE_SIZE: Final = 12
"""Bytes: enough that no two announcements of a session ever have the same tag by chance."""
TAG_SIZE: Final = 16
"""Bytes: nobody guesses 128 bits."""

_MAGIC: Final = b"weft"
_VERSION: Final = 1
_HERE: Final = 1
_GONE: Final = 2
_HEAD: Final = len(_MAGIC) + 2 + INSTANCE_SIZE + 2
BEACON_SIZE: Final = _HEAD + NONCE_SIZE + TAG_SIZE
"""Bytes of a beacon; whatever is longer or shorter is somebody else's."""

_LABEL: Final = b"weft/1 lan\x00"


@dataclass(frozen=True, slots=True)
class Announcement:
    """A member's own server, under its random name for this run: it listens on *port*, or is gone."""

    instance: bytes
    port: int
    gone: bool = False


def write_beacon(announcement: Announcement, key: bytes, nonce: bytes) -> bytes:
    """Write a beacon; *nonce* is `NONCE_SIZE` fresh random bytes."""
    head = _head(announcement)
    return head + nonce + _tag(key, head, nonce)


def read_beacon(data: bytes, key: bytes) -> Announcement | None:
    """Read a beacon; `None` if it is none, or of a session that *key* does not belong to."""
    if len(data) != BEACON_SIZE or not data.startswith(_MAGIC + bytes((_VERSION,))):
        return None
    head, nonce, tag = data[:_HEAD], data[_HEAD:-TAG_SIZE], data[-TAG_SIZE:]
    if not hmac.compare_digest(tag, _tag(key, head, nonce)):
        return None
    instance = head[6 : 6 + INSTANCE_SIZE]
    return Announcement(instance, int.from_bytes(head[-2:], "big"), gone=head[5] == _GONE)


def write_txt(announcement: Announcement, key: bytes, nonce: bytes) -> dict[str, str]:
    """The attributes of a DNS-SD service (RFC 6763 section 6); its name is the instance in hexadecimal."""
    tag = _tag(key, _head(announcement), nonce)
    return {"v": str(_VERSION), "n": nonce.hex(), "t": tag.hex()}


def read_txt(name: str, port: int, txt: Mapping[str, str | None], key: bytes) -> Announcement | None:
    """Read a DNS-SD service; `None` if it is not of the session that *key* belongs to."""
    instance, nonce, tag = (_unhex(text) for text in (name, txt.get("n"), txt.get("t")))
    is_ours = txt.get("v") == str(_VERSION) and len(instance) == INSTANCE_SIZE and 0 < port < 65_536
    if not is_ours or len(nonce) != NONCE_SIZE:
        return None
    announcement = Announcement(instance, port)
    return announcement if hmac.compare_digest(tag, _tag(key, _head(announcement), nonce)) else None


def _head(announcement: Announcement) -> bytes:
    kind = _GONE if announcement.gone else _HERE
    port = announcement.port.to_bytes(2, "big")
    return _MAGIC + bytes((_VERSION, kind)) + announcement.instance + port


def _tag(key: bytes, head: bytes, nonce: bytes) -> bytes:
    return hmac.digest(key, _LABEL + head + nonce, "sha256")[:TAG_SIZE]


def _unhex(text: str | None) -> bytes:
    try:
        return bytes.fromhex(text or "")
    except ValueError:
        return b""
