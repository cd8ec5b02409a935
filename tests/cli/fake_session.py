"""A small real session for the command line: tells what it is given, and stops when asked.

Run as a program, it is `weft share` around such a session, for tests of signals and pipes.
"""

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

from peer.cli.ndjson import Records
from peer.cli.render import Quiet, Setting, Terminal
from peer.cli.running import run
from peer.cli.view import SessionLike, View
from peer.core.notices import FileChanged, Notice, PeerJoined, PeerPong
from peer.errors import UsageError

LINK = "weft:AUkBexample"


class FakeSession:
    """Tells *notices*, then ends, or with *stays* waits until it is left."""

    def __init__(
        self,
        notices: Sequence[Notice] = (),
        *,
        link: str = LINK,
        folder: Path | None = None,
        resumed: bool = False,
        stays: bool = False,
        floods: bool = False,
        failure: Exception | None = None,
        hangs: bool = False,
    ) -> None:
        self.link = link
        self.session_id = "ab" * 32
        self.folder = folder
        self.role = "owner"
        self.resumed = resumed
        self.files = 14
        self.text_bytes = 212_000
        self.left = 0
        self._notices = notices
        self._stays = stays
        self._floods = floods
        self._failure = failure
        self._hangs = hangs
        self._over = asyncio.Event()

    def texts(self) -> list[str]:
        return [f"{number}.md" for number in range(self.files)]

    async def events(self) -> AsyncIterator[Notice]:
        for notice in self._notices:
            yield notice
        while self._floods and not self._over.is_set():
            yield FileChanged("notes.md" * 20, "edited", "ben")
            await asyncio.sleep(0)
        if self._failure:
            raise self._failure
        if self._stays:
            await self._over.wait()

    def status(self) -> dict[str, object]:
        return {
            "session": self.session_id,
            "folder": str(self.folder) if self.folder else None,
            "role": self.role,
            "server": {"url": "wss://pad.example.org/ws", "state": "connected"},
            "files": self.files,
            "peers": [{"id": "1", "name": "ben"}],
            "uptime_s": 3.5,
        }

    def summary(self) -> dict[str, object]:
        return {"files": self.files, "peers": 1}

    async def ping(self, peer: str) -> PeerPong:
        if peer != "1":
            raise UsageError("nobody with this id is connected")
        return PeerPong("1", "ben", "relay", "", 12.5, 1)

    async def leave(self) -> None:
        self.left += 1
        self._over.set()
        if self._hangs:
            print("goodbye hangs", file=sys.stderr, flush=True)
            await asyncio.Event().wait()

    def opening(self) -> AbstractAsyncContextManager[SessionLike]:
        return _opened(self)


@asynccontextmanager
async def _opened(session: FakeSession) -> AsyncIterator[SessionLike]:
    yield session


@asynccontextmanager
async def _never_opened() -> AsyncIterator[SessionLike]:
    print("opening hangs", file=sys.stderr, flush=True)
    await asyncio.Event().wait()
    yield FakeSession()


def main(mode: str, wish: str, folder: str) -> int:
    """Run one session as the command line would; *wish* picks what it does."""
    setting = Setting("share", "notes/")
    view: View
    match mode:
        case "json":
            view = Records(sys.stdout.buffer, "share")
        case "quiet":
            view = Quiet(sys.stdout.buffer, sys.stderr.buffer, setting)
        case _:
            view = Terminal(sys.stderr.buffer, setting)

    def opening() -> AbstractAsyncContextManager[SessionLike]:
        if wish == "unopened":
            return _never_opened()
        session = FakeSession(
            [PeerJoined("1", "ben", "editor")],
            folder=Path(folder),
            stays=True,
            floods=wish == "floods",
            hangs=wish == "hangs",
        )
        return session.opening()

    return run(view, opening)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
