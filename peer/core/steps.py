"""How long each step on the way to a peer took: the server, finding it, sealing the link."""

from collections.abc import Callable
from typing import Final

from peer.core.actions import Action, Tell
from peer.core.link import Member
from peer.core.notices import ConnectStage

__all__ = ["REMEMBERED", "Steps"]

REMEMBERED: Final = 64
"""Addresses whose beginning is known; a room has no more members."""


class Steps:
    """Tells each step once it is done."""

    def __init__(self, emit: Callable[[Action], None], began: float) -> None:
        self._emit = emit
        self._waiting_since: float | None = began
        self._entered = began
        self._found: dict[object, float] = {}

    def lost(self, now: float) -> None:
        """The server is gone: the way to it is counted from here."""
        if self._waiting_since is None:
            self._waiting_since = now

    def entered(self, members: tuple[bytes, ...], now: float) -> None:
        """We are in the room with *members*."""
        if self._waiting_since is not None:
            self._tell("server", None, now - self._waiting_since)
        self._waiting_since = None
        self._entered = now
        self._found.clear()
        for member in members:
            self.found(member, now)

    def found(self, address: bytes, now: float) -> None:
        """Somebody is in the room."""
        self._found[address] = now
        while len(self._found) > REMEMBERED:
            del self._found[next(iter(self._found))]

    def sealed(self, member: Member, address: object, now: float) -> None:
        """Whoever is at *address* has shown who they are."""
        found = self._found.pop(address, self._entered)
        self._tell("found", member, found - self._entered)
        self._tell("sealed", member, now - found)

    def _tell(self, stage: str, member: Member | None, took: float) -> None:
        peer, name = ("", "") if member is None else (member.short, member.name)
        self._emit(Tell(ConnectStage(stage, peer, name, True, round(took * 1000, 1), "")))
