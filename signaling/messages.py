"""The words that a client and the signaling server say to each other.

This is `docs/protocol-signaling.md` as code, and the only module of the server that the client
imports. Control messages are JSON objects told apart by their field `type`; relayed frames are
binary. What a side does not know it ignores: decoding gives None, never an error, for a type that
a newer program may have added.
"""

from enum import IntEnum
from typing import Final, Literal, NamedTuple, TypeVar, get_args

import msgspec

from signaling.proofs import claim_bytes, proof_bytes, room_id, verify

__all__ = [
    "ADDRESS_BYTES",
    "CLOSED_FOR_GOOD",
    "CLOSED_FOR_NOW",
    "ENDPOINT",
    "FRAME_HEADER_BYTES",
    "LARGEST_MESSAGE_BYTES",
    "NONCE_BYTES",
    "PROTOCOL_MAX",
    "PROTOCOL_MIN",
    "TOKEN_BYTES",
    "Away",
    "Back",
    "Claim",
    "CloseCode",
    "Declined",
    "Enter",
    "Error",
    "FromClient",
    "FromServer",
    "Ice",
    "IceServer",
    "IceServers",
    "Joined",
    "Left",
    "Limits",
    "Malformed",
    "Nonce",
    "PeerGone",
    "Ping",
    "Pong",
    "Relayed",
    "Restarting",
    "Welcome",
    "address_of",
    "claim_bytes",
    "decode_from_client",
    "decode_from_server",
    "encode",
    "is_retryable",
    "pack_frame",
    "proof_bytes",
    "readdress",
    "room_id",
    "unpack_frame",
    "verify",
]

PROTOCOL_MIN: Final = 1
"""The oldest version of the conversation that this code speaks."""

PROTOCOL_MAX: Final = 1
"""The newest version of the conversation that this code speaks."""

ENDPOINT: Final = "/v1/ws"
"""Path of the WebSocket. A new path would be a new, incompatible protocol."""

NONCE_BYTES: Final = 32
"""Length of the server's challenge: enough that none ever comes twice."""

TOKEN_BYTES: Final = 32
"""Length of what a member shows to get its address back: as hard to guess as a key."""

CLOSED_FOR_GOOD: Final = 1000
"""With this close code (RFC 6455 §7.4.1, a normal closure) a client says goodbye."""

CLOSED_FOR_NOW: Final = 4000
"""With this close code a client gives up a connection and means to come back."""

ADDRESS_BYTES: Final = 8
"""Length of an address: cannot be guessed within one connection, and short next to a key stroke."""

FRAME_HEADER_BYTES: Final = 1 + ADDRESS_BYTES
"""What precedes the payload of a relayed frame: its type and one address."""

LARGEST_MESSAGE_BYTES: Final = 64 * 1024
"""A whole message of either kind: four pieces of 16 KiB would fit, a file would not."""

_RELAYED: Final = b"\x01"
_PUBLIC_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_FIRST_FINAL_CODE: Final = 4500


class Malformed(ValueError):
    """Bytes that do not follow `docs/protocol-signaling.md`; the only error that decoding raises."""


class CloseCode(IntEnum):
    """Why the server ended a connection; below 4500 the client may come back by itself."""

    RESTARTING = 4001
    NO_PONG = 4002
    TOO_SLOW = 4003
    SILENT = 4008
    ROOM_FULL = 4009
    TOO_FAST = 4029
    SERVER_FULL = 4030
    ADDRESS_FULL = 4031
    NO_MORE_ROOMS = 4032
    SERVER_FAULT = 4050
    MALFORMED = 4500
    WRONG_PROOF = 4501
    OUT_OF_ORDER = 4502
    WRONG_ORIGIN = 4503
    SUPERSEDED = 4504
    TOO_LARGE = 4513
    WRONG_PROTOCOL = 4526


def is_retryable(close_code: int) -> bool:
    """Whether a client may reconnect by itself after *close_code*.

    Codes from 3000 upwards are judged by their band. Of those that RFC 6455 §7.4.1 defines, only a
    broken protocol (1002, 1003, 1007) and a message that was too long (1009) are final.
    """
    if close_code >= _FIRST_FINAL_CODE:
        return False
    return close_code not in (1002, 1003, 1007, 1009)


class _Message(msgspec.Struct, frozen=True, gc=False, omit_defaults=True, tag_field="type"):
    """What all control messages have in common: how they are written."""


class Nonce(_Message, frozen=True, tag="nonce"):
    """S → C: the first message on each connection; sign this."""

    nonce: bytes
    server: str
    protocol: tuple[int, int]


class Claim(msgspec.Struct, frozen=True, gc=False):
    """The address that *token* was given for is mine: my member key signed this connection's nonce."""

    token: bytes
    signature: bytes

    def __post_init__(self) -> None:
        """Refuse what can be neither before anything is computed with it."""
        _check_length("token", self.token, TOKEN_BYTES)
        _check_length("signature", self.signature, _SIGNATURE_BYTES)


class Enter(_Message, frozen=True, tag="enter"):
    """C → S: let me into the room whose key this is; with *resume*, under the address I had."""

    room_key: bytes
    signature: bytes
    protocol: int
    member_key: bytes | None = None
    resume: Claim | None = None

    def __post_init__(self) -> None:
        """Refuse what can be neither a key nor a signature before anything is computed with it."""
        _check_length("room_key", self.room_key, _PUBLIC_KEY_BYTES)
        _check_length("signature", self.signature, _SIGNATURE_BYTES)
        if self.member_key is not None:
            _check_length("member_key", self.member_key, _PUBLIC_KEY_BYTES)


def _check_length(name: str, value: bytes, length: int) -> None:
    if len(value) != length:
        raise ValueError(f"{name} has {len(value)} bytes instead of {length}")


class Limits(msgspec.Struct, frozen=True, gc=False):
    """What the server allows one client."""

    members: int
    message_bytes: int
    frames_per_second: float
    bytes_per_second: float
    queue_bytes: int


class IceServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """One STUN or TURN server, as browsers and aiortc describe it."""

    urls: tuple[str, ...]
    username: str | None = None
    credential: str | None = None


class Welcome(_Message, frozen=True, tag="welcome"):
    """S → C: you are inside; addresses are eight bytes in hexadecimal."""

    address: str
    members: tuple[str, ...]
    limits: Limits
    ice_servers: tuple[IceServer, ...]
    server: str
    motd: str
    ping_seconds: float
    ttl: float = 0.0
    token: bytes | None = None
    resume_seconds: float | None = None
    resumed: bool = False


class Ice(_Message, frozen=True, tag="ice"):
    """C → S: give me the list of STUN and TURN servers anew."""


class IceServers(_Message, frozen=True, tag="ice-servers"):
    """S → C: the list; its credentials live for *ttl* seconds, or for ever if that is 0."""

    ice_servers: tuple[IceServer, ...]
    ttl: float = 0.0


class Declined(_Message, frozen=True, tag="declined"):
    """S → C: not now, and we stay connected; *what* is the type of the message that asked."""

    what: str
    code: int
    name: str
    message: str
    retry_after_ms: int


class Joined(_Message, frozen=True, tag="joined"):
    """S → C: somebody entered after us."""

    address: str


class Left(_Message, frozen=True, tag="left"):
    """S → C: somebody is gone for good."""

    address: str


class Away(_Message, frozen=True, tag="away"):
    """S → C: somebody's connection broke; they may come back under the same address."""

    address: str


class Back(_Message, frozen=True, tag="back"):
    """S → C: somebody is here on a new connection; what was on its way may be lost."""

    address: str


class PeerGone(_Message, frozen=True, tag="peer-gone"):
    """S → C: your frame had nobody to go to; sent once for each address."""

    address: str
    reason: Literal["left", "never"]


class Ping(_Message, frozen=True, tag="ping"):
    """Both ways: are you there?"""


class Pong(_Message, frozen=True, tag="pong"):
    """Both ways: I am."""


class Restarting(_Message, frozen=True, tag="restarting"):
    """S → C: come back after *reconnect_in_ms* and keep trying for *try_for_ms*."""

    reconnect_in_ms: int
    try_for_ms: int


class Error(_Message, frozen=True, tag="error"):
    """S → C: why the connection is about to be closed with the same code."""

    code: int
    name: str
    message: str
    retryable: bool
    retry_after_ms: int | None = None


_Comings = Nonce | Welcome | Joined | Left | Away | Back | PeerGone
FromServer = _Comings | IceServers | Declined | Ping | Pong | Restarting | Error
"""Every control message that a server may send."""

FromClient = Enter | Ice | Ping | Pong
"""Every control message that a client may send."""


class _Tagged(msgspec.Struct):
    """Just enough of any control message to tell its type."""

    type: str


_encoder: Final = msgspec.json.Encoder()
_from_server: Final = msgspec.json.Decoder(FromServer)
_from_client: Final = msgspec.json.Decoder(FromClient)
_tagged: Final = msgspec.json.Decoder(_Tagged)
_SERVER_TYPES: Final = frozenset(kind.__struct_config__.tag for kind in get_args(FromServer))
_CLIENT_TYPES: Final = frozenset(kind.__struct_config__.tag for kind in get_args(FromClient))
# RecursionError: msgspec walks unknown fields too, and 64 KiB can hold 65,000 brackets.
_DECODING_ERRORS: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def encode(message: FromServer | FromClient) -> bytes:
    """The UTF-8 JSON of one control message, to be sent as a WebSocket text message."""
    return _encoder.encode(message)


def decode_from_server(text: bytes | str) -> FromServer | None:
    """Read what a server sent; None if its type is unknown.

    Raises:
        Malformed: it is not a control message, or lacks what its type needs.
    """
    return _decode(_from_server, _SERVER_TYPES, text)


def decode_from_client(text: bytes | str) -> FromClient | None:
    """Read what a client sent; None if its type is unknown.

    Raises:
        Malformed: it is not a control message, or lacks what its type needs.
    """
    return _decode(_from_client, _CLIENT_TYPES, text)


_M = TypeVar("_M")


def _decode(decoder: msgspec.json.Decoder[_M], known: frozenset[str], text: bytes | str) -> _M | None:
    try:
        return decoder.decode(text)
    except _DECODING_ERRORS as problem:
        if isinstance(problem, msgspec.ValidationError) and _type_of(text) not in known:
            return None
        raise Malformed(f"this is not a control message: {problem}") from problem


def _type_of(text: bytes | str) -> str:
    """The type that *text* claims to be."""
    try:
        return _tagged.decode(text).type
    except _DECODING_ERRORS as problem:
        raise Malformed(f"a control message needs a type: {problem}") from problem


class Relayed(NamedTuple):
    """A relayed frame: *address* is the receiver on the way up and the sender on the way down."""

    address: bytes
    payload: bytes


def pack_frame(address: bytes, payload: bytes) -> bytes:
    """Write a relayed frame; *address* must have `ADDRESS_BYTES` bytes."""
    return b"".join((_RELAYED, address, payload))


def unpack_frame(frame: bytes) -> Relayed | None:
    """Read a relayed frame; None if it is a binary message of a type that we do not know.

    Raises:
        Malformed: it is empty, or too short to hold an address.
    """
    address = address_of(frame)
    return None if address is None else Relayed(address, frame[FRAME_HEADER_BYTES:])


def address_of(frame: bytes) -> bytes | None:
    """The address in a relayed frame, as `unpack_frame` would find it, without touching the payload.

    Raises:
        Malformed: as `unpack_frame`.
    """
    if frame[:1] == _RELAYED:
        if len(frame) < FRAME_HEADER_BYTES:
            raise Malformed(f"a frame of {len(frame)} bytes is too short for an address")
        return frame[1:FRAME_HEADER_BYTES]
    if not frame:
        raise Malformed("a binary message needs at least a type")
    return None


def readdress(frame: bytes, address: bytes) -> bytes:
    """The same relayed frame with another address in it."""
    return _RELAYED + address + frame[FRAME_HEADER_BYTES:]
