"""The sealed links of a session, by relay address: TLS bytes in relayed frames.

    payload = epoch (1 byte) • TLS bytes          no TLS bytes: "I have no such link, start again"

The epoch grows, modulo 256, each time the initiator starts again, so that bytes of a link that is over are
not fed to the one that took its place, and a server that repeats them disturbs nothing.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from peer.core.events import Event, RelayPieceArrived, SealBroken, Sealed
from peer.core.ids import room_of
from peer.edge.identity import Identity
from peer.edge.sealed import Seal
from peer.errors import RemoteError, Unreachable

__all__ = ["EPOCHS_REMEMBERED", "SEALS_LIMIT", "Seals"]

SEALS_LIMIT: Final = 256
"""Links at one time: four for each of the 64 members of the largest room."""
EPOCHS_REMEMBERED: Final = 1024
"""Addresses whose last epoch is known, the oldest forgotten first; all but a few have left long ago."""

_EPOCHS: Final = 256


@dataclass(slots=True)
class _Open:
    seal: Seal
    epoch: int
    told: bool = False


class Seals:
    """One `Seal` per address, fed from the relay and drained to it.

    *emit* is told `Sealed`, `RelayPieceArrived` and `SealBroken`; *relay* sends a payload to an address.
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

    def entered(self, address: bytes) -> None:
        """We are known as *address* in its room from now on; links of an earlier visit there are over."""
        room = room_of(address)
        self._own[room] = address
        for known in (self._open, self._epochs):
            for other in [other for other in known if room_of(other) == room]:
                del known[other]

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
        try:
            state.seal.receive(payload[1:])
        except (RemoteError, Unreachable) as error:
            self._drain(address, state)
            self._deliver(address, state)  # what came before the end counts, a goodbye above all
            self._broken(address, str(error), tell_them=True)
            return
        self._drain(address, state)
        self._deliver(address, state)

    def _expected(self, address: bytes, payload: bytes) -> _Open | None:
        """The link that these bytes belong to; a new one when its initiator starts again."""
        if not payload:
            return None
        state = self._open.get(address)
        if state is not None and state.epoch == payload[0]:
            return state
        is_ours_to_start = self._own.get(room_of(address), b"") < address
        if is_ours_to_start or len(payload) == 1 or (state is None and len(self._open) >= SEALS_LIMIT):
            return None
        if not self._is_new(address, payload[0]):
            self._relay(address, payload[:1])  # a link that is over: if they do not know that, they must
            return None
        return self._begin(address, payload[0], initiator=False)

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
                self._emit(RelayPieceArrived(address, piece))

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
        self._emit(SealBroken(address, reason))

    def _drain(self, address: bytes, state: _Open) -> None:
        prefix = bytes((state.epoch,))
        for data in state.seal.take_outgoing():
            self._relay(address, prefix + data)
