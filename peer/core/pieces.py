"""Frames cut into pieces for one carrier, and joined again.

A carrier (the relay, or a data channel) takes pieces of at most 16 KiB and delivers them whole and in
order until it breaks.  Three lanes share it: `CONTROL` is never held back, `EDITS` goes before
`BULK`, and pieces of the lanes interleave, so a key stroke waits for one window of bulk data at most.

    piece = flags (1 byte) • body          flags: 0x01 another piece of this frame follows
                                                  0x06 lane (0 control, 1 edits, 2 bulk)
                                                  0x08 the frame is deflated

EDITS and BULK pieces are counted.  The receiver acknowledges the count now and then, and the sender
keeps a bounded window open: this bound, not the data channel's own buffer, is what keeps a burst of
small frames from drowning SCTP (docs/performance.md).  Nothing is ever sent twice: when a carrier breaks,
the peers compare state vectors on the next one.

The EDITS lane is one deflate stream (RFC 1951) per direction, flushed after each frame, which makes a
key stroke about 10 bytes whatever its client id; BULK frames are deflated one by one.
"""

import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from peer.core.frames import FRAME_LIMIT
from peer.errors import Malformed, TooLarge

__all__ = [
    "DIRECT_WINDOW",
    "LANE_MASK",
    "PIECE_BODY",
    "RELAY_WINDOW",
    "Incoming",
    "Lane",
    "Outgoing",
    "Window",
]

PIECE_BODY: Final = 16 * 1024 - 1
"""With its flags a piece is 16 KiB: the size that every data channel takes, and kind to latency."""
CONTROL_LIMIT: Final = 64 * 1024
"""The largest control frame: an offer of 16 KiB with its digests."""
EDITS_LIMIT: Final = 9 * 1024 * 1024
"""A paste of a whole 4 MiB text, twice over."""
PIECE_LEAST: Final = 1024
"""Bytes of a piece that another follows: ours are full, and each costs its receiver memory of its own."""
QUEUE_LIMIT: Final = 4096
"""Frames waiting in one lane; those who fill lanes look at `has_room` first, which keeps half in reserve."""
DEFLATE_SAMPLE: Final = 16 * 1024
"""Of a larger frame, so much is tried first: what does not shrink would only hold up the loop."""
DEFLATE_WORTH: Final = 0.7
"""The sample must shrink to this: below it, deflating is faster than sending the difference."""
DEFLATE_FROM: Final = 512
"""Bulk frames below this gain nothing from deflate."""
STREAM_TAIL: Final = b"\x00\x00\xff\xff"
"""What a sync flush always ends with; left out on the wire (RFC 7692 §7.2.1 does the same)."""
STREAM_WINDOW: Final = -13
"""An 8 KiB history: key strokes repeat within the last few hundred; 48 KiB of memory per link."""
STREAM_MEMORY: Final = 5

MORE: Final = 0x01
LANE_SHIFT: Final = 1
LANE_MASK: Final = 0x06
DEFLATED: Final = 0x08
KNOWN_FLAGS: Final = MORE | LANE_MASK | DEFLATED


class Lane(IntEnum):
    """What a frame may be held up by."""

    CONTROL = 0
    EDITS = 1
    BULK = 2


@dataclass(frozen=True, slots=True)
class Window:
    """How much may be under way and unacknowledged on one carrier."""

    pieces: int
    bytes: int
    bulk_bytes: int
    """BULK alone: this, at the carrier's speed, is how long a key stroke waits."""
    ack_pieces: int
    ack_bytes: int
    """The receiver acknowledges after so much; well below the window, so that it never closes idly."""


DIRECT_WINDOW: Final = Window(
    pieces=256, bytes=2 * 1024 * 1024, bulk_bytes=1024 * 1024, ack_pieces=48, ack_bytes=128 * 1024
)
"""256 messages: beyond this, aiortc's per-packet costs and the socket buffer turn into loss."""
RELAY_WINDOW: Final = Window(
    pieces=64, bytes=128 * 1024, bulk_bytes=96 * 1024, ack_pieces=16, ack_bytes=32 * 1024
)
"""Small, because the server buffers for a slow reader and drops one who is far behind."""


class _Begun:
    """A frame of which pieces are being cut off."""

    def __init__(self, flags: int, body: bytes) -> None:
        self._flags = flags
        self._body = body
        self._at = 0

    def piece(self) -> bytes:
        """The next piece; an empty frame is one piece, so that it is heard of."""
        start = self._at
        self._at += PIECE_BODY
        more = MORE if self._at < len(self._body) else 0
        return bytes((self._flags | more,)) + self._body[start : self._at]


class Outgoing:
    """What waits to be sent on one carrier, and what is under way.

    Attributes:
        frames: how many frames are not fully sent.
        edits_acked: how many frames of the lane EDITS have arrived whole.
        bytes_sent: of all lanes.
        bulk_sent: bytes of the lane BULK.
    """

    def __init__(self, window: Window) -> None:
        self.window = window
        self._lanes: tuple[deque[bytes], deque[bytes], deque[bytes]] = (deque(), deque(), deque())
        self._begun: list[_Begun | None] = [None, None, None]
        self._unacked: deque[tuple[int, Lane, bool, int]] = deque()
        self._pieces = 0
        self._unacked_bytes = 0
        self._unacked_bulk = 0
        self._acked = 0
        self._sent = 0
        self._queued_bytes = [0, 0, 0]
        self._stream: zlib._Compress | None = None
        self.frames = 0
        self.edits_acked = 0
        self.bytes_sent = 0
        self.bulk_sent = 0

    def push(self, lane: Lane, frame: bytes) -> None:
        """Queue one frame.

        Raises:
            OverflowError: the lane is full; our own code must look at `has_room` first.
        """
        queue = self._lanes[lane]
        if len(queue) >= QUEUE_LIMIT:
            raise OverflowError(f"{QUEUE_LIMIT} frames wait in lane {lane.name}")
        queue.append(frame)
        self.frames += 1
        self._queued_bytes[lane] += len(frame)

    def drop_waiting(self, lane: Lane) -> None:
        """Forget the frames of *lane* that have not begun; one that has begun is finished."""
        self.frames -= len(self._lanes[lane])
        self._lanes[lane].clear()
        self._queued_bytes[lane] = 0

    def queued(self, lane: Lane) -> int:
        """Bytes of frames in *lane* that have not begun."""
        return self._queued_bytes[lane]

    def has_room(self, lane: Lane, limit: int) -> bool:
        """Whether less than *limit* bytes wait in *lane*, and few enough frames."""
        return self._queued_bytes[lane] < limit and len(self._lanes[lane]) < QUEUE_LIMIT // 2

    def acknowledge(self, received: int) -> None:
        """The other side has *received* counted pieces so far.

        Raises:
            Malformed: it claims more than was sent.
        """
        if received > self._sent:
            raise Malformed("the other side acknowledges more than was sent")
        while self._acked < received:
            size, lane, ends, _ = self._unacked.popleft()
            self._unacked_bytes -= size
            self.edits_acked += ends and lane is Lane.EDITS
            if lane is Lane.BULK:
                self._unacked_bulk -= size
            self._acked += 1

    def edits_within(self, pieces: int) -> int:
        """How many frames of the lane EDITS have arrived whole if so many *pieces*, of all lanes, have."""
        waiting = (number <= pieces for _, lane, ends, number in self._unacked if ends and lane is Lane.EDITS)
        return self.edits_acked + sum(waiting)

    def pieces(self, *, bulk: int | None = None) -> Iterator[bytes]:
        """Cut and yield what may be sent now, most urgent first.

        With *bulk*, nothing is taken from that lane once it has sent so many bytes on this carrier.
        """
        while (piece := self._next(Lane.CONTROL)) is not None:
            yield piece
        while self._open(Lane.EDITS) and (piece := self._next(Lane.EDITS)) is not None:
            yield piece
        while bulk is None or self.bulk_sent < bulk:
            if not self._open(Lane.BULK) or (piece := self._next(Lane.BULK)) is None:
                return
            yield piece

    def _open(self, lane: Lane) -> bool:
        window = self.window
        if len(self._unacked) >= window.pieces or self._unacked_bytes >= window.bytes:
            return False
        return lane is Lane.EDITS or self._unacked_bulk < window.bulk_bytes

    def _next(self, lane: Lane) -> bytes | None:
        begun = self._begun[lane]
        if begun is None:
            queue = self._lanes[lane]
            if not queue:
                return None
            frame = queue.popleft()
            self._queued_bytes[lane] -= len(frame)
            begun = self._begun[lane] = self._begin(lane, frame)
        piece = begun.piece()
        if not piece[0] & MORE:
            self._begun[lane] = None
            self.frames -= 1
        self._count(lane, len(piece), ends=not piece[0] & MORE)
        return piece

    def _count(self, lane: Lane, size: int, *, ends: bool) -> None:
        self.bytes_sent += size
        self._pieces += 1
        if lane is Lane.CONTROL:
            return
        self._sent += 1
        self._unacked.append((size, lane, ends, self._pieces))
        self._unacked_bytes += size
        if lane is Lane.BULK:
            self._unacked_bulk += size
            self.bulk_sent += size

    def _begin(self, lane: Lane, frame: bytes) -> _Begun:
        body, deflated = self._deflate(lane, frame)
        return _Begun(lane << LANE_SHIFT | deflated, body)

    def _deflate(self, lane: Lane, frame: bytes) -> tuple[bytes, int]:
        if lane is Lane.EDITS:
            if self._stream is None:
                self._stream = zlib.compressobj(6, zlib.DEFLATED, STREAM_WINDOW, STREAM_MEMORY)
            body = self._stream.compress(frame) + self._stream.flush(zlib.Z_SYNC_FLUSH)
            return body[: -len(STREAM_TAIL)], DEFLATED
        if lane is Lane.BULK and len(frame) >= DEFLATE_FROM and _is_worth_deflating(frame):
            small = zlib.compress(frame, 1, -15)
            if len(small) < len(frame):
                return small, DEFLATED
        return frame, 0


def _is_worth_deflating(frame: bytes) -> bool:
    if len(frame) <= 2 * DEFLATE_SAMPLE:
        return True
    middle = len(frame) // 2
    sample = frame[middle : middle + DEFLATE_SAMPLE]
    return len(zlib.compress(sample, 1, -15)) <= DEFLATE_WORTH * len(sample)


class Incoming:
    """Pieces of one carrier on their way to being frames again."""

    def __init__(self, window: Window) -> None:
        self.window = window
        self._parts: tuple[list[bytes], list[bytes], list[bytes]] = ([], [], [])
        self._sizes = [0, 0, 0]
        self._stream = zlib.decompressobj(STREAM_WINDOW)
        self.received = 0
        self._unreported = 0
        self._unreported_bytes = 0
        self.bytes_received = 0
        self.bulk_received = 0

    def receive(self, piece: bytes) -> tuple[Lane, bytes] | None:
        """Take one piece; return a frame, and its lane, if this piece completes one.

        Raises:
            Malformed: flags that mean nothing, or a body that does not inflate.
            TooLarge: the frame grows beyond its lane's limit.
        """
        if not piece or piece[0] & ~KNOWN_FLAGS or piece[0] & LANE_MASK == LANE_MASK:
            raise Malformed("the other side sent a piece that cannot be read")
        flags = piece[0]
        if flags & MORE and len(piece) < PIECE_LEAST:
            raise Malformed("the other side cuts what it sends into crumbs")
        lane = Lane((flags & LANE_MASK) >> LANE_SHIFT)
        self._count(lane, len(piece))
        self._sizes[lane] += len(piece) - 1
        if self._sizes[lane] > _LIMITS[lane]:
            raise TooLarge(f"a frame in lane {lane.name}", self._sizes[lane], _LIMITS[lane])
        parts = self._parts[lane]
        parts.append(piece[1:])
        if flags & MORE:
            return None
        body = parts[0] if len(parts) == 1 else b"".join(parts)
        parts.clear()
        self._sizes[lane] = 0
        return lane, self._inflate(lane, body) if flags & DEFLATED else body

    @property
    def owes_ack(self) -> bool:
        """Whether something has arrived that the sender was not told of."""
        return self._unreported > 0

    def ack_due(self) -> bool:
        """Whether enough has arrived that the sender should hear of it."""
        return self._unreported >= self.window.ack_pieces or self._unreported_bytes >= self.window.ack_bytes

    def reported(self) -> int:
        """The count to acknowledge; it is taken as told."""
        self._unreported = self._unreported_bytes = 0
        return self.received

    def _count(self, lane: Lane, size: int) -> None:
        self.bytes_received += size
        if lane is not Lane.CONTROL:
            self.received += 1
            self._unreported += 1
            self._unreported_bytes += size
        if lane is Lane.BULK:
            self.bulk_received += size

    def _inflate(self, lane: Lane, body: bytes) -> bytes:
        limit = _LIMITS[lane]
        try:
            if lane is Lane.EDITS:
                stream, body = self._stream, body + STREAM_TAIL
            elif lane is Lane.BULK:
                stream = zlib.decompressobj(-15)
            else:
                raise Malformed("the other side deflated a control frame")
            frame = stream.decompress(body, limit + 1)
        except zlib.error as error:
            raise Malformed("the other side sent a frame that does not inflate") from error
        if len(frame) > limit:
            raise TooLarge(f"an inflated frame in lane {lane.name}", len(frame), limit)
        return frame


_LIMITS: Final = (CONTROL_LIMIT, EDITS_LIMIT, FRAME_LIMIT)
