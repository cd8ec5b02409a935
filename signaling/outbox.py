"""What waits to be sent to one client: few control messages first, then frames, both bounded.

Frames are pieces of an ordered, encrypted stream. Leaving one out would break it in a way that looks
like an attack, so nothing is ever left out: what does not fit ends the connection of the client that
does not read. `Budget` bounds what waits for all clients together.
"""

from collections import deque
from enum import Enum
from typing import Final

from signaling.errors import Refusal
from signaling.messages import CloseCode

__all__ = ["Behind", "Budget", "Kind", "Outbox"]

_FRAME_OVERHEAD_BYTES: Final = 64
"""What a waiting frame costs beside its bytes, so that empty frames are not free."""


class Budget:
    """The bytes that may wait for all clients of a server together."""

    __slots__ = ("_limit", "used")

    def __init__(self, limit_bytes: int) -> None:
        self._limit = limit_bytes
        self.used = 0

    def take(self, size: int) -> bool:
        """Reserve *size* bytes if there are that many."""
        if self.used + size > self._limit:
            return False
        self.used += size
        return True

    def give_back(self, size: int) -> None:
        """Return what `take` reserved."""
        self.used -= size


class Kind(Enum):
    """What a waiting message is to the WebSocket."""

    CONTROL = "control"
    FRAME = "frame"
    PONG = "pong"


class Behind(bytes):
    """A control message that is put among the frames, because it says something about those before it."""


class Outbox:
    """Two queues to one client. A full one raises, and the client is then dropped."""

    __slots__ = ("_budget", "_byte_limit", "_bytes", "_control", "_control_limit", "_frame_limit", "_frames")

    def __init__(self, *, control_limit: int, frame_limit: int, byte_limit: int, budget: Budget) -> None:
        self._control: deque[tuple[Kind, bytes]] = deque()
        self._frames: deque[bytes] = deque()
        self._bytes = 0
        self._control_limit = control_limit
        self._frame_limit = frame_limit
        self._byte_limit = byte_limit
        self._budget = budget

    def __len__(self) -> int:
        return len(self._control) + len(self._frames)

    def put_control(self, message: bytes, kind: Kind = Kind.CONTROL) -> None:
        """Queue something small that goes before all frames.

        Raises:
            Refusal: the client does not read.
        """
        if len(self._control) >= self._control_limit:
            raise Refusal(CloseCode.TOO_SLOW)
        self._control.append((kind, message))

    def put_frame(self, frame: bytes) -> None:
        """Queue a frame, or a control message that is to come `Behind` frames.

        Raises:
            Refusal: the client does not read.
        """
        size = len(frame) + _FRAME_OVERHEAD_BYTES
        if len(self._frames) >= self._frame_limit or self._bytes + size > self._byte_limit:
            raise Refusal(CloseCode.TOO_SLOW)
        if not self._budget.take(size):
            raise Refusal(CloseCode.TOO_SLOW)
        self._bytes += size
        self._frames.append(frame)

    def take(self) -> tuple[Kind, bytes] | None:
        """The next message to send, or None if nothing waits."""
        if self._control:
            return self._control.popleft()
        if not self._frames:
            return None
        frame = self._frames.popleft()
        size = len(frame) + _FRAME_OVERHEAD_BYTES
        self._bytes -= size
        self._budget.give_back(size)
        return (Kind.CONTROL if type(frame) is Behind else Kind.FRAME), frame

    def forget_frames(self) -> None:
        """Let go of all frames, because the connection ends; control messages stay."""
        self._frames.clear()
        self._budget.give_back(self._bytes)
        self._bytes = 0
