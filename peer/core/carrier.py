"""One way to a peer: its queues, its pulse, and which edits it was given and has not acknowledged.

There are three kinds.  A direct path is SCTP, which acknowledges everything by itself: its own end is asked
now and then how much has arrived.  Through the room of a peer the other side acknowledges within a moment.
Through the server's it does when much has arrived, and with each heartbeat.
"""

from collections.abc import Iterable
from typing import Final

from peer.core.actions import Action, AskArrived, CloseDirect, CloseSeal, SendPiece, SendRelay
from peer.core.detour import Detour
from peer.core.frames import Ack, Frame, Ping, Pong, decode, encode
from peer.core.ids import Attempt
from peer.core.pieces import DIRECT_WINDOW, RELAY_WINDOW, Incoming, Lane, Outgoing
from peer.core.questions import Questions

__all__ = ["ACK_WITHIN", "ASK_EVERY", "PINGS_REMEMBERED", "Carrier"]

PINGS_REMEMBERED: Final = 8
"""Older answers say nothing about the round trip now."""
ACK_WITHIN: Final = 0.4
"""Seconds for which an acknowledgement through the room of a peer may be owed: two or three lone key strokes
share one, and there is time left until `detour.DETOUR_AFTER`."""
ASK_EVERY: Final = 0.3
"""Seconds between two looks at what has arrived over a direct path: three before an edit is late."""


class Carrier:
    """One way to the peer, with its queues; what it carries is already authenticated.

    Attributes:
        is_watched: whether it tells in time what has arrived; *detour* then holds what did not.
        delivered: when more was last seen to have arrived over it, if it is direct.
    """

    def __init__(self, key: bytes | Attempt, now: float, path: str, address: str = "") -> None:
        window = RELAY_WINDOW if isinstance(key, bytes) else DIRECT_WINDOW
        self.key = key
        self.seen = path
        self.path = path
        self.agreed = isinstance(key, bytes)
        self.is_watched = path == "lan" or not isinstance(key, bytes)
        self.detour = Detour()
        self.ack_at: float | None = None
        self.address = address
        self.opened = now
        self.heard = self.delivered = now
        self.out = Outgoing(window)
        self.incoming = Incoming(window)
        self.rtt: float | None = None
        self.questions = Questions()
        self._pings: dict[int, float] = {}
        self._number = 0
        self._asked = now
        self._arrived = 0

    def push(self, lane: Lane, frame: bytes) -> None:
        """Queue one frame of contents."""
        self.out.push(lane, frame)
        if lane is Lane.EDITS and self.is_watched:
            self.detour.keep(frame)

    def order(self, piece: bytes) -> Action:
        """The action that sends *piece* here."""
        if isinstance(self.key, bytes):
            return SendRelay(self.key, piece)
        return SendPiece(self.key, piece)

    def closing(self, *, drain: bool = False) -> Action:
        """The action that closes this carrier."""
        return CloseSeal(self.key) if isinstance(self.key, bytes) else CloseDirect(self.key, drain)

    def orders(self, *, bulk: int | None = None) -> Iterable[Action]:
        """The actions that send what may be sent now; for *bulk* see `Outgoing.pieces`."""
        return map(self.order, self.out.pieces(bulk=bulk))

    def ping(self, now: float, summary: bytes, question: int | None = None) -> None:
        """Queue a heartbeat; if it is to a *question*, `questions` gets the answer."""
        self._number += 1
        self._pings[self._number] = now
        self.questions.asked(self._number, question)
        while len(self._pings) > PINGS_REMEMBERED:
            del self._pings[next(iter(self._pings))]
        self.out.push(Lane.CONTROL, encode(Ping(self._number, self._report(), summary)))

    def pong(self, frame: Pong, now: float) -> None:
        """Take the answer to a heartbeat into the round-trip estimate (RFC 6298 §2: 7/8 old)."""
        self._acknowledged(frame.received)
        if (sent := self._pings.pop(frame.number, None)) is not None:
            sample = now - sent
            self.questions.answered(frame.number, sample)
            self.rtt = sample if self.rtt is None else self.rtt * 0.875 + sample * 0.125

    def receive(self, piece: bytes, now: float) -> tuple[Lane, Frame] | None:
        """Take one piece; answer pings and acknowledgements here, return any other frame.

        Raises:
            RemoteError: the piece or its frame breaks the protocol.
        """
        self.heard = now
        whole = self.incoming.receive(piece)
        if self.incoming.ack_due():
            self.out.push(Lane.CONTROL, encode(Ack(self._report())))
        elif self.ack_at is None and self.incoming.owes_ack and self._acknowledges:
            self.ack_at = now + ACK_WITHIN
        frame = decode(whole[1]) if whole is not None else None
        if whole is None or frame is None:
            return None
        match frame:
            case Ack():
                self._acknowledged(frame.received)
                return None
            case Pong():
                self.pong(frame, now)
                return None
            case Ping():
                self._acknowledged(frame.received)
                self.out.push(Lane.CONTROL, encode(Pong(frame.number, self._report())))
                return whole[0], frame
            case _:
                return whole[0], frame

    @property
    def _acknowledges(self) -> bool:
        """Whether the other side waits to be told what has arrived here."""
        return self.is_watched and isinstance(self.key, bytes)

    def acknowledge(self, now: float) -> None:
        """Tell what has arrived, if that is due."""
        if self.ack_at is not None and now >= self.ack_at:
            self.out.push(Lane.CONTROL, encode(Ack(self._report())))

    def _report(self) -> int:
        self.ack_at = None
        return self.incoming.reported()

    # --- what has arrived there ---------------------------------------------------------------------------

    def look_back(self, now: float) -> Action | None:
        """What was queued until now waits for its arrival; the action that asks about it, if that is due."""
        self.detour.stamp(now)
        moment = self.next_question()
        if moment is None or now < moment or isinstance(self.key, bytes):
            return None
        self._asked = now
        return AskArrived(self.key)

    def _acknowledged(self, received: int) -> None:
        self.out.acknowledge(received)
        self.detour.acknowledged(self.out.edits_acked)

    def arrived(self, pieces: int, now: float) -> None:
        """So many pieces of all lanes have arrived there, says SCTP."""
        if pieces > self._arrived:
            self._arrived, self.delivered = pieces, now
        self.detour.acknowledged(self.out.edits_within(pieces))

    def next_question(self) -> float | None:
        """When to ask what has arrived, of a carrier that can tell and has not delivered everything."""
        if isinstance(self.key, bytes) or not self.detour.has_any():
            return None
        return max(self.detour.late_at(0.0), self._asked) + ASK_EVERY
