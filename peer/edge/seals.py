"""The sealed links of a session, by relay address: TLS bytes in relayed frames.

    payload = epoch (1 byte) • TLS bytes          no TLS bytes: "I have no such link, start again"

The epoch grows, modulo 256, each time the initiator starts again, so that bytes of a link that is over are
not fed to the one that took its place, and a server that repeats them disturbs nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from peer.core.events import Event, RelayPieceArrived, SealBroken, Sealed
from peer.core.ids import room_of
from peer.edge.identity import Identity
from peer.edge.sealed import Seal
from peer.errors import RemoteError, TooLarge, Unreachable

__all__ = ["EPOCHS_REMEMBERED", "SEALS_LIMIT", "WAITING_BYTES", "WAITING_PIECES", "Seals"]

SEALS_LIMIT: Final = 256
"""Links at one time: four for each of the 64 members of the largest room."""
EPOCHS_REMEMBERED: Final = 1024
"""Addresses whose last epoch is known, the oldest forgotten first; all but a few have left long ago."""
WAITING_PIECES: Final = 512
"""Pieces from one address that wait for the core: an open window, and the control of a stall of 15 s."""
WAITING_BYTES: Final = 1024 * 1024
"""The same in bytes: an open window, and the longest list of digests."""

_EPOCHS: Final = 256


@dataclass(slots=True)
class _Open:
    seal: Seal
    epoch: int
    told: bool = False


class Seals:
    """One `Seal` per address, fed from the relay and drained to it.

    *emit* is told `Sealed`, `RelayPieceArrived` and `SealBroken`; *relay* sends a payload to an address.

    Attributes:
        waiting: how many pieces were told and not taken yet.
    """

    def __init__(
        self, identity: Identity, emit: Callable[[Event], None], relay: Callable[[bytes, bytes], None]
    ) -> None:
        self._identity = identity
        self._emit = emit
        self._relay = relay
        self._own: dict[bytes, bytes] = {}
        self._open: dict[bytes, _Open] = {}
        self._epochs: dict[bytes, int] = {}
        self.waiting = 0
        self._waiting: dict[bytes, tuple[int, int]] = {}

    def entered(self, address: bytes) -> None:
        """We are known as *address* in its room from now on; links of an earlier connection are over."""
        room = room_of(address)
        for other in [other for other in self._open if room_of(other) == room]:
            del self._open[other]
        if address != self._own.get(room):  # else the others remember the epochs of our last links
            for other in [other for other in self._epochs if room_of(other) == room]:
                del self._epochs[other]
        self._own[room] = address

    def start(self, address: bytes) -> None:
        """Begin a link as its initiator, instead of any that was there."""
        epoch = (self._epochs.get(address, 0) + 1) % _EPOCHS
        self._remember(address, epoch)
        self._begin(address, epoch, initiator=True)

    def _begin(self, address: bytes, epoch: int, *, initiator: bool) -> _Open:
        state = self._open[address] = _Open(Seal(initiator, self._identity), epoch)
        state.seal.start()
        self._drain(address, state)
        return state

    def _remember(self, address: bytes, epoch: int) -> None:
        self._epochs.pop(address, None)
        self._epochs[address] = epoch
        if len(self._epochs) > EPOCHS_REMEMBERED:
            del self._epochs[next(iter(self._epochs))]

    def receive(self, address: bytes, payload: bytes) -> None:
        """Take one relayed payload."""
        state = self._expected(address, payload)
        if state is None:
            return
        if len(payload) == 1:
            self._broken(address, "the other side has no such link any more", tell_them=False)
            return
        reason = ""
        try:
            state.seal.receive(payload[1:])
        except (RemoteError, Unreachable) as error:
            reason = str(error)
        self._drain(address, state)
        try:
            self._deliver(address, state)  # what came before the end counts, a goodbye above all
        except TooLarge as error:
            reason = str(error)
        if reason:
            self._broken(address, reason, tell_them=True)

    def _expected(self, address: bytes, payload: bytes) -> _Open | None:
        """The link that these bytes belong to; a new one when its initiator starts again."""
        if not payload:
            return None
        state = self._open.get(address)
        if state is not None and state.epoch == payload[0]:
            return state
        if (
            self._is_ours_to_start(address)
            or len(payload) == 1
            or (state is None and len(self._open) >= SEALS_LIMIT)
        ):
            return None
        if not self._is_new(address, payload[0]):
            self._relay(address, payload[:1])  # a link that is over: if they do not know that, they must
            return None
        return self._begin(address, payload[0], initiator=False)

    def _is_ours_to_start(self, address: bytes) -> bool:
        return self._own.get(room_of(address), b"") < address

    def _is_new(self, address: bytes, epoch: int) -> bool:
        known = self._epochs.get(address)
        # as serial numbers are compared (RFC 1982): up to half of the circle ahead
        return known is None or 0 < (epoch - known) % _EPOCHS < _EPOCHS // 2

    def _deliver(self, address: bytes, state: _Open) -> None:
        if state.seal.established and not state.told:
            state.told = True
            self._remember(address, state.epoch)  # not before: anybody can make bytes that begin a link
            self._emit(Sealed(address, state.seal.device_key, state.seal.binding))
        for piece in state.seal.take_pieces():
            if state.told:
                self._count(address, len(piece))
                self._emit(RelayPieceArrived(address, piece))

    def _count(self, address: bytes, size: int) -> None:
        """One more piece waits; by address, so that starting again gives nobody more room."""
        count, total = self._waiting.get(address, (0, 0))
        if count >= WAITING_PIECES:
            raise TooLarge("the number of pieces that wait", count + 1, WAITING_PIECES)
        if total + size > WAITING_BYTES:
            raise TooLarge("what waits to be read", total + size, WAITING_BYTES)
        self._waiting[address] = (count + 1, total + size)
        self.waiting += 1

    def taken(self, events: Iterable[Event]) -> None:
        """The core has these now: those of them that are pieces do not wait any more."""
        for event in events:
            if isinstance(event, RelayPieceArrived):
                count, total = self._waiting.pop(event.address)
                if count > 1:
                    self._waiting[event.address] = (count - 1, total - len(event.data))
                self.waiting -= 1

    def send(self, address: bytes, piece: bytes) -> None:
        """Send one piece; dropped when there is no link, or another is being made in its place.

        The core was told in the first case and will be in the second.
        """
        state = self._open.get(address)
        if state is None or not state.seal.established:
            return
        try:
            state.seal.send(piece)
        except (RemoteError, Unreachable) as error:
            self._broken(address, str(error), tell_them=True)
            return
        self._drain(address, state)

    def close(self, address: bytes) -> None:
        """End a link politely; nothing more is told about it."""
        state = self._open.pop(address, None)
        if state is not None:
            state.seal.close()
            self._drain(address, state)

    def _broken(self, address: bytes, reason: str, *, tell_them: bool) -> None:
        state = self._open.pop(address)
        if tell_them:
            self._relay(address, bytes((state.epoch,)))
        if state.told or self._is_ours_to_start(address):  # else nobody knows that it was begun
            self._emit(SealBroken(address, reason))

    def _drain(self, address: bytes, state: _Open) -> None:
        prefix = bytes((state.epoch,))
        for data in state.seal.take_outgoing():
            self._relay(address, prefix + data)
