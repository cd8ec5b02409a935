"""Frames: what peers say to each other, and the bytes that say it.

A frame is a MessagePack array whose first element is its type number (docs/protocol.md §3).  Types
that we do not know decode to `None` and extra elements are ignored, so newer peers can say more.
Whatever the bytes are, `decode` returns or raises a `RemoteError`, nothing else.
"""

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from peer.errors import Malformed, TooLarge

__all__ = [
    "BLOB_PART",
    "CANDIDATES_PER_FRAME",
    "CURSOR_LIMIT",
    "DIGESTS_PER_FRAME",
    "EDITS_PER_ECHO",
    "FRAME_LIMIT",
    "LOSSY_LIMIT",
    "PROTOCOL",
    "Ack",
    "Answer",
    "Ask",
    "BlobAsk",
    "BlobPart",
    "Bye",
    "Candidates",
    "DigestEntry",
    "Digests",
    "Echo",
    "EditFrame",
    "Frame",
    "Hello",
    "Missed",
    "NoDirect",
    "Offer",
    "PathSeen",
    "Ping",
    "Pong",
    "PresenceFrame",
    "Proof",
    "Redial",
    "State",
    "Summary",
    "decode",
    "encode",
]

PROTOCOL: Final = 1
FRAME_LIMIT: Final = 32 * 1024 * 1024 + 4096
"""The largest frame: one whole document state (guard.UPDATE_LIMIT) and what stands around it."""
LOSSY_LIMIT: Final = 1024
"""A frame of the lossy channel must fit one packet."""
EDITS_PER_ECHO: Final = 8
"""What somebody types in a quarter of a second with a key held down."""
DIGESTS_PER_FRAME: Final = 512
"""12 KiB: one piece, so that comparing a large session never holds up a key stroke."""
BLOB_PART: Final = 256 * 1024
"""Bytes of a blob per frame: small enough that a lost path costs little."""
CANDIDATES_PER_FRAME: Final = 16
"""Addresses told at once; an attempt finds one or two at a time."""
CURSOR_LIMIT: Final = 2**31 - 1
"""A place in a text: no text is longer, and every editor can count so far."""

Short = Annotated[str, Meta(max_length=128)]
Id8 = Annotated[bytes, Meta(min_length=8, max_length=8)]
Digest16 = Annotated[bytes, Meta(min_length=16, max_length=16)]
Sha256 = Annotated[bytes, Meta(min_length=32, max_length=32)]
Sdp = Annotated[str, Meta(max_length=16 * 1024)]
Candidate = Annotated[str, Meta(max_length=256)]
Place = Annotated[int, Meta(ge=0, le=CURSOR_LIMIT)]
Count = Annotated[int, Meta(ge=0, le=2**62)]


class DigestEntry(msgspec.Struct, array_like=True, frozen=True):
    """One document and the digest of what the sender holds of it."""

    doc: Id8
    digest: Digest16


class Hello(msgspec.Struct, array_like=True, tag=1, frozen=True):
    """The first frame on a sealed link: who speaks, and by what right.

    *client* is the CRDT client id of every edit that this run will make.  *host* is equal for two
    peers on one machine and says nothing else.
    """

    protocol: Count
    instance: Id8
    chain: Annotated[list[Annotated[bytes, Meta(max_length=512)]], Meta(max_length=4)]
    name: Short
    host: Digest16
    client: Annotated[int, Meta(ge=1, lt=2**53)]
    version: Short
    path_policy: Short = "auto"


class Offer(msgspec.Struct, array_like=True, tag=2, frozen=True):
    """A session description of the dialling side.

    *beside*: the path that stands goes on until this one is open.  *plain*: no TURN, because a path over
    TURN is what is to be improved on.
    """

    attempt: Count
    sdp: Sdp
    beside: bool = False
    plain: bool = False


class Answer(msgspec.Struct, array_like=True, tag=3, frozen=True):
    """The answer to the offer with the same *attempt*."""

    attempt: Count
    sdp: Sdp


class NoDirect(msgspec.Struct, array_like=True, tag=4, frozen=True):
    """The offer *attempt* came to nothing; *final*: do not offer again."""

    attempt: Count
    reason: Short
    final: bool = False


class Digests(msgspec.Struct, array_like=True, tag=5, frozen=True):
    """What the sender holds; *last* ends the list."""

    entries: Annotated[list[DigestEntry], Meta(max_length=DIGESTS_PER_FRAME)]
    last: bool


class Summary(msgspec.Struct, array_like=True, tag=6, frozen=True):
    """One digest over everything, sent after a move; a difference is answered with `Digests`."""

    digest: Id8


class Ask(msgspec.Struct, array_like=True, tag=7, frozen=True):
    """Send me what is missing here."""

    doc: Id8
    state_vector: bytes


class State(msgspec.Struct, array_like=True, tag=8, frozen=True):
    """What was missing; an empty *update* means nothing was."""

    doc: Id8
    update: bytes


class EditFrame(msgspec.Struct, array_like=True, tag=9, frozen=True):
    """What the sender just typed."""

    doc: Id8
    update: bytes


class Echo(msgspec.Struct, array_like=True, tag=22, frozen=True):
    """Edits of one document that were sent a moment ago, the oldest first, in case they are late."""

    doc: Id8
    updates: Annotated[list[bytes], Meta(max_length=EDITS_PER_ECHO)]


class BlobAsk(msgspec.Struct, array_like=True, tag=10, frozen=True):
    """Send me `BLOB_PART` bytes of this blob from *offset*."""

    digest: Sha256
    offset: Count


class BlobPart(msgspec.Struct, array_like=True, tag=11, frozen=True):
    """Part of a blob; *data* of `None` means that the sender does not have it."""

    digest: Sha256
    offset: Count
    total: Count
    data: Annotated[bytes, Meta(max_length=BLOB_PART)] | None


class PresenceFrame(msgspec.Struct, array_like=True, tag=12, frozen=True):
    """Where the sender is; *clock* grows, so that a late one is dropped."""

    clock: Count
    color: Short
    path: Annotated[str, Meta(max_length=512)] | None = None
    cursor: tuple[Place, Place] | None = None
    typing: bool = False
    idle: bool = False


class Ping(msgspec.Struct, array_like=True, tag=13, frozen=True):
    """A heartbeat: *received* acknowledges pieces, *summary* is one digest over everything."""

    number: Count
    received: Count
    summary: Id8


class Pong(msgspec.Struct, array_like=True, tag=14, frozen=True):
    """The answer to `Ping` *number*."""

    number: Count
    received: Count


class Ack(msgspec.Struct, array_like=True, tag=15, frozen=True):
    """So many counted pieces have arrived on this carrier."""

    received: Count


class Bye(msgspec.Struct, array_like=True, tag=16, frozen=True):
    """The sender leaves; it will not be back under this instance."""

    reason: Short


class Proof(msgspec.Struct, array_like=True, tag=17, frozen=True):
    """The very first frame: the sender holds the session's secret, bound to this TLS connection.

    Without it an active server could end TLS itself and be told names by an honest `Hello`.
    """

    mac: Sha256


class Missed(msgspec.Struct, array_like=True, tag=21, frozen=True):
    """You were away from here for so long, and meanwhile I made so many edits."""

    milliseconds: Count
    edits: Count


class Candidates(msgspec.Struct, array_like=True, tag=18, frozen=True):
    """More addresses of the sender for an attempt, as candidate attributes of SDP; *last*: these were all."""

    attempt: Count
    candidates: Annotated[list[Candidate], Meta(max_length=CANDIDATES_PER_FRAME)]
    last: bool


class PathSeen(msgspec.Struct, array_like=True, tag=19, frozen=True):
    """What the sender takes the direct path to be that this came over: `lan`, `direct` or `turn`."""

    path: Short


class Redial(msgspec.Struct, array_like=True, tag=20, frozen=True):
    """The network of the answering side changed: dial at once."""


Frame = (
    Hello
    | Offer
    | Answer
    | NoDirect
    | Digests
    | Summary
    | Ask
    | State
    | EditFrame
    | BlobAsk
    | BlobPart
    | PresenceFrame
    | Ping
    | Pong
    | Ack
    | Bye
    | Proof
    | Candidates
    | PathSeen
    | Redial
    | Missed
    | Echo
)

HIGHEST_TYPE: Final = 22

_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[Frame] = msgspec.msgpack.Decoder(Frame)
_type_decoder: msgspec.msgpack.Decoder[list[msgspec.Raw]] = msgspec.msgpack.Decoder(list[msgspec.Raw])


def encode(frame: Frame) -> bytes:
    """The bytes of *frame*."""
    return _encoder.encode(frame)


def decode(data: bytes) -> Frame | None:
    """Read one frame; `None` if its type is one that we do not know.

    Raises:
        TooLarge: it is longer than `FRAME_LIMIT`.
        Malformed: it is not a frame.
    """
    if len(data) > FRAME_LIMIT:
        raise TooLarge("a frame", len(data), FRAME_LIMIT)
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        if _is_unknown_type(data):
            return None
        raise Malformed(f"the other side sent a frame that cannot be read: {error}") from error


def _is_unknown_type(data: bytes) -> bool:
    try:
        elements = _type_decoder.decode(data)
        kind = msgspec.msgpack.decode(elements[0], type=int)
    except (msgspec.DecodeError, IndexError, RecursionError, UnicodeDecodeError):
        return False
    return kind > HIGHEST_TYPE
