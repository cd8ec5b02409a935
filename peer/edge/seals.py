"""The sealed links of a session, by relay address: TLS bytes in relayed frames.

    payload = epoch (1 byte) • TLS bytes          no TLS bytes: "I have no such link, start again"

The epoch grows each time the initiator starts again, so that bytes of a link that is over are not fed to
the one that took its place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from peer.core.events import Event, RelayPieceArrived, SealBroken, Sealed
from peer.edge.identity import Identity
from peer.edge.sealed import Seal
from peer.errors import RemoteError, Unreachable

__all__ = ["SEALS_LIMIT", "Seals"]

SEALS_LIMIT: Final = 256
"""Links at one time: four for each of the 64 members of the largest room."""


@dataclass(slots=True)
class _Open:
    seal: Seal
    epoch: int
    told: bool = False


class Seals:
    """One `Seal` per address, fed from the relay and drained to it."""

    def __init__(
        self, identity: Identity, emit: Callable[[Event], None], relay: Callable[[bytes, bytes], None]
    ) -> None:
        self._identity = identity
        self._emit = emit
        self._relay = relay
        self._address = b""
        self._open: dict[bytes, _Open] = {}
        self._epochs: dict[bytes, int] = {}

    def entered(self, address: bytes) -> None:
        """We are known as *address* from now on; links of an earlier room are over."""
        self._address = address
        self._open.clear()
        self._epochs.clear()

    def start(self, address: bytes) -> None:
        """Begin a link as its initiator, instead of any that was there."""
        epoch = (self._epochs.get(address, 0) + 1) % 256
        self._begin(address, epoch, initiator=True)

    def _begin(self, address: bytes, epoch: int, *, initiator: bool) -> _Open:
        self._epochs[address] = epoch
        state = self._open[address] = _Open(Seal(initiator, self._identity), epoch)
        state.seal.start()
        self._drain(address, state)
        return state

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
            self._broken(address, str(error), tell_them=True)
            return
        self._drain(address, state)
        self._deliver(address, state)

    def _expected(self, address: bytes, payload: bytes) -> _Open | None:
        """The link that these bytes belong to; a new one when its initiator starts again."""
        state = self._open.get(address)
        if not payload or (state is not None and state.epoch == payload[0]):
            return state if payload else None
        initiator = self._address < address
        if initiator or len(payload) == 1 or len(self._open) >= SEALS_LIMIT:
            return None
        if self._epochs.get(address) == payload[0]:
            self._relay(address, payload[:1])  # a link that we have closed: they must start again
            return None
        return self._begin(address, payload[0], initiator=False)

    def _deliver(self, address: bytes, state: _Open) -> None:
        if state.seal.established and not state.told:
            state.told = True
            self._emit(Sealed(address, state.seal.device_key, state.seal.binding))
        for piece in state.seal.take_pieces():
            self._emit(RelayPieceArrived(address, piece))

    def send(self, address: bytes, piece: bytes) -> None:
        """Send one piece; dropped when there is no link, which the core has been told."""
        state = self._open.get(address)
        if state is None:
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
