"""What the command line shows of a running session, whoever reads it."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Protocol

from peer.cli.errors import Problem
from peer.core.notices import Notice, PeerPong

__all__ = ["SessionLike", "View"]


class SessionLike(Protocol):
    """The part of `peer.api.Session` that the command line uses."""

    @property
    def link(self) -> str:
        """The invitation to hand on; empty on a side that has none."""
        ...

    @property
    def session_id(self) -> str:
        """The session's public key in hexadecimal."""
        ...

    @property
    def folder(self) -> Path | None:
        """The shared folder, if there is one."""
        ...

    @property
    def role(self) -> str:
        """`owner`, `editor` or `viewer`."""
        ...

    @property
    def resumed(self) -> bool:
        """Whether the folder belonged to the session before."""
        ...

    @property
    def files(self) -> int:
        """How many files are shared."""
        ...

    @property
    def text_bytes(self) -> int:
        """How large they are together."""
        ...

    def texts(self) -> list[str]:
        """The names of all texts."""
        ...

    def events(self) -> AsyncIterator[Notice]:
        """What happens, until the session ends."""
        ...

    def status(self) -> dict[str, object]:
        """What is true now, ready for JSON."""
        ...

    def summary(self) -> dict[str, object]:
        """What was, ready for JSON."""
        ...

    async def ping(self, peer: str) -> PeerPong:
        """How far *peer*, named by its id, is."""
        ...

    async def leave(self) -> None:
        """Say goodbye and stop."""
        ...


class View(Protocol):
    """Shows one session from its first line to its last."""

    def opening(self) -> None:
        """Say at once that something is going on."""
        ...

    def started(self, session: SessionLike) -> None:
        """The session is up."""
        ...

    def notice(self, notice: Notice) -> None:
        """Something happened."""
        ...

    def warning(self, code: str, message: str) -> None:
        """Something of our own is not as it should be."""
        ...

    def patience(self) -> float | None:
        """Seconds until `flush` wants to be called; `None`: not before the next notice."""
        ...

    def flush(self) -> None:
        """Show what was held back and is due."""
        ...

    def unread(self) -> bool:
        """Whether nobody reads this any more, so that there is no use in going on."""
        ...

    def leaving(self, session: SessionLike) -> None:
        """The person wants to go; the others are being told."""
        ...

    def ended(self, summary: dict[str, object]) -> None:
        """The session has ended as it should."""
        ...

    def failed(self, problem: Problem) -> None:
        """The command has failed; nothing follows."""
        ...

    def close(self) -> None:
        """Nothing more will be shown."""
        ...
