"""One attempt at a direct path: a fresh `RTCPeerConnection` with two channels; all that knows aiortc.

The description goes out at once with the addresses of this machine; those that servers tell us follow.  The
channels are agreed on beforehand: `edits`, ordered and reliable, and `presence`, which loses rather than
waits.  There is no second chance within an attempt: whatever goes wrong ends it with `DirectBroken`, and the
core decides what to try next.  Names with capitals inside (`bufferedAmount`) are W3C's and stay in here.
"""

import asyncio
import contextlib
import enum
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from peer.core.events import (
    AnswerMade,
    CandidatesFound,
    DirectBroken,
    DirectLossyArrived,
    DirectOpened,
    DirectPieceArrived,
    Event,
    OfferMade,
)
from peer.core.ids import Attempt
from peer.core.ladder import Means
from peer.edge import ice, sacks, shortcuts
from peer.edge.gathering import Gathering
from peer.edge.ice import Checks
from peer.edge.ice_servers import Servers
from peer.edge.sdp import CANDIDATE_LIMIT, check_candidates, check_sdp
from peer.errors import TooLarge

if TYPE_CHECKING:
    from aioice import Connection
    from aiortc import RTCDataChannel, RTCPeerConnection

__all__ = [
    "CLOSE_SECONDS",
    "CONNECT_SECONDS",
    "DRAIN_SECONDS",
    "MESSAGE_LIMIT",
    "QUEUE_LIMIT",
    "DirectPath",
    "Emit",
]

CONNECT_SECONDS: Final = 15.0
"""From the order to two open channels.  aiortc alone would try for a minute, or for ever."""

DRAIN_SECONDS: Final = 2.0
"""How long a goodbye may hold up a close: a round trip and two losses at SCTP's one-second timer."""

MESSAGE_LIMIT: Final = 64 * 1024
"""Bytes in one message from the other side; pieces are cut at 16 KiB."""

QUEUE_LIMIT: Final = 16 * 1024 * 1024
"""Bytes of pieces waiting here; the core's windows keep it far lower, so reaching it means a mistake."""

_HIGH_WATER: Final = 256 * 1024
"""Bytes handed to a channel ahead of time.  aiortc has one queue for all channels, so more of this is more
waiting for `presence`; less would let the path run dry between two turns of the loop."""

_LOW_WATER: Final = 64 * 1024
"""Bytes left in the channel when it asks for more: four pieces."""

_LOSSY_HIGH_WATER: Final = 8 * 1024
"""Bytes of presence that may wait behind edits; a cursor older than that is better dropped."""

_EARLY_LIMIT: Final = 64
"""Messages that may arrive before the last packet of the handshake does (the network reorders)."""

CLOSE_SECONDS: Final = 5.0
"""For aiortc to end a connection, which takes it a millisecond unless something is badly wrong."""

Emit = Callable[[Event], None]


class _State(enum.Enum):
    """PREPARING -> WAITING -> OPEN -> DRAINING -> OVER; any of them -> OVER."""

    PREPARING = enum.auto()
    WAITING = enum.auto()
    OPEN = enum.auto()
    DRAINING = enum.auto()
    OVER = enum.auto()


@dataclass(frozen=True, slots=True)
class _Wire:
    """What aiortc and aioice made for one attempt."""

    pc: "RTCPeerConnection"
    ice: "Connection"
    checks: Checks
    gathering: Gathering
    edits: "RTCDataChannel"
    lossy: "RTCDataChannel"


class DirectPath:
    """One attempt: a peer connection, its two channels, and what waits to be sent."""

    def __init__(
        self, attempt: Attempt, emit: Emit, retire: Callable[["DirectPath"], None], patience: float
    ) -> None:
        self.attempt = attempt
        self.state = _State.PREPARING
        self.queued = self._given = 0
        self.preparation: asyncio.Task[None] | None = None
        self._emit = emit
        self._retire = retire
        self._queue: deque[bytes] = deque()
        self._early: list[Event] = []
        self._remote: list[tuple[tuple[str, ...], bool]] | None = []
        self._remote_count = 0
        self._search: asyncio.Task[None] | None = None
        self._emptied = asyncio.Event()
        self._edits_closed = asyncio.Event()
        self._wire: _Wire | None = None
        self._patience = patience
        self._alarm = asyncio.get_running_loop().call_later(patience, self._out_of_time)

    # --- opening ------------------------------------------------------------------------------------

    async def make_offer(self, servers: Servers, same_host: bool, means: Means) -> None:
        """Emit `OfferMade`, and then `CandidatesFound` for what servers tell."""
        pc = self._build(servers, same_host, means).pc
        await pc.setLocalDescription(await pc.createOffer())
        if (sdp := self._described()) is not None:
            self._emit(OfferMade(self.attempt, sdp))

    async def make_answer(self, servers: Servers, same_host: bool, means: Means, sdp: str) -> None:
        """Take the other side's offer; emit `AnswerMade`, and then `CandidatesFound`.

        Raises:
            RemoteError: the offer is not what `check_sdp` accepts.
        """
        from aiortc import RTCSessionDescription

        check_sdp(sdp)
        wire = self._build(servers, same_host, means)
        await wire.pc.setRemoteDescription(RTCSessionDescription(sdp, "offer"))
        await self._take_early_candidates(wire)
        await wire.pc.setLocalDescription(await wire.pc.createAnswer())
        if (described := self._described()) is not None:
            self._emit(AnswerMade(self.attempt, described))

    async def take_answer(self, sdp: str) -> None:
        """Finish our offer.

        Raises:
            RemoteError: the answer is not what `check_sdp` accepts.
        """
        from aiortc import RTCSessionDescription

        check_sdp(sdp)
        if self.state is _State.WAITING and self._wire is not None:
            await self._wire.pc.setRemoteDescription(RTCSessionDescription(sdp, "answer"))
            await self._take_early_candidates(self._wire)

    async def take_candidates(self, candidates: Sequence[str], *, last: bool) -> None:
        """Try more addresses of the other side, as soon as its description is here.

        Raises:
            RemoteError: they are not what `check_candidates` accepts.
        """
        self._remote_count += len(candidates)
        if self._remote_count > CANDIDATE_LIMIT:
            raise TooLarge("the number of candidates", self._remote_count, CANDIDATE_LIMIT)
        check_candidates([f"a=candidate:{text}" for text in candidates])
        if self._remote is not None:
            self._remote.append((tuple(candidates), last))
        elif self._wire is not None:
            await ice.add_remote(self._wire.ice, candidates, last=last)

    async def _take_early_candidates(self, wire: _Wire) -> None:
        early, self._remote = self._remote or [], None
        for candidates, last in early:
            await ice.add_remote(wire.ice, candidates, last=last)

    def _build(self, servers: Servers, same_host: bool, means: Means) -> _Wire:
        from aiortc import RTCConfiguration, RTCPeerConnection

        ice.same_host.set(same_host)
        # Never None: that would mean a public STUN server that nobody here chose.  We ask servers ourselves.
        pc = RTCPeerConnection(RTCConfiguration(iceServers=[]))
        edits = pc.createDataChannel("edits", negotiated=True, id=1)
        lossy = pc.createDataChannel("presence", negotiated=True, id=2, ordered=False, maxRetransmits=0)
        assert pc.sctp is not None  # made with the first channel
        shortcuts.begin_sooner(pc)
        connection = pc.sctp.transport.transport._connection
        asked = Servers() if same_host else servers
        gathering = Gathering(connection, asked, means, found=self._found, reached=self._emit)
        wire = self._wire = _Wire(pc, connection, Checks(connection, means.hold), gathering, edits, lossy)
        if not means.host:
            ice.gather_only(connection, gathering.relayed)
        ice.end_consent_with(connection)
        self._listen(wire)
        return wire

    def _found(self, candidate: str | None) -> None:
        if self.state is _State.WAITING:
            candidates = () if candidate is None else (candidate,)
            self._emit(CandidatesFound(self.attempt, candidates, last=candidate is None))

    def _listen(self, wire: _Wire) -> None:
        # An exception that leaves a handler kills the connection without a word to the other side, so each
        # one goes through `_guard`.
        for channel in (wire.edits, wire.lossy):
            channel.on("open", self._guard(self._on_open))
        wire.edits.on("message", self._guard(self._on_piece))
        wire.lossy.on("message", self._guard(self._on_lossy))
        wire.edits.bufferedAmountLowThreshold = _LOW_WATER
        wire.edits.on("bufferedamountlow", self._guard(self._pump))
        wire.edits.on("close", self._guard(self._on_edits_closed))
        wire.pc.on("connectionstatechange", self._guard(self._on_connection_state))

    def _guard(self, handler: Callable[..., None]) -> Callable[..., None]:
        def guarded(*arguments: object) -> None:
            try:
                handler(*arguments)
            except BaseException as error:
                self.fail(f"the direct path met an error of its own: {error!r}")

        return guarded

    def _described(self) -> str | None:
        """Our description, to which more addresses follow; `None` if nobody waits for it any more."""
        wire = self._wire
        if self.state is not _State.PREPARING or wire is None:
            return None
        if not wire.ice.local_candidates:
            self.fail(f"{wire.gathering.why_no_relay}, and this machine shows no other address")
            return None
        ice.enlarge_buffers(wire.ice)
        self.state = _State.WAITING
        sdp = str(wire.pc.localDescription.sdp)
        if not wire.gathering.has_work:
            return sdp
        self._look(wire.gathering.run())
        return ice.to_be_continued(sdp)

    def _look(self, work: Coroutine[object, object, None]) -> None:
        """Look for addresses, or give them back; what was done about them before ends."""
        if self._search is not None:
            self._search.cancel()
        self._search = asyncio.get_running_loop().create_task(work)

    def _on_open(self) -> None:
        wire = self._wire
        if wire is None or self.state is not _State.WAITING:
            return
        if wire.edits.readyState == wire.lossy.readyState == "open":
            self._alarm.cancel()
            self.state = _State.OPEN
            if self._search is not None:
                self._look(wire.gathering.release())
            self._emit(DirectOpened(self.attempt, *ice.describe_path(wire.ice)))
            shortcuts.take(wire.pc, wire.ice)
            early, self._early = self._early, []
            for event in early:
                self._emit(event)
            self._pump()

    # --- carrying -----------------------------------------------------------------------------------

    @property
    def buffered(self) -> int:
        """Bytes of pieces that are not on the network yet."""
        return self.queued + (0 if self._wire is None else self._wire.edits.bufferedAmount)

    def send(self, piece: bytes) -> None:
        """Send *piece* in its turn: now, when there is room, or when the path is open."""
        wire, self._given = self._wire, self._given + 1
        open_now = self.state is _State.OPEN and wire is not None and not self._queue
        if open_now and wire is not None and wire.edits.bufferedAmount < _HIGH_WATER:
            self._put(wire.edits, piece)
        elif self.state not in (_State.DRAINING, _State.OVER):
            self._queue.append(piece)
            self.queued += len(piece)
            if self.queued > QUEUE_LIMIT:
                self.fail(f"more than {QUEUE_LIMIT} bytes waited for the direct path")

    def arrived(self) -> int:
        """How many pieces of those given to `send` the other side's SCTP has acknowledged."""
        return self._given - len(self._queue) - sacks.under_way(self._wire.edits if self._wire else None)

    def send_lossy(self, data: bytes) -> None:
        """Send *data* now, or drop it if the path is busy or not open."""
        wire = self._wire
        if self.state is _State.OPEN and wire is not None and wire.lossy.bufferedAmount < _LOSSY_HIGH_WATER:
            self._put(wire.lossy, data)

    def _put(self, channel: "RTCDataChannel", data: bytes) -> None:
        try:
            channel.send(data)
        except Exception as error:
            # The channel closed, or the other side takes only smaller messages: either way it is over.
            self.fail(f"the direct path does not take what we send: {error!r}")

    def _pump(self) -> None:
        while self._queue and self.state in (_State.OPEN, _State.DRAINING) and self._wire is not None:
            if self._wire.edits.bufferedAmount >= _HIGH_WATER:
                return
            piece = self._queue.popleft()
            self.queued -= len(piece)
            self._put(self._wire.edits, piece)
        if not self._queue:
            self._emptied.set()

    def _on_piece(self, data: bytes | str) -> None:
        self._arrived(data, DirectPieceArrived)

    def _on_lossy(self, data: bytes | str) -> None:
        self._arrived(data, DirectLossyArrived)

    def _arrived(self, data: bytes | str, kind: type[DirectPieceArrived] | type[DirectLossyArrived]) -> None:
        if isinstance(data, str):
            self.fail("the other side sent text where only bytes are agreed on")
        elif len(data) > MESSAGE_LIMIT:
            self.fail(f"the other side sent {len(data)} bytes at once, the limit is {MESSAGE_LIMIT}")
        elif self.state is _State.OPEN:
            self._emit(kind(self.attempt, data))
        elif self.state is _State.WAITING:
            self._early.append(kind(self.attempt, data))
            if len(self._early) > _EARLY_LIMIT:
                self.fail("the other side sent too much before the direct path was open")

    # --- closing ------------------------------------------------------------------------------------

    def fail(self, reason: str) -> None:
        """End the attempt and say why, once."""
        if self.state is _State.OVER:
            return
        told = self.state is _State.DRAINING
        self.finish()
        if not told:
            self._emit(DirectBroken(self.attempt, reason))

    def finish(self) -> None:
        """End the attempt without a word."""
        self.state = _State.OVER
        self._alarm.cancel()
        self._queue.clear()
        self.queued = 0
        if self._search is not None:
            self._search.cancel()
        if self._wire is not None:
            self._wire.checks.stop()
        self._emptied.set()
        self._edits_closed.set()
        self._retire(self)

    def _out_of_time(self) -> None:
        self.fail(f"no direct path was found within {self._patience:g} s")

    def _on_edits_closed(self) -> None:
        self._edits_closed.set()
        if self.state is not _State.DRAINING:
            self.fail("the other side closed the direct path")

    def _on_connection_state(self) -> None:
        state = self._wire.pc.connectionState if self._wire is not None else ""
        if state == "failed":
            self.fail("no way through to the other side was found")
        elif state == "closed":
            self.fail("the direct path was lost")

    async def drain(self) -> None:
        """Send what is queued, wait until the other side has it, then end the attempt."""
        if self.state is _State.OPEN and self._wire is not None:
            self.state = _State.DRAINING
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(DRAIN_SECONDS):
                    await self._deliver(self._wire.edits)
        if self.state is not _State.OVER:
            self.finish()

    async def _deliver(self, edits: "RTCDataChannel") -> None:
        self._emptied.clear()
        self._pump()
        await self._emptied.wait()
        # The other side answers this only when it has everything before it (RFC 8831 section 6.7).
        edits.close()
        await self._edits_closed.wait()

    async def release(self) -> None:
        """Give back the sockets and tasks of an attempt that is over."""
        if self.preparation is not None:
            # Cancelled gathering leaves timers behind; left alone, it is short.
            await asyncio.wait({self.preparation}, timeout=CLOSE_SECONDS)
        if self._search is not None:
            await asyncio.wait({self._search}, timeout=CLOSE_SECONDS)
        if self._wire is not None:
            with contextlib.suppress(TimeoutError), ice.ended(self._wire.ice):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._wire.pc.close()
